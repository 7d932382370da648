"""Leases of nodes: a node is alive until its lease runs out, and its sockets are online as long.

Each node renews its lease and reads those of the others with it, so that no script on a user's keys has to: the
leases are keys of their own, which a cluster may keep on another master. What a node knows of the others is at
most `RENEW_SECONDS` old, and read again before a node counts as dead. While the leases cannot be read, nodes that
were alive count as alive.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from auth.core.errors import Unavailable
from auth.platform.redis.link import RedisLink, as_text
from realtime.broker.redis_keys import Keys
from realtime.broker.scripts import load

# How long after its last renewal a node counts as alive.
NODE_LEASE = timedelta(seconds=10)
RENEW_SECONDS = 3.0
# One node cleans up after a dead one; another takes over after this long if the first dies meanwhile.
CLAIM = timedelta(seconds=10)
# Leases that were read longer ago are not left to run out.
CURRENT_SECONDS = 2 * RENEW_SECONDS


@dataclass(frozen=True, slots=True)
class Renewal:
    """The term of the renewed lease, and the dead nodes that this node has claimed for cleanup."""

    term: str
    dead: tuple[str, ...]


class NodeLeases:
    """This node's lease, and what it knows of those of the others."""

    def __init__(self, link: RedisLink, keys: Keys, *, node_id: str) -> None:
        self._link = link
        self._keys = keys
        self._node_id = node_id
        self._renew = load(link, "renew")
        self._read = load(link, "leases")
        self._forget = load(link, "forget")
        # When each lease ends, by this node's monotonic clock.
        self._ends: dict[str, float] = {}
        # When each node was last seen with a valid lease.
        self._seen_at: dict[str, float] = {}
        self._read_at = 0.0

    async def renew(self, length: timedelta, *, sockets: int) -> Renewal:
        """Renew this node's lease and claim nodes whose leases have run out. Raises `Unavailable`.

        The term changes each time a lease is started anew. `sockets`: the number of the node's sockets.
        """
        keys = [self._keys.leases, self._keys.terms, self._keys.counts]
        arguments: list[str | int] = [
            self._node_id,
            round(length.total_seconds() * 1000),
            self._keys.claims,
            round(CLAIM.total_seconds() * 1000),
            sockets,
        ]
        term, dead, leases = await self._renew(keys=keys, args=arguments)
        self._note(leases)
        return Renewal(as_text(term), tuple(map(as_text, dead)))

    async def look(self) -> None:
        """Read the leases now. Raises `Unavailable`."""
        self._note(await self._read(keys=[self._keys.leases]))

    async def alive(self) -> list[str]:
        """The nodes that are alive now. Raises `Unavailable`."""
        await self.look()
        return [node for node in self._ends if self._is_alive(node)]

    @property
    def alive_lately(self) -> list[str]:
        """The other nodes that had a lease at a reading within the length of one.

        More of them may be running than are alive: one whose lease Redis lost has it again after `RENEW_SECONDS`.
        """
        since = time.monotonic() - NODE_LEASE.total_seconds()
        return [node for node, seen_at in self._seen_at.items() if seen_at > since and node != self._node_id]

    async def judge(self, nodes: Iterable[str]) -> dict[str, bool | None]:
        """Whether each node is alive; None if it has no lease, not even an expired one.

        Redis is asked before a node counts as dead: it may have come, or come back, since the last reading. Never
        raises: an unknown node counts as alive if its lease cannot be read.
        """
        judged = {node: self._is_alive(node) for node in nodes}
        if not all(judged.values()):
            try:
                await self.look()
            except Unavailable:
                return {node: alive is not False for node, alive in judged.items()}
            judged = {node: self._is_alive(node) for node in judged}
        return judged

    def knows(self, nodes: Iterable[str]) -> bool:
        """Whether each node had a lease, be it an expired one, at the last reading."""
        return all(node in self._ends or node == self._node_id for node in nodes)

    async def is_expired(self, node_id: str) -> bool:
        """Whether a node is dead now, according to Redis. Raises `Unavailable`."""
        await self.look()
        return not self._is_alive(node_id)

    async def add(self, node_id: str, *, ends_at_ms: int) -> None:
        """Give a node a lease, unless it has one. Raises `Unavailable`."""
        await self._link.execute("ZADD", self._keys.leases, "NX", ends_at_ms, node_id)

    async def forget(self, node_id: str) -> None:
        """Remove the lease of a dead node; without effect if it is alive again. Raises `Unavailable`."""
        keys = [self._keys.leases, self._keys.terms, self._keys.counts, self._keys.claims + node_id]
        await self._forget(keys=keys, args=[node_id])

    async def count_sockets(self) -> dict[str, int]:
        """The number of sockets of each living node at its last renewal. Raises `Unavailable`."""
        await self.look()
        counts = await self._link.execute("HGETALL", self._keys.counts)
        read = {as_text(node): int(count) for node, count in zip(counts[::2], counts[1::2], strict=True)}
        return {node: read.get(node, 0) for node in self._ends if self._is_alive(node)}

    @property
    def has_peers(self) -> bool:
        """Whether other nodes were alive at the last reading."""
        return any(self._is_alive(node) for node in self._ends if node != self._node_id)

    def _is_alive(self, node_id: str) -> bool | None:
        if node_id == self._node_id:
            return True
        ends_at = self._ends.get(node_id)
        if ends_at is None:
            return None
        now = time.monotonic()
        return ends_at > (now if now - self._read_at < CURRENT_SECONDS else self._read_at)

    def _note(self, leases: Sequence[Any]) -> None:
        now = time.monotonic()
        self._read_at = now
        self._ends = {
            as_text(node): now + int(left) / 1000 for node, left in zip(leases[::2], leases[1::2], strict=True)
        }
        since = now - NODE_LEASE.total_seconds()
        earlier = {node: seen_at for node, seen_at in self._seen_at.items() if seen_at > since}
        self._seen_at = earlier | {node: now for node, ends_at in self._ends.items() if ends_at > now}
