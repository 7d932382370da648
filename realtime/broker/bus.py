"""The bus: Redis channels of this node and of all nodes, with a heartbeat that proves that messages arrive.

A node has one channel per shard of users, and listens on one connection to each master (listener.py). It knows
for each master whether messages arrive, so that losing one of them concerns the users of its shards only.
"""

import asyncio
import math
import time
from collections.abc import Iterable
from typing import Any

import structlog

from auth.core.errors import Unavailable
from auth.core.shards import shard_of
from auth.core.tasks import end
from auth.platform.metrics import Metrics
from auth.platform.redis.link import RedisLink
from auth.platform.redis.master import Master
from auth.platform.redis.slots import slot_of
from realtime.broker.leases import NODE_LEASE
from realtime.broker.listener import ListenerOptions, MasterListener, OnMessage, OnSubscribed
from realtime.broker.redis_keys import SLOT_OF, Keys
from realtime.broker.seal import Message, MessageSeal

HEARTBEAT_SECONDS = 1.0
SILENT_AFTER_SECONDS = 5.0
# Masters are looked up again, even if nothing shows that they have changed; and while none is known.
LOOK_UP_SECONDS, FIRST_LOOK_UP_SECONDS = 5.0, 0.25
# A live node has renewed its lease by then.
NO_PEERS_AFTER_SECONDS = NODE_LEASE.total_seconds()

log = structlog.get_logger()


class Bus:
    """Sends to other nodes' channels and, after `start`, receives from this node's own."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        *,
        node_id: str,
        metrics: Metrics,
        seal: MessageSeal,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        silent_after_seconds: float = SILENT_AFTER_SECONDS,
    ) -> None:
        self._link = link
        self._keys = keys
        self._node_id = node_id
        self._metrics = metrics
        self._seal = seal
        self._options = ListenerOptions(heartbeat_seconds, silent_after_seconds)
        self._rooms_slot = slot_of(link.rooms_channel)
        self._listeners: dict[Master, MasterListener] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._is_closed = False
        self._has_peers = False
        self._peers_seen_at = -math.inf

    async def start(self, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        """Receive, and send heartbeats, until `close`.

        `on_message` is awaited for each message in channel order. `on_subscribed` is awaited with the shards whose
        channels were subscribed, before their first message, because messages may have been missed until then.
        """

        async def take(message: Message) -> None:
            if message.get("from") == self._node_id:
                return
            if message.get("t") == "hello":
                self.note_peers(has_peers=True)
            else:
                await on_message(message)

        def arrange() -> None:
            self._arrange(take, on_subscribed)

        self._link.observe(arrange)
        arrange()
        self._task = asyncio.create_task(self._look_up_masters())

    async def wait_until_receiving(self, seconds: float) -> bool:
        """Wait until the node receives from every master and has caught up; False if that takes more than
        `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                while not self._listeners or not all(
                    listener.is_listening for listener in self._listeners.values()
                ):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop receiving and sending heartbeats."""
        self._is_closed = True
        await end(self._task)
        await asyncio.gather(*(listener.close() for listener in self._listeners.values()), *self._closing)

    @property
    def silent_seconds(self) -> float:
        """Age of the newest heartbeat that came back from the master that is silent longest; 0 if none is."""
        return max((listener.silent_seconds for listener in self._listeners.values()), default=0.0)

    @property
    def is_receiving(self) -> bool:
        """Whether messages published now by at least one master reach this node."""
        return any(listener.is_listening and not listener.silent_seconds for listener in self._listeners.values())

    def hears(self, user_id: str) -> bool:
        """Whether messages about a user that are published now reach this node."""
        shard = shard_of(user_id)
        listener = self._listener_of(shard)
        return listener is not None and shard in listener.heard and not listener.silent_seconds

    def is_silent(self, user_id: str) -> bool:
        """Whether the bus counts as silent for a user."""
        listener = self._listener_of(shard_of(user_id))
        return listener is None or listener.silent_seconds > 0

    async def send(self, node_id: str, user_id: str, message: Message) -> None:
        """Send a message about a user to one node, which may be this one. Best effort; used for receipts."""
        channel = self._keys.channel(node_id, shard_of(user_id))
        await self._publish(channel, message)

    async def send_to_others(self, message: Message) -> None:
        """Send to every other node, if there are any. Best effort; used for application events."""
        if self._has_peers:
            await self._publish(self._link.rooms_channel, message | {"from": self._node_id})

    async def _publish(self, channel: str, message: Message) -> None:
        try:
            await self._link.execute("SPUBLISH", channel, self._seal.seal(message))
        except Unavailable:
            return

    def note_peers(self, has_peers: bool) -> None:
        """Record whether other nodes hold leases.

        Their absence is believed only after the length of a lease: a node may have started since the leases were
        read, and a node whose lease Redis lost is still running.
        """
        now = time.monotonic()
        if has_peers:
            self._peers_seen_at = now
        self._has_peers = has_peers or now - self._peers_seen_at < NO_PEERS_AFTER_SECONDS

    def _listener_of(self, shard: int) -> MasterListener | None:
        master = self._link.master_of(SLOT_OF[shard])
        return self._listeners.get(master) if master is not None else None

    async def _look_up_masters(self) -> None:
        while True:
            self._link.look_up_masters_soon()
            await asyncio.sleep(LOOK_UP_SECONDS if self._listeners else FIRST_LOOK_UP_SECONDS)

    def _arrange(self, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        """Listen to each master that has channels of this node, now that slots have moved."""
        wanted = {} if self._is_closed else self._wanted()
        for master in set(self._listeners) - set(wanted):
            self._close_soon(self._listeners.pop(master))
        for master, channels in wanted.items():
            if master not in self._listeners:
                self._listeners[master] = self._make_listener(master)
                self._listeners[master].start(on_message, on_subscribed)
            self._listeners[master].want(channels)

    def _report(self) -> None:
        self._metrics.bus_deaf.set(1 if self.silent_seconds else 0)
        self._progress.set()

    def _wanted(self) -> dict[Master, dict[str, int]]:
        """The channels that each master serves, and their shards; -1 for the channel of all nodes."""
        wanted: dict[Master, dict[str, int]] = {}
        for shard, slot in self._places():
            master = self._link.master_of(slot)
            if master is not None:
                name = self._keys.channel(self._node_id, shard) if shard >= 0 else self._link.rooms_channel
                wanted.setdefault(master, {})[name] = shard
        return wanted

    def _places(self) -> Iterable[tuple[int, int]]:
        yield from enumerate(SLOT_OF)
        yield -1, self._rooms_slot

    def _make_listener(self, master: Master) -> MasterListener:
        return MasterListener(
            self._link,
            self._keys,
            master,
            node_id=self._node_id,
            report=self._report,
            metrics=self._metrics,
            seal=self._seal,
            options=self._options,
        )

    def _close_soon(self, listener: MasterListener) -> None:
        task: asyncio.Task[Any] = asyncio.create_task(listener.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
