"""Logging in with a password.

An unknown address, a wrong password and an account without one are told apart by nobody: same answer, same
Argon2 work. Guesses are limited by address and account together, so that an attacker never locks the owner
out elsewhere, and by address over all accounts.
"""

import structlog

from auth.accounts import email_key
from auth.admission import Admission, LoggedIn, MfaPending, counted
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import AuthError, InvalidCredentials, RateLimited
from auth.metrics import Metrics
from auth.models import Client, TokenDelivery, User
from auth.passwords import Passwords
from auth.rate_limits import RateLimits
from auth.stores.users import Users

log = structlog.get_logger()


class Login:
    """Logs users in."""

    def __init__(
        self,
        *,
        users: Users,
        passwords: Passwords,
        admission: Admission,
        limits: RateLimits,
        audit: AuditLog,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._admission = admission
        self._limits = limits
        self._audit = audit
        self._metrics = metrics
        self._clock = clock

    async def login(
        self,
        *,
        email: str,
        password: str,
        device_name: str | None = None,
        delivery: TokenDelivery = TokenDelivery.BODY,
        client: Client,
    ) -> LoggedIn | MfaPending:
        """Begin a session for whoever knows the password, or ask for their second factor.

        Raises `InvalidCredentials`, `AccountLocked`, `EmailNotVerified`, `Conflict`, `SessionLimitReached`,
        `RateLimited` or `Unavailable`.
        """
        return await counted(self._metrics, self._login(email, password, device_name, delivery, client))

    async def _login(
        self, email: str, password: str, device_name: str | None, delivery: TokenDelivery, client: Client
    ) -> LoggedIn | MfaPending:
        key = email_key(email)
        # An address that is none counts as an account of its own, and is tried like one.
        account = key or email[:254]
        await self._limits.hit("login_ip", client.ip)
        await self._limits.check("login", client.ip, account)
        user = await self._users.by_email(key) if key is not None else None
        user = await self._prove(user, account, password, client)
        return await self._admission.admit(
            user, amr=("pwd",), device_name=device_name, delivery=delivery, client=client
        )

    async def _prove(self, user: User | None, account: str, password: str, client: Client) -> User:
        """The user, if `password` is theirs."""
        password_hash = user.password_hash if user else None
        verification = await self._passwords.verify(password=password, password_hash=password_hash)
        if not verification.matches or user is None or password_hash is None:
            await self._audit_failure(user, "wrong_password" if user else "unknown_account", client)
            # Guesses made at once have all passed the check above: those beyond the limit learn nothing.
            await self._limits.hit("login", client.ip, account)
            raise InvalidCredentials
        try:
            await self._limits.check("login", client.ip, account)
        except RateLimited:
            await self._audit_failure(user, "rate_limited", client)
            raise
        await self._limits.reset("login", client.ip, account)
        if verification.needs_rehash:
            await self._rehash(user, password_hash, password, client)
        return user

    async def _rehash(self, user: User, old_hash: str, password: str, client: Client) -> None:
        """Bring the hash to today's parameters. The next login will do it where this one cannot."""
        try:
            new_hash = await self._passwords.hash(password)
            changed = await self._users.set_password_hash(user.user_id, old_hash=old_hash, new_hash=new_hash)
        except AuthError as error:
            log.warning("password_not_rehashed", user_id=user.user_id, code=error.code)
            return
        if changed:
            await self._audit.record(
                "password_rehashed",
                user_id=user.user_id,
                session_id=None,
                client=client,
                now=self._clock(),
            )

    async def _audit_failure(self, user: User | None, reason: str, client: Client) -> None:
        await self._audit.record(
            "login_failed",
            user_id=user.user_id if user else None,
            session_id=None,
            client=client,
            details={"reason": reason},
            now=self._clock(),
        )
