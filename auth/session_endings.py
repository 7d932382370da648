"""Sessions that end because their account changed: a new password, a second factor, a lock, a deletion.

The change comes into force first, and then the sessions end: the other way round, a thief logs in again in
between. Between the two a node may be killed or MongoDB be gone, and the thief whom the owner meant to throw out
would stay (ASVS 5.0, 7.4.3). So the wish to end them is part of the update that makes the change
(`models.SessionsToEnd`). Whoever made it ends them at once; what they did not say to have ended within some
seconds is ended by any node. Doing so twice does no harm: sessions begun since are not touched.
"""

import secrets
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from auth.clock import Clock
from auth.errors import Unavailable
from auth.models import Actor, Client, RevocationReason, SessionsToEnd
from auth.session_terms import Revoked
from auth.stores.session_endings import SessionEndings as EndingStore

# Longer than ending one user's sessions takes; then another node may try.
CLAIM = timedelta(seconds=30)
NOWHERE = Client("")

log = structlog.get_logger()


class SessionEnder(Protocol):
    """Ends sessions of a user."""

    async def end_those(
        self, user_id: str, those: SessionsToEnd, *, only_begun_before: bool, client: Client
    ) -> Revoked:
        """End the sessions that a change of the account ends."""


class SessionEndings:
    """Ends the sessions that a change ends, and those that others left."""

    def __init__(self, *, store: EndingStore, sessions: SessionEnder, clock: Clock) -> None:
        self._store = store
        self._sessions = sessions
        self._clock = clock

    async def begin(self, user_id: str, ending: SessionsToEnd) -> None:
        """Write down which sessions end for a second factor that is about to be put in force, elsewhere."""
        await self._store.begin(user_id, ending)

    async def give_up(self, user_id: str, ending: SessionsToEnd) -> None:
        """The change was not made after all: they stay."""
        await self._store.done(user_id, ending)

    async def carry_out(self, user_id: str, ending: SessionsToEnd, *, client: Client) -> Revoked:
        """End the sessions of a change that was just made; what became of them.

        Never raises for a store that is down: the change was made, and what is left here is ended later.
        """
        revoked = Revoked()
        try:
            revoked = await self._sessions.end_those(user_id, ending, only_begun_before=False, client=client)
            await self._store.done(user_id, ending)
        except Unavailable:
            log.warning("sessions_not_ended_yet", user_id=user_id, reason=ending.reason.value)
        return revoked

    async def finish_due(self) -> int:
        """End what others left, each time on one node; for how many accounts.

        Raises `Unavailable`; then the next call goes on.
        """
        finished = 0
        while True:
            now = self._clock()
            due = await self._store.claim(now=now, until=now + CLAIM)
            if due is None:
                return finished
            await self._sessions.end_those(due.user_id, due.ending, only_begun_before=True, client=NOWHERE)
            await self._store.done(due.user_id, due.ending)
            finished += 1


def ending(now: datetime, reason: RevocationReason, *, by: Actor, keep: str | None = None) -> SessionsToEnd:
    """Every session begun by now, but for the one to keep."""
    return SessionsToEnd(secrets.token_hex(8), now, reason, by, keep)
