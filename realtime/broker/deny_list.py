"""The deny-list in Redis: revoked sessions whose access tokens have not expired yet.

It is used only while it is known to be whole. Entries that could not be written while Redis was down, or that
Redis lost, are still in MongoDB: until `restore` has written them back, every query raises and callers ask MongoDB
instead. So a token that was refused once is never accepted again.

It is a single key: a sorted set of sessions by end of their entry, with the mark that the list is whole. So Redis
cannot evict an entry and keep the mark.
"""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from auth.core.errors import Unavailable
from auth.platform.redis.link import RedisLink
from auth.stores.sessions.store import SessionStore
from realtime.broker.redis_keys import Keys
from realtime.broker.scripts import load

# The member that marks the list as whole; also used in connect.lua and deny.lua.
WHOLE = "whole"
# Entries written back per call.
RESTORE_BATCH = 1000


class DenyList:
    """Implements `auth.sessions.sessions.RevocationList`.

    In doubt after each outage that this node saw, until `restore`, and whenever the mark that `restore` writes is
    missing, which is lost together with the entries. `life`: how long a revoked session's access tokens remain
    unexpired at most.
    """

    def __init__(self, link: RedisLink, keys: Keys, *, life: timedelta) -> None:
        self._link = link
        self._key = keys.denied
        self.life = life
        self._whole_since: int | None = None
        self._doubted = asyncio.Event()
        self._write = load(link, "deny")

    @property
    def in_doubt(self) -> bool:
        """Whether entries may be missing."""
        return self._whole_since != self._link.outages

    def mark_in_doubt(self) -> None:
        """Mark the list as possibly incomplete, and wake the task in `wait_for_doubt`, which restores it."""
        self._whole_since = None
        self._doubted.set()

    async def wait_for_doubt(self, seconds: float) -> None:
        """Wait until the list is next marked as in doubt, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._doubted.wait()
        except TimeoutError:
            return
        self._doubted.clear()

    async def is_revoked(self, session_id: str) -> bool:
        """Whether the session is on the list. Raises `Unavailable` if the list is in doubt or Redis is down."""
        if self.in_doubt:
            raise Unavailable
        denied, whole = await self._link.execute("ZMSCORE", self._key, session_id, WHOLE)
        if denied is None and whole is None:
            self.mark_in_doubt()
            raise Unavailable
        return denied is not None

    async def check(self) -> None:
        """Mark the list as in doubt if Redis has lost it. Raises `Unavailable`."""
        if await self._link.execute("ZSCORE", self._key, WHOLE) is None:
            self.mark_in_doubt()

    async def restore(self, sessions: SessionStore, *, now: datetime) -> None:
        """Write back all sessions revoked within the last `life`, and the mark that the list is whole.

        Raises `Unavailable` when MongoDB or Redis is down, or when Redis lost entries during the call.
        """
        outages = self._link.outages
        mark = f"restoring {secrets.token_hex(8)}"
        # Before MongoDB is read: later revocations are written to Redis directly, and can only be lost with the
        # mark.
        await self._put(mark, "begin")
        revoked = await sessions.revoked_since(now - self.life)
        remaining = [(session_id, at + self.life - now) for session_id, at in revoked]
        for start in range(0, len(remaining), RESTORE_BATCH):
            await self._put(mark, "add", remaining[start : start + RESTORE_BATCH])
        await self._put(mark, "end")
        self._whole_since = outages

    async def _put(self, mark: str, step: str, entries: Sequence[tuple[str, timedelta]] = ()) -> None:
        arguments: list[str | int] = [mark, step]
        for session_id, life in entries:
            arguments += [session_id, max(round(life.total_seconds() * 1000), 1)]
        if not await self._write(keys=[self._key], args=arguments):
            raise Unavailable
