"""Presence by leases: which devices are online.

Each node renews one lease (leases.py). A socket is online while it is listed and its node's lease is valid, so the
sockets of a dead node go offline without further writes. Going offline is published two seconds late, so that a
page reload does not show up.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from auth.backends.live import UserPresence
from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.shards import shard_of
from auth.core.tasks import end
from auth.platform.redis.link import RedisLink, as_text
from realtime.broker.chosen_states import ChosenStates, UserState
from realtime.broker.dead_node_cleanup import (
    TOLD,
    DeadNodeCleanup,
    OrphanedSockets,
    RunHooks,
    listed_sockets,
)
from realtime.broker.leases import NODE_LEASE, RENEW_SECONDS, NodeLeases
from realtime.broker.redis_keys import Keys
from realtime.broker.scripts import load
from realtime.broker.user_log import UserLog, member
from realtime.hub import Connection

RECONNECT_SECONDS = 2.0
# Sockets marked at a time.
BATCH = 500
LAST_SEEN = re.compile(rb'"lastSeenAt":"([0-9T:.-]{19,32}Z)"')

log = structlog.get_logger()

# The task that runs the disconnect hooks for a socket; None if there are none to run.
HooksTask = asyncio.Task[None] | None
OnLost = Callable[[], Awaitable[None]]


class Presence:
    """This node's lease, and its sockets about to go offline. Implements `auth.core.events.PresenceReader`.

    `on_peers` is called at each renewal with whether other nodes are alive. `run_hooks` runs the disconnect hooks
    for the sockets of dead nodes.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        user_log: UserLog,
        leases: NodeLeases,
        orphans: OrphanedSockets,
        chosen: ChosenStates,
        *,
        node_id: str,
        on_peers: Callable[[bool], None],
        run_hooks: RunHooks | None,
        clock: Clock,
    ) -> None:
        self._link = link
        self._keys = keys
        self._node_id = node_id
        self._user_log = user_log
        self._leases = leases
        self._orphans = orphans
        self._chosen = chosen
        self._on_peers = on_peers
        self._clock = clock
        self.cleanup = DeadNodeCleanup(link, keys, user_log, leases, run_hooks=run_hooks, clock=clock)
        self._read = load(link, "presence")
        self._task: asyncio.Task[None] | None = None
        self._relisting: asyncio.Task[None] | None = None
        # The term in which all sockets of this node were listed.
        self._listed_in: str | None = None
        self._leaving: dict[str, tuple[asyncio.Task[None], HooksTask]] = {}
        self._count_sockets: Callable[[], int] = lambda: 0

    async def start(self, on_lost: OnLost, count_sockets: Callable[[], int]) -> None:
        """Take the lease, and renew it until `close`.

        `on_lost` is awaited whenever the lease has a new term, which includes the start: another node may have
        removed this node's sockets, or Redis may have lost them. `count_sockets` is the number of this node's
        sockets, which the lease tells the others.
        """
        self._count_sockets = count_sockets
        try:
            await self.renew(on_lost)
        except Unavailable:
            log.warning("lease_not_renewed")
        if self._relisting is not None:
            await asyncio.wait({self._relisting})
        self._task = asyncio.create_task(self._renew_periodically(on_lost))

    async def close(self) -> None:
        """Shorten the lease to the time that clients have to reconnect elsewhere.

        Then another node cleans up, as after a crash. So a planned stop does not show devices as offline either.
        Without `start`, as for a command, the node has no lease, and others never wait for its reports.
        """
        leaving = dict(self._leaving)
        await end(self._task, self._relisting, *(task for task, _ in leaving.values()))
        await self.cleanup.close()
        await self._orphans.close()
        try:
            await self._mark_told([entry for entry, (_, hooks_task) in leaving.items() if _is_done(hooks_task)])
            if self._task is not None:
                await self._leases.renew(timedelta(seconds=RECONNECT_SECONDS), sockets=0)
        except Unavailable:
            log.warning("lease_not_returned")  # it runs out by itself

    async def online(self, user_id: str) -> tuple[frozenset[str], int]:
        """See `auth.core.events.PresenceReader.online`."""
        keys = [self._keys.sockets(user_id), self._keys.meta(user_id)]
        try:
            version, *listed = await self._read(keys=keys)
        except Unavailable:
            return frozenset(), 0
        sockets = listed_sockets(listed)
        alive = await self._leases.judge({node_id for _, node_id, _ in sockets})
        if None in alive.values():
            self._orphans.check_soon(user_id)
        return frozenset(session_id for _, node_id, session_id in sockets if alive[node_id]), int(version)

    async def of_users(self, user_ids: Sequence[str], *, now: datetime) -> dict[str, UserPresence]:
        """The presence of many users, by one write to each master. Raises `Unavailable`."""
        asked = [key for user_id in user_ids for key in (self._keys.sockets(user_id), self._keys.states(user_id))]
        *answers, chosen = await asyncio.gather(
            *(self._link.execute("HVALS", key) for key in asked),
            asyncio.gather(*map(self._chosen.read, user_ids)),
        )
        listed = [[as_text(value).partition("|")[::2] for value in values] for values in answers[::2]]
        alive = await self._leases.judge({node_id for values in listed for node_id, _ in values})
        found = {}
        for user_id, values, states, state in zip(user_ids, listed, answers[1::2], chosen, strict=True):
            if any(alive[node_id] is None for node_id, _ in values):
                self._orphans.check_soon(user_id)
            sessions = {session_id for node_id, session_id in values if alive[node_id]}
            found[user_id] = _seen_by_others(len(sessions), now if sessions else _last_seen(states), state)
        return found

    async def forget(self, user_id: str) -> None:
        """Part of `PresenceReader`."""
        await self._chosen.forget(user_id)

    async def nodes_of(self, user_id: str, *, session_id: str | None) -> dict[str, int]:
        """The number of a user's sockets on each living node, or of those of one session. Raises `Unavailable`."""
        counts: Counter[str] = Counter()
        for value in await self._link.execute("HVALS", self._keys.sockets(user_id)):
            node_id, _, session = as_text(value).partition("|")
            counts[node_id] += session_id in (None, session)
        alive = await self._leases.judge(counts)
        if None in alive.values():
            self._orphans.check_soon(user_id)
        return {node_id: count for node_id, count in counts.items() if alive[node_id] and count}

    async def count_live(self) -> tuple[int, int]:
        """The number of nodes with a valid lease, and of their sockets at most `RENEW_SECONDS` ago.

        Raises `Unavailable`.
        """
        counts = await self._leases.count_sockets() | {self._node_id: self._count_sockets()}
        return len(counts), sum(counts.values())

    def leave_soon(self, connection: Connection, hooks_task: HooksTask = None) -> None:
        """Unlist a disconnected socket in two seconds, and publish it if its device has not reconnected by then.

        Until `hooks_task` is done the node's set keeps the socket, so another node runs the hooks if this one
        dies.
        """
        entry = member(connection)
        task = asyncio.create_task(self._leave_later(entry, hooks_task))
        self._leaving[entry] = task, hooks_task
        task.add_done_callback(lambda _: self._leaving.pop(entry, None))

    async def clear_gone(self, is_here: Callable[[str], bool], shards: Collection[int]) -> None:
        """Remove entries of this node's sets whose sockets are neither connected here nor leaving."""
        entries = await self.cleanup.entries(self._node_id, self._user_log.used_shards.intersection(shards))
        # Checked after reading: a socket is registered here before it is listed.
        gone = [entry for entry in entries if entry not in self._leaving and not is_here(entry.split("|")[2])]
        await self.cleanup.discard(self._node_id, gone, is_dead=False, is_last_try=True)

    def check_later(self, user_ids: Callable[[], Iterable[str]]) -> None:
        """See `OrphanedSockets.check_later`."""
        self._orphans.check_later(user_ids)

    async def _leave_later(self, entry: str, hooks_task: HooksTask) -> None:
        await asyncio.sleep(RECONNECT_SECONDS)
        is_done = _is_done(hooks_task)
        await self._leave(entry, forget=is_done)
        if hooks_task is not None and not is_done:
            await asyncio.wait({hooks_task})
            await self._leave(entry, forget=True)

    async def _leave(self, entry: str, *, forget: bool) -> None:
        while True:
            try:
                await self.cleanup.leave(self._node_id, entry, forget=forget)
            except Unavailable:
                # The outage may be too short to cause a resync, so no other code would unlist the socket.
                await asyncio.sleep(RENEW_SECONDS)
            else:
                return

    async def _mark_told(self, entries: list[str]) -> None:
        """Mark sockets whose disconnect hooks have run, so that the cleaning node does not run them again."""

        async def mark(entry: str) -> None:
            key = self._keys.node_sockets(self._node_id, shard_of(entry.split("|")[0]))
            await self._link.execute("SADD", key, entry + TOLD)
            await self._link.execute("SREM", key, entry)

        for start in range(0, len(entries), BATCH):
            await asyncio.gather(*map(mark, entries[start : start + BATCH]))

    async def _renew_periodically(self, on_lost: OnLost) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew(on_lost)
            except Unavailable:
                log.warning("lease_not_renewed")
            except Exception:  # without renewals every socket would go offline
                log.exception("presence_failed")

    async def renew(self, on_lost: OnLost) -> None:
        """Renew the lease once, and start cleanup after nodes whose leases have run out. Raises `Unavailable`."""
        renewal = await self._leases.renew(NODE_LEASE, sockets=self._count_sockets())
        self._on_peers(self._leases.has_peers)
        # Both run as tasks, so that they do not delay the next renewal.
        if renewal.term != self._listed_in and (self._relisting is None or self._relisting.done()):
            self._relisting = asyncio.create_task(self._relist(renewal.term, on_lost))
        for node_id in renewal.dead:
            self.cleanup.clear_soon(node_id)

    async def _relist(self, term: str, on_lost: OnLost) -> None:
        try:
            await on_lost()
        except Unavailable:
            log.warning("node_not_resynced")  # retried at the next renewal
        except Exception:  # retried at the next renewal, too
            log.exception("presence_failed")
        else:
            self._listed_in = term


def _seen_by_others(devices: int, last_seen_at: datetime | None, chosen: UserState) -> UserPresence:
    if chosen.is_invisible:
        # A later time would tell that the user was there.
        return UserPresence(0, chosen.since)
    if not devices:
        return UserPresence(0, last_seen_at)
    return UserPresence(devices, last_seen_at, chosen.state, chosen.text)


def _last_seen(states: Sequence[bytes]) -> datetime | None:
    """When one of a user's devices was seen last, by the last `device-status` of each."""
    moments = [match[1].decode() for state in states if (match := LAST_SEEN.search(state))]
    return max(map(datetime.fromisoformat, moments), default=None)


def _is_done(hooks_task: HooksTask) -> bool:
    return hooks_task is None or hooks_task.done()
