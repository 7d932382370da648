"""Deleting an account: at once for everybody else, for good after two weeks.

Asking for it ends every session, sockets included, and tells the owner by mail: a thief who did it cannot hide it,
and the owner logs in and takes it back (ASVS 5.0, 7.4.2). After fourteen days any node erases it. Each step can be
done twice, so that one which was cut off is finished by the next: the account's own document goes last. Mails and
SMS go with it, sent or not, to whatever address they went; none is sent of the erasure itself. The audit trail
stays for its own time, under the bare user id.
"""

from datetime import datetime, timedelta
from typing import Protocol

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import Conflict, SessionRevoked
from auth.models import ADMIN, SYSTEM, Actor, Client, Principal, RevocationReason, User
from auth.session_endings import SessionEndings, ending
from auth.session_terms import Revoked
from auth.step_up import StepUp
from auth.stores.users import Users

GRACE = timedelta(days=14)
# Another node takes over from one that died over it.
CLAIM = timedelta(minutes=5)
NOWHERE = Client("")


class SessionEnder(Protocol):
    """Ends sessions of a user."""

    async def end_all(self, user_id: str, *, reason: RevocationReason, by: Actor, client: Client) -> Revoked:
        """End every session of the user."""


class Parts(Protocol):
    """What is kept of an account beside its own document."""

    async def erase(self, user_id: str) -> None:
        """Erase it; again is a no-op."""


class Administrators(Protocol):
    """Knows who administers."""

    async def has_administrator(self) -> bool:
        """Whether somebody does, and is to stay."""


class DeletionNotice(Protocol):
    """Tells a user by mail what becomes of their account."""

    async def deletion_asked(self, user: User, *, at: datetime, ip: str, deletion_at: datetime) -> None:
        """Queue the mail; never waits for a mail server."""

    async def deletion_taken_back(self, user: User, *, at: datetime, ip: str) -> None:
        """Queue the mail; never waits for a mail server."""


class AccountDeletion:
    """Takes wishes to be deleted, takes them back, and fulfils them."""

    def __init__(
        self,
        *,
        users: Users,
        parts: Parts,
        sessions: SessionEnder,
        endings: SessionEndings,
        administrators: Administrators,
        step_up: StepUp,
        notice: DeletionNotice,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._users = users
        self._parts = parts
        self._sessions = sessions
        self._endings = endings
        self._administrators = administrators
        self._step_up = step_up
        self._notice = notice
        self._audit = audit
        self._clock = clock

    async def ask(self, principal: Principal, *, client: Client) -> datetime:
        """Delete the principal's account in fourteen days; when that will be. Every session ends now.

        Asked again, the first moment stays. Raises `StepUpRequired`, `Unavailable`, or `Conflict` for the last
        administrator: looked for when this one is on the way out, so that two who leave at once are not both.
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
            raise Conflict("You are the last administrator. Name another one first.")
        await self._audit.record(
            "deletion_asked", user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        await self._endings.carry_out(user.user_id, ends, client=client)
        await self._notice.deletion_asked(user, at=now, ip=client.ip, deletion_at=deletion_at)
        return deletion_at

    async def take_back(self, principal: Principal, *, client: Client) -> User:
        """Keep the account after all; fine when nobody asked for its deletion."""
        before = await self._users.by_id(principal.user_id)
        user = await self._users.cancel_deletion(principal.user_id)
        if user is None or before is None:
            raise SessionRevoked
        if before.deletion_at is not None:
            now = self._clock()
            await self._audit.record(
                "deletion_taken_back",
                user_id=user.user_id,
                session_id=principal.session_id,
                client=client,
                now=now,
            )
            await self._notice.deletion_taken_back(user, at=now, ip=client.ip)
        return user

    async def erase_due(self) -> int:
        """Erase the accounts whose time has come; how many. Raises `Unavailable`."""
        erased = 0
        while True:
            now = self._clock()
            user_id = await self._users.claim_deletion(now=now, until=now + CLAIM)
            if user_id is None:
                return erased
            await self._sessions.end_all(
                user_id, reason=RevocationReason.ACCOUNT_DELETED, by=SYSTEM, client=NOWHERE
            )
            await self._parts.erase(user_id)
            await self._users.erase(user_id)
            await self._audit.record(
                "account_erased", user_id=user_id, session_id=None, client=None, now=self._clock()
            )
            erased += 1
