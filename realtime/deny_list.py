"""The deny-list in Redis: sessions revoked while their access tokens could still pass for good.

It is believed only while it is known to be whole. What could not be written there while Redis was down, and
what Redis forgot, MongoDB knows: until `restore` has brought it back, nobody gets an answer from here, and
whoever asks goes to MongoDB. A token once refused is therefore never good again, not for a moment.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from auth.errors import Unavailable
from realtime.keys import Keys
from realtime.redis_link import RedisLink

WHOLE = "whole"
# Entries that are written back at one time.
RESTORED_TOGETHER = 1000


class Revocations(Protocol):
    """What MongoDB knows of revoked sessions."""

    async def revoked_since(self, moment: datetime) -> list[tuple[str, datetime]]:
        """Ids and times of sessions revoked since `moment`."""


class DenyList:
    """Implements `auth.sessions.RevocationList`.

    In doubt after each outage that this node saw, until `restore`; and wherever the mark is missing that
    `restore` leaves in Redis, which is lost with the entries. `life`: how long a revoked session's access
    tokens could still pass for good.
    """

    def __init__(self, link: RedisLink, keys: Keys, *, life: timedelta) -> None:
        self._link = link
        self._keys = keys
        self.life = life
        self._whole_since: int | None = None
        self._doubted = asyncio.Event()

    @property
    def in_doubt(self) -> bool:
        """Whether entries may be missing."""
        return self._whole_since != self._link.outages

    def doubt(self) -> None:
        """Entries may be missing: whoever waits in `doubted` is to restore them."""
        self._whole_since = None
        self._doubted.set()

    async def doubted(self, seconds: float) -> None:
        """Wait for the next doubt, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._doubted.wait()
        except TimeoutError:
            return
        self._doubted.clear()

    async def is_revoked(self, session_id: str) -> bool:
        """Whether the session is on the list. Raises `Unavailable` when that cannot be told."""
        if self.in_doubt:
            raise Unavailable
        denied, whole = await self._link.execute("MGET", self._keys.deny(session_id), self._keys.deny(WHOLE))
        if denied is None and whole is None:
            self.doubt()
            raise Unavailable
        return denied is not None

    async def restore(self, revocations: Revocations, *, now: datetime) -> None:
        """Deny again what was revoked while its tokens can still be alive. Raises `Unavailable`."""
        outages = self._link.outages
        # Asked first: what is revoked from here on reaches Redis by itself.
        await self._link.ping()
        revoked = await revocations.revoked_since(now - self.life)
        await self._deny([(session_id, at + self.life - now) for session_id, at in revoked])
        self._whole_since = outages

    async def _deny(self, remaining: Sequence[tuple[str, timedelta]]) -> None:
        for start in range(0, len(remaining), RESTORED_TOGETHER):
            batch = remaining[start : start + RESTORED_TOGETHER]
            await asyncio.gather(*(self._deny_one(session_id, life) for session_id, life in batch))
        # Last, so that nobody believes a list that is half written.
        await self._link.execute("SET", self._keys.deny(WHOLE), "1")

    async def _deny_one(self, session_id: str, life: timedelta) -> None:
        milliseconds = max(round(life.total_seconds() * 1000), 1)
        await self._link.execute("SET", self._keys.deny(session_id), "1", "PX", milliseconds)
