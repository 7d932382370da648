"""Logging in with a password.

An unknown address, a wrong password and an account without one are told apart by nobody: same answer, same
Argon2 work. Guesses are limited by address and account together, so that an attacker never locks the owner
out elsewhere, and by address over all accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from auth.accounts import email_key
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import AuthError, EmailNotVerified, InvalidCredentials, RateLimited
from auth.metrics import Metrics
from auth.models import Client, IssuedTokens, Session, TokenDelivery, User
from auth.passwords import Passwords
from auth.rate_limits import RateLimits
from auth.sessions import StartedSession
from auth.stores.users import Users

log = structlog.get_logger()


class SessionStarter(Protocol):
    """Begins sessions."""

    async def start(
        self,
        user: User,
        *,
        amr: Sequence[str],
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> StartedSession:
        """Begin a session for a user who has just proved who they are."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who logged in, the session begun and its first tokens."""

    user: User
    session: Session
    tokens: IssuedTokens


class Login:
    """Logs users in."""

    def __init__(
        self,
        *,
        users: Users,
        passwords: Passwords,
        sessions: SessionStarter,
        limits: RateLimits,
        audit: AuditLog,
        metrics: Metrics,
        clock: Clock,
        require_verified_email: bool,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._sessions = sessions
        self._limits = limits
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._require_verified_email = require_verified_email

    async def login(
        self,
        *,
        email: str,
        password: str,
        device_name: str | None = None,
        delivery: TokenDelivery = TokenDelivery.BODY,
        client: Client,
    ) -> LoggedIn:
        """Begin a session for whoever knows the password.

        Raises `InvalidCredentials`, `EmailNotVerified`, `RateLimited` or `Unavailable`.
        """
        try:
            logged_in = await self._login(email, password, device_name, delivery, client)
        except AuthError as refusal:
            self._metrics.logins.labels(refusal.code).inc()
            raise
        self._metrics.logins.labels("success").inc()
        return logged_in

    async def _login(
        self, email: str, password: str, device_name: str | None, delivery: TokenDelivery, client: Client
    ) -> LoggedIn:
        key = email_key(email)
        # An address that is none counts as an account of its own, and is tried like one.
        account = key or email[:254]
        await self._limits.hit("login_ip", client.ip)
        await self._limits.check("login", client.ip, account)
        user = await self._users.by_email(key) if key is not None else None
        user = await self._prove(user, account, password, client)
        if self._require_verified_email and user.email_verified_at is None:
            await self._audit_failure(user, "email_not_verified", client)
            raise EmailNotVerified
        started = await self._sessions.start(
            user, amr=("pwd",), device_name=device_name, delivery=delivery, client=client
        )
        await self._audit.record(
            "login",
            user_id=user.user_id,
            session_id=started.session.session_id,
            client=client,
            details={"amr": "pwd", "delivery": delivery.value},
            now=self._clock(),
        )
        return LoggedIn(user, started.session, started.tokens)

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
