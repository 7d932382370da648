"""A cluster: routes each command to the master of its slot, and follows slots that move.

Guarantees: a command runs once, on the master that has its keys, or raises `Unavailable`. A redirection is not an
outage: the master that replies it has not run the command. While a slot is being moved, a script whose keys are on
both sides is repeated until they are together. The masters are looked up again after a redirection, an outage or a
lost subscription.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from auth.core.errors import Unavailable
from auth.core.tasks import end
from auth.platform.redis.address import Endpoint, RedisAddress
from auth.platform.redis.discovery import Shard, find_shards
from auth.platform.redis.master import Master
from auth.platform.redis.slots import SLOTS, slot_of
from auth.platform.redis.wire import Argument

REDIRECTIONS = ("MOVED", "ASK", "TRYAGAIN")
# Pause before a command whose keys are on both sides of a move is repeated.
PAUSE_SECONDS = 0.02
# Pause between two look-ups of the masters.
LOOK_UP_SECONDS = 0.25
SCRIPTS = {"EVALSHA", "EVAL"}

log = structlog.get_logger()


class Cluster:
    """The masters of a cluster. `make` creates one from its address; `answer_seconds` limits redirections."""

    def __init__(
        self, address: RedisAddress, make: Callable[[RedisAddress], Master], *, answer_seconds: float
    ) -> None:
        self._address = address
        self._make = make
        self._answer_seconds = answer_seconds
        self._masters: dict[Endpoint, Master] = {}
        self._table: list[Master | None] = [None] * SLOTS
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")
        self._closing: set[asyncio.Task[None]] = set()
        self._observers: list[Callable[[], None]] = []

    def of(self, slot: int) -> Master | None:
        """The master of a slot, as far as it is known."""
        return self._table[slot]

    @property
    def masters(self) -> tuple[Master, ...]:
        """The masters that have slots."""
        return tuple(self._masters.values())

    def observe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever slots have another master."""
        self._observers.append(on_change)

    async def execute(self, *command: Argument) -> Any:
        """See `RedisLink.execute`. All keys of the command must be of one slot."""
        slot = slot_of(key_of(command))
        ends_at = time.monotonic() + self._answer_seconds
        asked: Master | None = None
        while True:
            master = asked or self._table[slot] or await self._first_master(slot)
            try:
                return await master.execute(*command, asking=asked is not None)
            except Unavailable:
                self.look_up_soon()
                raise
            except ResponseError as redirection:
                kind, *where = str(redirection).split(" ")
                if kind not in REDIRECTIONS:
                    raise
                if time.monotonic() > ends_at:
                    raise Unavailable from redirection
                asked = self._at(where[1], master) if kind == "ASK" else None
                if kind == "MOVED":
                    self._move(slot, self._at(where[1], master))
                elif kind == "TRYAGAIN":
                    await asyncio.sleep(PAUSE_SECONDS)

    async def look_up(self) -> None:
        """Look the masters up. Raises `Unavailable` if no node answers."""
        try:
            shards = await find_shards(self._address, tuple(self._masters), seconds=self._answer_seconds)
        except RedisError as error:
            raise Unavailable from error
        self._replace(shards)

    def look_up_soon(self) -> None:
        """Look the masters up, unless that is in progress."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_up_paced())

    async def close(self) -> None:
        """Close every connection."""
        await end(self._looking, *self._closing)
        for master in self.masters:
            await master.close()

    async def _look_up_paced(self) -> None:
        pause = self._looked_at + LOOK_UP_SECONDS - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        self._looked_at = time.monotonic()
        try:
            await self.look_up()
        except Unavailable:
            log.warning("cluster_not_found")

    async def _first_master(self, slot: int) -> Master:
        self.look_up_soon()
        assert self._looking is not None
        await asyncio.shield(self._looking)
        master = self._table[slot]
        if master is None:
            raise Unavailable
        return master

    def _at(self, place: str, redirector: Master) -> Master:
        """The master at `host:port`; without a host, at that of the master that named it."""
        host, _, port = place.rpartition(":")
        endpoint = host or str(redirector.address.pool.connection_kwargs["host"]), int(port)
        if endpoint not in self._masters:
            self._masters[endpoint] = self._make(self._address.at(endpoint))
        return self._masters[endpoint]

    def _move(self, slot: int, to: Master) -> None:
        if self._table[slot] is not to:
            self._table[slot] = to
            self._tell()
        # Other slots have moved as well, more often than not.
        self.look_up_soon()

    def _replace(self, shards: list[Shard]) -> None:
        before = list(self._table)
        found = {shard.endpoint: shard for shard in shards}
        for endpoint in set(self._masters) - set(found):
            task = asyncio.create_task(self._masters.pop(endpoint).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        table: list[Master | None] = [None] * SLOTS
        for endpoint, shard in found.items():
            master = self._masters.get(endpoint) or self._make(self._address.at(endpoint))
            self._masters[endpoint] = master
            for first, last in shard.ranges:
                table[first : last + 1] = [master] * (last + 1 - first)
        self._table = table
        if table != before:
            self._tell()

    def _tell(self) -> None:
        for on_change in self._observers:
            on_change()


def key_of(command: tuple[Argument, ...]) -> str | bytes:
    """The first key of a command or script, or its channel."""
    key = command[3] if command[0] in SCRIPTS else command[1]
    return key if isinstance(key, str | bytes) else str(key)
