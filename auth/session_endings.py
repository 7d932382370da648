"""Finishing what a node that died left undone: sessions that end with an old password (ASVS 5.0, 7.4.3).

A new password comes into force first, and then the sessions of the old one end: the other way round, a thief logs
in again in between. Between the two a node may be killed or MongoDB be gone, and the thief whom the owner meant to
throw out would stay. So the intent to end them is part of the update that puts the password in force
(`models.SessionsToEnd`). Whoever made it ends them at once; what they did not say to have ended within some
seconds is ended here, by any node. Doing so twice does no harm: sessions begun since are not touched.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from auth.clock import Clock
from auth.errors import Unavailable
from auth.models import Client, SessionsToEnd, User

SWEEP_SECONDS = 2.0
# Longer than ending one user's sessions takes; then another node may try.
CLAIM = timedelta(seconds=30)
NOWHERE = Client("")

log = structlog.get_logger()


class EndingStore(Protocol):
    """Where accounts are kept."""

    async def claim_ending(self, *, now: datetime, until: datetime) -> User | None:
        """Claim an account whose sessions nobody ended though they are to be."""

    async def sessions_ended(self, user_id: str, ending: SessionsToEnd) -> None:
        """Note that they have been ended."""


class SessionEnder(Protocol):
    """Ends sessions of a user."""

    async def end_those(self, user_id: str, those: SessionsToEnd, *, client: Client) -> object:
        """End the sessions of a user that a new password was to end."""


class SessionEndings:
    """Runs on every node; a claim makes sure that one of them takes an account."""

    def __init__(self, *, users: EndingStore, sessions: SessionEnder, clock: Clock) -> None:
        self._users = users
        self._sessions = sessions
        self._clock = clock
        self._sweeping: asyncio.Task[None] | None = None

    async def finish_due(self) -> int:
        """End what is to be ended; for how many accounts. Raises `Unavailable`; then the next call goes on."""
        finished = 0
        while True:
            now = self._clock()
            user = await self._users.claim_ending(now=now, until=now + CLAIM)
            if user is None or user.sessions_to_end is None:
                return finished
            await self._sessions.end_those(user.user_id, user.sessions_to_end, client=NOWHERE)
            await self._users.sessions_ended(user.user_id, user.sessions_to_end)
            finished += 1

    def start(self) -> None:
        """Look for such accounts every two seconds, until `close`."""
        self._sweeping = asyncio.create_task(self._sweep(), name="session-endings")

    async def close(self) -> None:
        """Stop looking."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            try:
                if finished := await self.finish_due():
                    log.warning("sessions_ended_late", accounts=finished)
            except Unavailable:
                log.warning("sessions_not_ended")
            except Exception:  # a defect met at one account must not keep all others for ever
                log.exception("sessions_not_ended")
            await asyncio.sleep(SWEEP_SECONDS)
