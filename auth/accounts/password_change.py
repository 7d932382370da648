"""Password change by a logged-in user.

Requires the current password even in a live session, so that someone with an unlocked device cannot lock out its
owner (ASVS 5.0, 6.2.3). Ends the other sessions unless the user keeps them, because an attacker who had the old
password may use one of them (7.4.3). Logins in progress, including those waiting for a second factor, and mailed
reset links become invalid with the old password (`User.credentials_version`).
"""

from auth.core.errors import FieldError, InvalidCredentials, InvalidRequest, SessionRevoked
from auth.core.models import Actor, Client, Principal, RevocationReason, User
from auth.crypto.passwords import Passwords
from auth.factors.password_guesses import PasswordGuesses
from auth.factors.step_up import StepUp
from auth.notifications.mail_contents import PasswordChanged
from auth.services import Operation, Services
from auth.sessions.endings import SessionEndings, ending
from auth.sessions.types import Revoked


class PasswordChange(Operation):
    """Changes the password of a logged-in user."""

    def __init__(
        self,
        services: Services,
        *,
        passwords: Passwords,
        endings: SessionEndings,
        step_up: StepUp,
        guesses: PasswordGuesses,
    ) -> None:
        super().__init__(services)
        self._passwords = passwords
        self._endings = endings
        self._step_up = step_up
        self._guesses = guesses

    async def change(
        self,
        principal: Principal,
        *,
        current_password: str | None,
        password: str,
        keep_sessions: bool,
        client: Client,
    ) -> Revoked:
        """Set a new password; return the other sessions that were ended.

        An account without a password sets its first one: `current_password` is omitted and a step-up required
        instead. Raises `InvalidCredentials` for a wrong current password, `InvalidRequest` for an unacceptable new
        one, `StepUpRequired`, `RateLimited` or `Unavailable`.
        """
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        if user.password_hash is None:
            await self._step_up.require(principal)
        else:
            await self._prove(user, current_password, principal, client)
        await self._passwords.check(
            password,
            context=(user.email, user.name, user.username),
            current_hash=user.password_hash,
            ip=client.ip,
        )
        new_hash = await self._passwords.hash(password, ip=client.ip)
        now = self._clock()
        own, reason = principal.session_id, RevocationReason.PASSWORD_CHANGED
        ends = None if keep_sessions else ending(now, reason, by=Actor("user", own), keep=own)
        changed = await self._users.replace_password(
            user.user_id, after=user.credentials_version, new_hash=new_hash, ends=ends, now=now
        )
        if changed is None:
            # The password was changed elsewhere in the meantime, so the verified one is no longer current.
            raise InvalidCredentials("The current password is wrong.")
        notice = PasswordChanged(at=now, ip=client.ip)
        await self._record_and_tell(changed, notice, session_id=own, client=client)
        if ends is None:
            return Revoked()
        return await self._endings.carry_out(user.user_id, ends, client=client)

    async def _prove(self, user: User, current: str | None, principal: Principal, client: Client) -> None:
        """Verify the current password; guesses are limited as at a login, but counted for this session alone."""
        if current is None:
            raise InvalidRequest(errors=[FieldError("currentPassword", "is required")])
        guesser = self._guesses.in_session(user, principal, client=client)
        await self._guesses.check(guesser)
        verification = await self._passwords.verify(
            password=current, password_hash=user.password_hash, ip=client.ip
        )
        if not verification.matches:
            await self._audit.record(
                "password_change_failed",
                user_id=user.user_id,
                session_id=principal.session_id,
                client=client,
                details={"reason": "wrong_password"},
            )
            await self._guesses.wrong(guesser)
            raise InvalidCredentials("The current password is wrong.")
        await self._guesses.right(guesser)
