"""Account locks: end all sessions immediately, on every node, and block logins until the account is unlocked.

The account is marked first, then its sessions are ended, by another node if this one dies in between. A login in
progress reads the account after it has created its session (auth/sessions/session_start.py), so the session is
either ended here or refused there (ASVS 5.0, 7.4.2).
"""

from auth.admin.roles import LAST_ADMINISTRATOR
from auth.core.errors import Conflict, NotFound
from auth.core.models import ADMIN, Actor, Client, Principal, RevocationReason, User
from auth.factors.step_up import StepUp
from auth.notifications.mail_contents import AccountWasLocked, AccountWasUnlocked
from auth.services import Operation, Services
from auth.sessions.endings import SessionEndings, ending
from auth.sessions.types import Revoked
from auth.stores.users.directory import Directory


class AccountLocks(Operation):
    """Locks and unlocks accounts."""

    def __init__(
        self, services: Services, *, directory: Directory, endings: SessionEndings, step_up: StepUp
    ) -> None:
        super().__init__(services)
        self._directory = directory
        self._endings = endings
        self._step_up = step_up

    async def lock(
        self, principal: Principal, user_id: str, *, reason: str | None, client: Client
    ) -> tuple[User, Revoked]:
        """Lock an account and end its sessions; return the updated account and the ended sessions.

        A repeated call ends the remaining sessions. `reason` is only for the audit trail. Raises `NotFound`,
        `StepUpRequired`, `RateLimited`, or `Conflict` if no administrator would be left.
        """
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        now = self._clock()
        by = Actor("admin", principal.session_id, "account_locked")
        ends = ending(now, RevocationReason.ADMIN, by=by)
        user = await self._directory.lock(user_id, ends=ends, now=now)
        if user is None:
            raise NotFound("There is no such account.")
        if ADMIN in user.roles and not await self._directory.has_administrator():
            await self._directory.unlock(user_id)
            await self._endings.give_up(user_id, ends)
            raise Conflict(LAST_ADMINISTRATOR)
        revoked = await self._endings.carry_out(user_id, ends, client=client)
        await self._record("admin_account_locked", "account_locked", principal, user, client, reason)
        await self._mailer.tell(user, AccountWasLocked(at=now))
        return user, revoked

    async def unlock(self, principal: Principal, user_id: str, *, client: Client) -> User:
        """Unlock an account. Raises `NotFound`, `StepUpRequired` or `RateLimited`."""
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        user = await self._directory.unlock(user_id)
        if user is None:
            raise NotFound("There is no such account.")
        await self._record("admin_account_unlocked", "account_unlocked", principal, user, client, None)
        await self._mailer.tell(user, AccountWasUnlocked(at=self._clock()))
        return user

    async def _record(
        self, act: str, fact: str, principal: Principal, user: User, client: Client, reason: str | None
    ) -> None:
        """Record who did it in the administrator's trail, and that it was done in the user's."""
        now = self._clock()
        await self._audit.record(
            act,
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details={"user": user.user_id} | ({"reason": reason} if reason else {}),
            now=now,
        )
        await self._audit.record(fact, user_id=user.user_id, details={"by": "admin"}, now=now)
