"""Presence: who is online, as evidence with a lease.

A node renews one lease for itself. A socket is online while it is listed and its node's lease lives, so a
node that dies takes its sockets with it, and nobody has to remember to clear a flag. Going offline is
announced two seconds late: a page that is reloaded does not flicker.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import structlog

from auth.clock import Clock, to_ms
from auth.errors import Unavailable
from realtime.connections import Connection
from realtime.keys import Keys
from realtime.messages import DeviceStatus
from realtime.redis_link import RedisLink, as_text
from realtime.tasks import end
from realtime.user_log import UserLog, member

LEASE = timedelta(seconds=10)
RENEW_SECONDS = 3.0
# One node clears up after a dead one, and another after this long if that one died over it.
CLAIM = timedelta(seconds=10)
RETURN_SECONDS = 2.0
SWEEP_BATCH = 200

log = structlog.get_logger()


class Presence:
    """This node's lease and its part in clearing up after dead nodes. Implements `auth.events.PresenceReader`.

    `on_lost` is awaited when the node finds its lease gone: another node may have cleared its sockets.
    `on_company` is told at each renewal whether other nodes are alive.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        user_log: UserLog,
        *,
        node_id: str,
        on_lost: Callable[[], Awaitable[None]],
        on_company: Callable[[bool], None],
        clock: Clock,
    ) -> None:
        self._link = link
        self._keys = keys
        self._log = user_log
        self._node_id = node_id
        self._on_lost = on_lost
        self._on_company = on_company
        self._clock = clock
        self._renew = link.script("renew")
        self._read = link.script("presence")
        self._task: asyncio.Task[None] | None = None
        self._relisted = False
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take the lease, and renew it until `close`."""
        try:
            await self._renew_once()
        except Unavailable:
            log.warning("lease_not_renewed")
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Give the lease back, in as long as a client has to return: who has not by then is gone.

        Another node clears up, as after a death. So a planned stop makes nobody flicker either.
        """
        await end(self._task, *self._leaving)
        try:
            await self._take_lease(timedelta(seconds=RETURN_SECONDS))
        except Unavailable:
            log.warning("lease_not_returned")  # it runs out later

    async def online(self, user_id: str) -> tuple[frozenset[str], int]:
        """See `auth.events.PresenceReader.online`."""
        keys = [self._keys.sockets(user_id), self._keys.nodes, self._keys.meta(user_id)]
        try:
            version, sessions = await self._read(keys=keys)
        except Unavailable:
            return frozenset(), 0
        return frozenset(as_text(session) for session in sessions), int(version)

    async def census(self) -> tuple[int, int]:
        """How many nodes hold a lease, and how many sockets they have. Raises `Unavailable`."""
        now = to_ms(self._clock())
        nodes = await self._link.execute("ZRANGEBYSCORE", self._keys.nodes, now, "+inf")
        keys = [self._keys.node_sockets(as_text(node)) for node in nodes]
        return len(keys), sum(await asyncio.gather(*(self._link.execute("SCARD", key) for key in keys)))

    def leave_soon(self, connection: Connection) -> None:
        """A socket is gone: take it off the list in two seconds, and say so if its device did not return."""
        task = asyncio.create_task(self._leave_later(member(connection)))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave_later(self, entry: str) -> None:
        await asyncio.sleep(RETURN_SECONDS)
        while True:
            try:
                await self._leave(self._node_id, entry)
            except Unavailable:
                # Redis is down, perhaps too shortly for anyone to resync: nobody else would take it off.
                await asyncio.sleep(RENEW_SECONDS)
            else:
                return

    async def clear_gone(self, here: frozenset[str]) -> None:
        """Take off the list what stands there for this node and is not among the sockets `here`."""
        await self._clear(self._node_id, but=here)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self._renew_once()
            except Unavailable:
                log.warning("lease_not_renewed")
            except Exception:  # a lease that is not renewed takes every socket offline
                log.exception("presence_failed")

    async def _renew_once(self) -> None:
        held, dead, alive = await self._take_lease(LEASE)
        self._on_company(alive > 1)
        self._relisted = self._relisted and bool(held)
        if not self._relisted:
            await self._on_lost()
            self._relisted = True
        for node_id in map(as_text, dead):
            log.info("node_died", node_id=node_id)
            if await self._clear(node_id):
                await self._forget(node_id)

    async def _take_lease(self, length: timedelta) -> Any:
        arguments: list[str | int] = [
            self._node_id,
            int(length.total_seconds() * 1000),
            self._keys.claims,
            int(CLAIM.total_seconds() * 1000),
        ]
        return await self._renew(keys=[self._keys.nodes], args=arguments)

    async def _forget(self, node_id: str) -> None:
        await self._link.execute("ZREM", self._keys.nodes, node_id)
        await self._link.execute("DEL", self._keys.claims + node_id)

    async def _clear(self, node_id: str, *, but: frozenset[str] = frozenset()) -> bool:
        """Take a node's sockets off the list, whoever else is doing the same; True when none is left."""
        key = self._keys.node_sockets(node_id)
        entries = await self._link.execute("SMEMBERS", key)
        gone = [entry for entry in map(as_text, entries) if entry.rpartition("|")[2] not in but]
        for start in range(0, len(gone), SWEEP_BATCH):
            await asyncio.gather(*(self._leave(node_id, entry) for entry in gone[start : start + SWEEP_BATCH]))
        return len(gone) == len(entries)

    async def _leave(self, node_id: str, entry: str) -> None:
        session_id = entry.split("|")[1]
        await self._log.leave(
            node_id, entry, device_status(session_id, online=False, sockets=0, clock=self._clock)
        )


def device_status(session_id: str, *, online: bool, sockets: int, clock: Clock) -> DeviceStatus:
    """A device coming or going now; the log gives the event its id."""
    return DeviceStatus(event_id=0, session_id=session_id, online=online, sockets=sockets, last_seen_at=clock())
