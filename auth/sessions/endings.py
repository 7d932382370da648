"""Ends sessions after a change of their account: a new password, a second factor, a lock, a deletion.

The change takes effect first, then the sessions end; in the reverse order, an attacker could log in again in
between. If the node is killed or MongoDB fails between the two steps, the attacker's session would survive (ASVS
5.0, 7.4.3). The update that makes the change therefore also records which sessions to end
(`models.SessionsToEnd`). The caller ends them immediately; any node ends those that are not reported as ended
within some seconds. Ending them twice is harmless: sessions started since are not affected.
"""

import secrets
from datetime import datetime, timedelta

import structlog

from auth.core.errors import Unavailable
from auth.core.models import NOWHERE, Actor, Client, RevocationReason, SessionsToEnd
from auth.platform.periodic_tasks import one_item
from auth.services import Operation, Services
from auth.sessions.sessions import Sessions
from auth.sessions.types import Revoked
from auth.stores.users.pending_revocations import PendingRevocationStore

# Longer than it takes to end one user's sessions; afterwards another node may retry.
CLAIM = timedelta(seconds=30)

log = structlog.get_logger()


class SessionEndings(Operation):
    """Ends the sessions that an account change invalidates, including those left over by failed nodes."""

    def __init__(self, services: Services, *, store: PendingRevocationStore, sessions: Sessions) -> None:
        super().__init__(services)
        self._store = store
        self._sessions = sessions

    async def begin(self, user_id: str, ending: SessionsToEnd) -> None:
        """Record which sessions to end, before a second factor is enabled or removed in another collection."""
        await self._store.begin(user_id, ending)

    async def give_up(self, user_id: str, ending: SessionsToEnd) -> None:
        """Discard the record, because the change was not made; the sessions stay."""
        await self._store.done(user_id, ending)

    async def carry_out(self, user_id: str, ending: SessionsToEnd, *, client: Client) -> Revoked:
        """End the sessions of a completed change and return the result.

        Never raises `Unavailable`: the change has been made, and the remaining sessions are ended later.
        """
        revoked = Revoked()
        try:
            revoked = await self._sessions.end_matching(user_id, ending, only_begun_before=False, client=client)
            await self._store.done(user_id, ending)
        except Unavailable:
            log.warning("sessions_not_ended_yet", user_id=user_id, reason=ending.reason.value)
        return revoked

    async def finish_due(self) -> int:
        """End sessions left over by other nodes, each account on one node; return the number of accounts.

        Raises `Unavailable`; the next call continues.
        """
        finished = 0
        while True:
            now = self._clock()
            due = await self._store.claim(now=now, until=now + CLAIM)
            if due is None:
                return finished
            with one_item("session-endings", user_id=due.user_id):
                await self._sessions.end_matching(due.user_id, due.ending, only_begun_before=True, client=NOWHERE)
                await self._store.done(due.user_id, due.ending)
                finished += 1


def ending(now: datetime, reason: RevocationReason, *, by: Actor, keep: str | None = None) -> SessionsToEnd:
    """Describe the sessions to end: all that were started by `now`, except `keep`."""
    return SessionsToEnd(secrets.token_hex(8), now, reason, by, keep)
