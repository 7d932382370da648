"""Checks that Redis still lists this node's sockets: an unlisted socket receives no events, not even revocations.

Redis can lose single keys while it keeps running: by eviction when its memory is full, or by deletion. So every
socket is checked every few seconds. A missing one is listed again, reads the events it missed, and its session is
checked in MongoDB.
"""

import asyncio
from collections.abc import Sequence

import structlog

from auth.core.errors import Unavailable
from auth.core.shards import shard_of
from auth.core.tasks import end
from realtime.broker.user_log import UserLog
from realtime.delivery.catch_up import CatchUp
from realtime.delivery.watchdog import Watchdog
from realtime.hub import Connection, Connections, SocketState

# Every socket is checked once per pass; one added just after the start of a pass waits for up to two.
PASS_SECONDS = 2.5
# Shards checked at a time; the batches of a pass are spread over it.
BATCH = 128

log = structlog.get_logger()


class PresenceCheck:
    """Checks this node's sockets periodically."""

    def __init__(
        self,
        connections: Connections,
        user_log: UserLog,
        catch_up: CatchUp,
        watchdog: Watchdog,
        *,
        pass_seconds: float = PASS_SECONDS,
    ) -> None:
        self._connections = connections
        self._log = user_log
        self._catch_up = catch_up
        self._watchdog = watchdog
        self._pass_seconds = pass_seconds
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start checking, until `close`."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop checking."""
        await end(self._task)

    async def _run(self) -> None:
        while True:
            shards = list(self._by_shard())
            batches = [shards[start : start + BATCH] for start in range(0, len(shards), BATCH)]
            pause = self._pass_seconds / max(len(batches), 1)
            for batch in batches or [[]]:
                await asyncio.sleep(pause)
                expected = self._by_shard() if batch else {}
                await asyncio.gather(*(self._check(shard, expected.get(shard, ())) for shard in batch))

    def _by_shard(self) -> dict[int, list[Connection]]:
        """The sockets that must be listed, by shard: not those that are still connecting or are closing."""
        found: dict[int, list[Connection]] = {}
        for each in self._connections:
            if each.state not in {SocketState.CONNECTING, SocketState.CLOSING}:
                found.setdefault(shard_of(each.user_id), []).append(each)
        return found

    async def _check(self, shard: int, expected: Sequence[Connection]) -> None:
        try:
            lost = await self._log.unlisted(shard, expected) if expected else ()
            still_here = [each for each in lost if self._connections.get(each.socket_id) is each]
            if still_here:
                log.warning("sockets_not_listed", sockets=len(still_here))
                await self._catch_up.every(still_here)
                # The end of their sessions may have been missed, too.
                await self._watchdog.check_soon({each.session_id for each in still_here})
        except Unavailable:
            return  # without Redis the bus falls silent, and the watchdog asks MongoDB
        except Exception:  # the checks must go on
            log.exception("presence_check_failed")
