"""Cleanup after dead nodes: takes their devices offline, and runs the disconnect hooks for their sockets.

A socket stays in its node's set until it is completely cleaned up. So if the cleaning node dies as well, another
node finds what is left. Every step may therefore run more than once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog

from auth.core.clock import Clock, to_ms
from auth.core.errors import Unavailable
from auth.core.tasks import end
from auth.platform.periodic_tasks import one_item
from auth.platform.redis.link import RedisLink, as_text
from realtime.broker.lease import NODE_LEASE
from realtime.broker.redis_keys import Keys
from realtime.broker.user_log import UserLog, device_status

BATCH = 200
# Attempts to run failing disconnect hooks for the sockets of a dead node, one lease renewal apart.
HOOK_ATTEMPTS = 5
# Suffix of a member of a node's set whose disconnect hooks have already run.
TOLD = "|told"

log = structlog.get_logger()

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

    def __init__(self, link: RedisLink, keys: Keys, *, clock: Clock) -> None:
        super().__init__()
        self._link = link
        self._keys = keys
        self._clock = clock

    def adopt_soon(self, user_id: str, orphans: Sequence[str]) -> None:
        """Create leases for the nodes of these sockets (`node|session|socket`), and add the sockets to their sets.

        A live node renews its new lease; the sockets of a dead one are cleaned up when the lease runs out.
        """
        self.begin(f"sockets of {user_id}", lambda: self._adopt(user_id, orphans))

    async def _adopt(self, user_id: str, orphans: Sequence[str]) -> None:
        lease_ends = to_ms(self._clock() + NODE_LEASE)
        for orphan in orphans:
            node_id, session_id, socket_id = orphan.split("|")
            entry = f"{user_id}|{session_id}|{socket_id}"
            await self._link.execute("SADD", self._keys.node_sockets(node_id), entry)
            await self._link.execute("ZADD", self._keys.nodes, "NX", lease_ends, node_id)


class DeadNodeCleanup(_OngoingWork):
    """Cleans up after dead nodes claimed by this node. `run_hooks` is None if there are no disconnect hooks."""

    def __init__(
        self, link: RedisLink, keys: Keys, user_log: UserLog, *, run_hooks: RunHooks | None, clock: Clock
    ) -> None:
        super().__init__()
        self._link = link
        self._keys = keys
        self._log = user_log
        self._run_hooks = run_hooks
        self._clock = clock
        self._attempts: dict[str, int] = {}

    def clear_soon(self, node_id: str) -> None:
        """Clean up after a node whose lease has run out, unless that is already in progress."""
        self.begin(node_id, lambda: self._clear(node_id))

    async def discard(self, node_id: str, entries: Sequence[str], *, is_dead: bool, is_last_try: bool) -> bool:
        """Unlist sockets of a node and run their disconnect hooks; whether everything is done.

        With `is_dead`, does nothing if the node turns out to be alive. Raises `Unavailable`.
        """
        untold = [] if self._run_hooks is None else [entry for entry in entries if not entry.endswith(TOLD)]
        kept = frozenset(untold)
        # All go offline first, because hooks may be slow.
        await _in_batches(
            entries, lambda entry: self.leave(node_id, entry, forget=entry not in kept, is_dead=is_dead)
        )
        done = await _in_batches(untold, self._run_hooks_for)
        told = [entry for entry, was_told in zip(untold, done, strict=True) if was_told or is_last_try]
        await _in_batches(told, lambda entry: self.leave(node_id, entry, forget=True, is_dead=is_dead))
        return len(told) == len(untold)

    async def leave(self, node_id: str, entry: str, *, forget: bool, is_dead: bool = False) -> bool:
        """See `UserLog.leave`."""
        offline = device_status(entry.split("|")[1], online=False, sockets=0, clock=self._clock)
        return await self._log.leave(node_id, entry, offline, forget=forget, is_dead=is_dead)

    async def _clear(self, node_id: str) -> None:
        attempt = self._attempts.get(node_id, 0) + 1
        members = await self._link.execute("SMEMBERS", self._keys.node_sockets(node_id))
        log.info("node_died", node_id=node_id, sockets=len(members), attempt=attempt)
        entries = [as_text(entry) for entry in members]
        if await self.discard(node_id, entries, is_dead=True, is_last_try=attempt >= HOOK_ATTEMPTS):
            self._attempts.pop(node_id, None)
        else:
            self._attempts[node_id] = attempt

    async def _run_hooks_for(self, entry: str) -> bool:
        assert self._run_hooks is not None
        user_id, session_id, socket_id = entry.split("|")[:3]
        return await self._run_hooks(user_id, session_id, socket_id)


async def _in_batches(entries: Sequence[str], work: Callable[[str], Awaitable[bool]]) -> list[bool]:
    async def one(entry: str) -> bool:
        with one_item("clearing", entry=entry):
            return await work(entry)
        return False

    done: list[bool] = []
    for start in range(0, len(entries), BATCH):
        done += await asyncio.gather(*map(one, entries[start : start + BATCH]))
    return done
