"""Tells MongoDB which devices came online and went offline, for the facts that backends read.

Collected, and written after the act, many in one command. What a killed node had not written, and what Redis lost,
is found by comparing: a device that is recorded at a node without a lease is looked for in Redis.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from itertools import islice

import structlog

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.tasks import end
from auth.stores.device_presence import DevicePresence, DeviceSeen
from realtime.broker.leases import NodeLeases

COLLECT_SECONDS = 0.1
RETRY_SECONDS = 1.0
# For the last write of a node that stops, also while MongoDB does not answer.
CLOSE_SECONDS = 1.0
BATCH = 500
# A node without a lease in two rounds, one after another, is dead: after an outage of Redis nodes take new leases.
ROUND_SECONDS = 10.0
MOST_COMPARED = 200

log = structlog.get_logger()

# The nodes that have a session's sockets. Raises `Unavailable`.
NodesOf = Callable[[str, str], Awaitable[list[str]]]


class PresenceFacts:
    """What this node has seen and not written yet, by user and session: the last state of each device."""

    def __init__(self, store: DevicePresence, leases: NodeLeases, *, node_id: str, clock: Clock) -> None:
        self._store = store
        self._leases = leases
        self._node_id = node_id
        self._clock = clock
        self._seen: dict[tuple[str, str], DeviceSeen] = {}
        self._has_news = asyncio.Event()
        self._missing: set[str] = set()
        self._nodes_of: NodesOf | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, nodes_of: NodesOf) -> None:
        """Start writing and comparing, until `close`."""
        self._nodes_of = nodes_of
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._compare())]

    async def close(self) -> None:
        """Stop, and write what is left. A no-op if never started."""
        if not self._tasks:
            return
        await end(*self._tasks)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._seen:
                    await self._write_some()
        except (Unavailable, TimeoutError):
            log.warning("presence_facts_not_written", count=len(self._seen))  # found by comparing

    def note(self, user_id: str, session_id: str, online: bool) -> None:
        """Record that a device is online at this node, or that it went offline."""
        self._seen[user_id, session_id] = DeviceSeen(user_id, session_id, online, self._clock())
        self._has_news.set()

    async def _write(self) -> None:
        while True:
            await self._has_news.wait()
            await asyncio.sleep(COLLECT_SECONDS)
            self._has_news.clear()
            try:
                while self._seen:
                    await self._write_some()
                continue
            except Unavailable:
                pass
            except Exception:  # a defect must not end it
                log.exception("presence_facts_failed")
            self._has_news.set()
            await asyncio.sleep(RETRY_SECONDS)

    async def _write_some(self) -> None:
        written = dict(islice(self._seen.items(), BATCH))
        await self._store.note(list(written.values()), node_id=self._node_id)
        for key, seen in written.items():
            if self._seen.get(key) is seen:
                del self._seen[key]
            if not seen.online:
                await self._correct(seen)

    async def _correct(self, gone: DeviceSeen) -> None:
        """Record that a device is online after all: another node may have written so before this one wrote."""
        assert self._nodes_of is not None
        try:
            nodes = await self._nodes_of(gone.user_id, gone.session_id)
        except Unavailable:
            return
        if nodes and (gone.user_id, gone.session_id) not in self._seen:
            back = DeviceSeen(gone.user_id, gone.session_id, online=True, at=self._clock())
            await self._store.note([back], node_id=nodes[0])

    async def _compare(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                await self._compare_once()
            except Unavailable:
                self._missing.clear()
            except Exception:  # a defect must not end it
                log.exception("presence_facts_failed")

    async def _compare_once(self) -> None:
        alive = await self._leases.alive()
        missing: set[str] = set()
        while await self._compare_some(alive, missing):
            pass
        self._missing = missing

    async def _compare_some(self, alive: Collection[str], missing: set[str]) -> bool:
        """Correct some devices, and add their nodes to `missing`; whether there may be more to correct."""
        assert self._nodes_of is not None
        gone, moved = [], 0
        found = await self._store.online_elsewhere(alive, limit=MOST_COMPARED)
        for user_id, session_id, node_id in found:
            missing.add(node_id)
            if node_id not in self._missing:
                continue
            nodes = await self._nodes_of(user_id, session_id)
            if not nodes:
                gone.append(DeviceSeen(user_id, session_id, online=False, at=self._clock()))
                continue
            await self._store.move(user_id, session_id, node_id=nodes[0])
            moved += nodes[0] in alive
        if gone:
            await self._store.note(gone, node_id=self._node_id)
        return len(gone) + moved == MOST_COMPARED
