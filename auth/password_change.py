"""Changing one's password: whoever knows the one in force puts another in its place.

The current password is asked for, though the session is live: whoever finds a device unlocked must not be able to
lock its owner out (ASVS 5.0, 6.2.3). The other sessions end unless the user wants to keep them: a thief who had
the old password may sit in one of them (7.4.3). Logins that are under way or wait for a second factor, and
mailed reset links, were begun under the old password and end with it (`User.credentials_version`).
"""

from datetime import datetime
from typing import Protocol

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import FieldError, InvalidCredentials, InvalidRequest, SessionRevoked
from auth.models import Actor, Client, Principal, RevocationReason, User
from auth.passwords import Passwords
from auth.rate_limits import RateLimits
from auth.session_endings import SessionEndings, ending
from auth.session_terms import Revoked
from auth.step_up import StepUp
from auth.stores.users import Users


class PasswordNotice(Protocol):
    """Tells a user by mail that their password was changed."""

    async def password_changed(self, user: User, *, at: datetime, ip: str) -> None:
        """Queue the mail; never waits for a mail server."""


class PasswordChange:
    """Changes the password of whoever is logged in."""

    def __init__(
        self,
        *,
        users: Users,
        passwords: Passwords,
        endings: SessionEndings,
        step_up: StepUp,
        notice: PasswordNotice,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._endings = endings
        self._step_up = step_up
        self._notice = notice
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def change(
        self,
        principal: Principal,
        *,
        current_password: str | None,
        password: str,
        keep_sessions: bool,
        client: Client,
    ) -> Revoked:
        """Put `password` in force; the other sessions that were ended for it.

        An account without a password sets its first one, with `current_password` left out and a step-up in its
        place. Raises `InvalidCredentials` for a wrong current password, `InvalidRequest` for a new one that will
        not do, `StepUpRequired`, `RateLimited` or `Unavailable`.
        """
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        if user.password_hash is None:
            await self._step_up.require(principal)
        else:
            await self._prove(user, current_password, principal, client)
        await self._passwords.check(password, context=(user.email, user.name, user.username))
        new_hash = await self._passwords.hash(password)
        now = self._clock()
        own, reason = principal.session_id, RevocationReason.PASSWORD_CHANGED
        ends = None if keep_sessions else ending(now, reason, by=Actor("user", own), keep=own)
        changed = await self._users.replace_password(
            user.user_id, after=user.credentials_version, new_hash=new_hash, ends=ends, now=now
        )
        if changed is None:
            # Changed elsewhere while this one was being judged: the password that was proved is in force no more.
            raise InvalidCredentials("The current password is wrong.")
        await self._audit.record(
            "password_changed", user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        await self._notice.password_changed(changed, at=now, ip=client.ip)
        if ends is None:
            return Revoked()
        return await self._endings.carry_out(user.user_id, ends, client=client)

    async def _prove(self, user: User, current: str | None, principal: Principal, client: Client) -> None:
        """As a login does: limited by address and account, whether guesses come at once or in turn."""
        if current is None:
            raise InvalidRequest(errors=[FieldError("currentPassword", "is required")])
        account = user.email.casefold()
        await self._limits.check("login", client.ip, account)
        verification = await self._passwords.verify(password=current, password_hash=user.password_hash)
        if not verification.matches:
            await self._audit.record(
                "password_change_failed",
                user_id=user.user_id,
                session_id=principal.session_id,
                client=client,
                details={"reason": "wrong_password"},
                now=self._clock(),
            )
            await self._limits.hit("login", client.ip, account)
            raise InvalidCredentials("The current password is wrong.")
        await self._limits.check("login", client.ip, account)
