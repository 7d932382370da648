"""Login with a password.

An unknown address, a wrong password and an account without a password cannot be distinguished: they get the same
answer after the same time, that of our Argon2 hashes or of the slowest imported one (auth/crypto/passwords.py).
Guesses are limited by account (auth/factors/password_guesses.py), and by IP address over all accounts.
"""

import asyncio

import structlog

from auth.core.errors import AuthError, InvalidCredentials, RateLimited
from auth.core.models import Client, TokenDelivery, User
from auth.core.text import email_key
from auth.crypto.passwords import Passwords
from auth.factors.password_guesses import PasswordGuesser, PasswordGuesses
from auth.login.admission import Admission, LoggedIn, MfaPending, count_outcome
from auth.services import Operation, Services

log = structlog.get_logger()


class Login(Operation):
    """Logs in users with a password."""

    def __init__(
        self, services: Services, *, passwords: Passwords, guesses: PasswordGuesses, admission: Admission
    ) -> None:
        super().__init__(services)
        self._passwords = passwords
        self._guesses = guesses
        self._admission = admission

    @count_outcome
    async def login(
        self,
        *,
        email: str,
        password: str,
        device_name: str | None = None,
        delivery: TokenDelivery = TokenDelivery.BODY,
        device_cookie: str | None = None,
        client: Client,
    ) -> LoggedIn | MfaPending:
        """Verify the password, then start a session or request the second factor.

        `device_cookie`: identifies a device that has logged in before (auth/clients/known_devices.py).
        Raises `InvalidCredentials`, `AccountLocked`, `EmailNotVerified`, `Conflict`, `SessionLimitReached`,
        `RateLimited` or `Unavailable`.
        """
        key = email_key(email)
        await self._limits.hit("login_ip", client.ip)
        user = await self._users.by_email(key) if key is not None else None
        # An invalid address is counted and processed like an unknown account.
        typed = key or email[:254]
        guesser = self._guesses.at_login(typed, user, device_cookie=device_cookie, client=client)
        await self._guesses.check(guesser)
        user = await self._prove(guesser, password)
        return await self._admission.admit(
            user, amr=("pwd",), device_name=device_name, delivery=delivery, client=client
        )

    async def _prove(self, guesser: PasswordGuesser, password: str) -> User:
        """Verify the password and return the user. Raises `InvalidCredentials` or `RateLimited`."""
        user, client = guesser.user, guesser.client
        password_hash = user.password_hash if user else None
        verification = await self._passwords.verify(password=password, password_hash=password_hash, ip=client.ip)
        if not verification.matches or user is None or password_hash is None:
            await self._audit_failure(user, "wrong_password" if user else "unknown_account", client)
            try:
                await self._guesses.wrong(guesser)
            finally:
                # After the guess is counted, so that nobody has more guesses at once by it.
                await asyncio.sleep(verification.wait_seconds)
            raise InvalidCredentials
        try:
            await self._guesses.right(guesser)
        except RateLimited:
            await self._audit_failure(user, "rate_limited", client)
            raise
        if verification.needs_rehash:
            await self._rehash(user, password_hash, password, client)
        return user

    async def _rehash(self, user: User, old_hash: str, password: str, client: Client) -> None:
        """Update the hash to the current parameters. Best effort: after a failure, the next login retries."""
        try:
            new_hash = await self._passwords.hash(password, ip=client.ip)
            changed = await self._users.set_password_hash(user.user_id, old_hash=old_hash, new_hash=new_hash)
        except AuthError as error:
            log.warning("password_not_rehashed", user_id=user.user_id, code=error.code)
            return
        if changed:
            await self._audit.record("password_rehashed", user_id=user.user_id, client=client)

    async def _audit_failure(self, user: User | None, reason: str, client: Client) -> None:
        await self._audit.record(
            "login_failed", user_id=user.user_id if user else None, client=client, details={"reason": reason}
        )
