"""Account deletion: requested by the user, carried out after a grace period of 14 days.

A request ends every session and its sockets, and notifies the owner by mail, so that an attacker cannot hide it
and the owner can log in and cancel it (ASVS 5.0, 7.4.2). After 14 days, any node erases the account. Every step is
idempotent, so an interrupted erasure is completed by a later one; the account's own document is erased last. Its
mails and SMS are erased too, sent or not and to whatever address. The erasure itself is not reported. The audit
trail is kept for its own retention period, under the bare user id.
"""

from datetime import datetime, timedelta

from auth.core.errors import Conflict, SessionRevoked
from auth.core.events import PresenceReader
from auth.core.models import ADMIN, NOWHERE, SYSTEM, Actor, Client, Principal, RevocationReason, User
from auth.factors.step_up import StepUp
from auth.notifications.mail_contents import DeletionAsked, DeletionTakenBack
from auth.platform.periodic_tasks import one_item
from auth.services import Operation, Services
from auth.sessions.endings import SessionEndings, ending
from auth.sessions.sessions import Sessions
from auth.stores.users.account_data import AccountData
from auth.stores.users.directory import Directory

GRACE = timedelta(days=14)
# After this time another node takes over an unfinished erasure.
CLAIM = timedelta(minutes=5)


class AccountDeletion(Operation):
    """Schedules, cancels and performs account deletion."""

    def __init__(
        self,
        services: Services,
        *,
        parts: AccountData,
        sessions: Sessions,
        endings: SessionEndings,
        administrators: Directory,
        step_up: StepUp,
        presence: PresenceReader,
    ) -> None:
        super().__init__(services)
        self._parts = parts
        self._presence = presence
        self._sessions = sessions
        self._endings = endings
        self._administrators = administrators
        self._step_up = step_up

    async def ask(self, principal: Principal, *, client: Client) -> datetime:
        """Schedule the deletion of the principal's account in 14 days and end every session; return the time.

        A repeated request keeps the first time. Raises `StepUpRequired`, `Unavailable`, or `Conflict` for the last
        administrator. That is checked after this deletion is scheduled, so that two administrators who leave
        concurrently cannot both succeed.
        """
        user = await self._step_up.require(principal)
        now = self._clock()
        by = Actor("user", principal.session_id)
        ends = ending(now, RevocationReason.ACCOUNT_DELETED, by=by)
        deletion_at = await self._users.schedule_deletion(user.user_id, at=now + GRACE, ends=ends)
        if deletion_at is None:
            raise SessionRevoked
        if ADMIN in user.roles and not await self._administrators.has_administrator():
            await self._users.cancel_deletion(user.user_id)
            await self._endings.give_up(user.user_id, ends)
            raise Conflict("You are the last administrator. Make someone else an administrator first.")
        await self._audit.record(
            "deletion_asked", user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        await self._endings.carry_out(user.user_id, ends, client=client)
        await self._mailer.tell(user, DeletionAsked(at=now, ip=client.ip, deletion_at=deletion_at))
        return deletion_at

    async def cancel(self, principal: Principal, *, client: Client) -> User:
        """Cancel the deletion of the principal's account; no error if none is scheduled.

        Raises `SessionRevoked` if the user is deleted.
        """
        before = await self._users.by_id(principal.user_id)
        user = await self._users.cancel_deletion(principal.user_id)
        if user is None or before is None:
            raise SessionRevoked
        if before.deletion_at is not None:
            notice = DeletionTakenBack(at=self._clock(), ip=client.ip)
            await self._record_and_tell(user, notice, session_id=principal.session_id, client=client)
        return user

    async def erase_due(self) -> int:
        """Erase the accounts that are due; return how many. Raises `Unavailable`."""
        erased = 0
        while True:
            now = self._clock()
            user_id = await self._users.claim_deletion(now=now, until=now + CLAIM)
            if user_id is None:
                return erased
            with one_item("erasures", user_id=user_id):
                await self._erase(user_id)
                erased += 1

    async def _erase(self, user_id: str) -> None:
        await self._sessions.end_all(user_id, reason=RevocationReason.ACCOUNT_DELETED, by=SYSTEM, client=NOWHERE)
        await self._parts.erase(user_id)
        await self._presence.forget(user_id)
        await self._users.erase(user_id)
        await self._audit.record("account_erased", user_id=user_id)
