"""Cleanup after dead nodes: takes their devices offline, and runs the disconnect hooks for their sockets.

A socket stays in its node's set until it is completely cleaned up. So if the cleaning node dies as well, another
node finds what is left. Every step may therefore run more than once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import structlog

from auth.core.clock import Clock, to_ms
from auth.core.errors import Unavailable
from auth.core.shards import shard_of
from auth.core.tasks import end
from auth.platform.periodic_tasks import one_item
from auth.platform.redis.link import RedisLink, as_text
from realtime.broker.leases import NODE_LEASE, RENEW_SECONDS, NodeLeases
from realtime.broker.redis_keys import ALL_SHARDS, Keys
from realtime.broker.user_log import UserLog, device_status

BATCH = 200
# Attempts to run failing disconnect hooks for the sockets of a dead node, one lease renewal apart.
HOOK_ATTEMPTS = 5
# Suffix of a member of a node's set whose disconnect hooks have already run.
TOLD = "|told"

log = structlog.get_logger()

T = TypeVar("T")

# Runs the application's disconnect hooks, given user id, session id and socket id; False if one failed.
RunHooks = Callable[[str, str, str], Awaitable[bool]]


class _OngoingWork:
    """Background tasks by name, at most one per name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start `work`, unless a task of that name is running."""
        if name not in self._tasks:
            task = self._tasks[name] = asyncio.create_task(self._until_done(name, work))
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def close(self) -> None:
        """Stop all tasks; another node continues."""
        await end(*self._tasks.values())

    async def _until_done(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Unavailable:
            log.warning("not_cleared", what=name)  # found again later
        except Exception:  # a failure must not stop the other cleanups
            log.exception("clearing_failed", what=name)


class OrphanedSockets(_OngoingWork):
    """Listed sockets whose node has no lease at all, so that no node would clean up after it."""

    def __init__(self, link: RedisLink, keys: Keys, leases: NodeLeases, *, clock: Clock) -> None:
        super().__init__()
        self._link = link
        self._keys = keys
        self._leases = leases
        self._clock = clock

    def check_soon(self, user_id: str) -> None:
        """Adopt the sockets of a user whose nodes have no lease.

        Their nodes get leases, and the sockets are added to the sets of these nodes. A live node renews its new
        lease; the sockets of a dead one are cleaned up when the lease runs out.
        """
        self.begin(f"sockets of {user_id}", lambda: self._adopt(user_id))

    def check_later(self, user_ids: Callable[[], Iterable[str]]) -> None:
        """Adopt such sockets of many users, when each living node has renewed a lease that Redis has lost.

        A node that is killed before it does so leaves sockets behind that no later handshake may come across.
        """
        self.begin("sockets of many users", lambda: self._adopt_later(user_ids))

    async def _adopt_later(self, user_ids: Callable[[], Iterable[str]]) -> None:
        await asyncio.sleep(2 * RENEW_SECONDS)
        for batch in _batches(list(set(user_ids()))):
            await asyncio.gather(*map(self._adopt, batch))

    async def _adopt(self, user_id: str) -> None:
        listed = await self._link.execute("HGETALL", self._keys.sockets(user_id))
        sockets = listed_sockets(listed)
        alive = await self._leases.judge({node_id for _, node_id, _ in sockets})
        lease_ends = to_ms(self._clock() + NODE_LEASE)
        for socket_id, node_id, session_id in sockets:
            if alive[node_id] is None:
                key = self._keys.node_sockets(node_id, shard_of(user_id))
                await self._link.execute("SADD", key, f"{user_id}|{session_id}|{socket_id}")
                await self._leases.add(node_id, ends_at_ms=lease_ends)


class DeadNodeCleanup(_OngoingWork):
    """Cleans up after dead nodes claimed by this node. `run_hooks` is None if there are no disconnect hooks."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        user_log: UserLog,
        leases: NodeLeases,
        *,
        run_hooks: RunHooks | None,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._link = link
        self._keys = keys
        self._log = user_log
        self._leases = leases
        self._run_hooks = run_hooks
        self._clock = clock
        self._attempts: dict[str, int] = {}

    def clear_soon(self, node_id: str) -> None:
        """Clean up after a node whose lease has run out, unless that is already in progress."""
        self.begin(node_id, lambda: self._clear(node_id))

    async def entries(self, node_id: str, shards: Iterable[int]) -> list[str]:
        """The sockets in a node's sets of these shards. Raises `Unavailable`."""

        async def read(shard: int) -> list[str]:
            members = await self._link.execute("SMEMBERS", self._keys.node_sockets(node_id, shard))
            return [as_text(entry) for entry in members]

        found: list[str] = []
        for batch in _batches(sorted(shards)):
            for entries in await asyncio.gather(*map(read, batch)):
                found += entries
        return found

    async def discard(self, node_id: str, entries: Sequence[str], *, is_dead: bool, is_last_try: bool) -> bool:
        """Unlist sockets of a node and run their disconnect hooks; whether everything is done.

        With `is_dead`, stops if the node turns out to be alive: it lists its sockets again, because it finds its
        lease gone. Raises `Unavailable`.
        """
        try:
            return await self._discard(node_id, entries, is_dead=is_dead, is_last_try=is_last_try)
        except _NodeAlive:
            return True

    async def _discard(self, node_id: str, entries: Sequence[str], *, is_dead: bool, is_last_try: bool) -> bool:
        untold = [] if self._run_hooks is None else [entry for entry in entries if not entry.endswith(TOLD)]
        kept = frozenset(untold)

        async def leave(entry: str, *, forget: bool) -> bool:
            await self.leave(node_id, entry, forget=forget)
            return True

        async def may_go_on() -> bool:
            return not is_dead or await self._leases.is_expired(node_id)

        # All go offline first, because hooks may be slow.
        await _in_batches(entries, lambda entry: leave(entry, forget=entry not in kept), may_go_on)
        done = await _in_batches(untold, self._run_hooks_for, may_go_on)
        told = [entry for entry, was_told in zip(untold, done, strict=True) if was_told or is_last_try]
        await _in_batches(told, lambda entry: leave(entry, forget=True), may_go_on)
        return len(told) == len(untold)

    async def leave(self, node_id: str, entry: str, *, forget: bool) -> None:
        """See `UserLog.leave`."""
        offline = device_status(entry.split("|")[1], online=False, sockets=0, clock=self._clock)
        await self._log.leave(node_id, entry, offline, forget=forget)

    async def _clear(self, node_id: str) -> None:
        attempt = self._attempts.get(node_id, 0) + 1
        entries = await self.entries(node_id, ALL_SHARDS)
        log.info("node_died", node_id=node_id, sockets=len(entries), attempt=attempt)
        if await self.discard(node_id, entries, is_dead=True, is_last_try=attempt >= HOOK_ATTEMPTS):
            self._attempts.pop(node_id, None)
            if not await self.entries(node_id, ALL_SHARDS):
                await self._leases.forget(node_id)
        else:
            self._attempts[node_id] = attempt

    async def _run_hooks_for(self, entry: str) -> bool:
        assert self._run_hooks is not None
        user_id, session_id, socket_id = entry.split("|")[:3]
        return await self._run_hooks(user_id, session_id, socket_id)


class _NodeAlive(Exception):
    """The node that was considered dead is alive."""


def listed_sockets(listed: Sequence[Any]) -> list[tuple[str, str, str]]:
    """Socket id, node and session of each of a user's sockets, from the pairs in Redis."""
    sockets = []
    for socket_id, value in zip(listed[::2], listed[1::2], strict=True):
        node_id, _, session_id = as_text(value).partition("|")
        sockets.append((as_text(socket_id), node_id, session_id))
    return sockets


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


async def _in_batches(
    entries: Sequence[str],
    work: Callable[[str], Awaitable[bool]],
    may_go_on: Callable[[], Awaitable[bool]],
) -> list[bool]:
    """Run `work` for each entry; whether it succeeded. Raises `_NodeAlive` when it may not go on."""

    async def one(entry: str) -> bool:
        with one_item("clearing", entry=entry):
            return await work(entry)
        return False

    done: list[bool] = []
    for batch in _batches(entries):
        if not await may_go_on():
            raise _NodeAlive
        done += await asyncio.gather(*map(one, batch))
    return done
