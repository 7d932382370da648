"""The bus: Redis channels of this node and of all nodes, with a heartbeat that proves that messages arrive.

A subscription can fail silently: the connection stays open but messages stop, or arrive ever later. So the node
sends itself a timestamped heartbeat through the bus every second. When the newest one that came back is older than
five seconds, the bus counts as silent, whatever the state of the connection. The heartbeat's script writes first
(heartbeat.lua): where Redis accepts no writes, no revocation is published either, and the bus is silent for all
nodes.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from auth.core.errors import Unavailable
from auth.core.tasks import end
from auth.platform.metrics import Metrics
from auth.platform.redis.link import RedisLink
from auth.platform.redis.subscription import subscribe
from realtime.broker.lease import NODE_LEASE
from realtime.broker.redis_keys import Keys
from realtime.broker.scripts import load

HEARTBEAT_SECONDS = 1.0
SILENT_AFTER_SECONDS = 5.0
RECONNECT_SECONDS = 0.25
# With more than this many Redis is so slow that the bus already counts as silent.
MAX_PENDING_HEARTBEATS = 10
# A live node has renewed its lease by then.
NO_PEERS_AFTER_SECONDS = NODE_LEASE.total_seconds()

log = structlog.get_logger()

Message = dict[str, Any]
OnMessage = Callable[[Message], Awaitable[None]]
OnSubscribed = Callable[[], Awaitable[None]]


class Bus:
    """Sends to other nodes' channels and, after `start`, receives from this node's own."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        *,
        node_id: str,
        metrics: Metrics,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        silent_after_seconds: float = SILENT_AFTER_SECONDS,
    ) -> None:
        self._link = link
        self._keys = keys
        self._node_id = node_id
        self._metrics = metrics
        self._heartbeat_seconds = heartbeat_seconds
        self._silent_after_seconds = silent_after_seconds
        self._heartbeat = load(link, "heartbeat")
        # Send time of the newest heartbeat that came back.
        self._received_at = time.monotonic()
        self._is_listening = False
        self._tasks: list[asyncio.Task[None]] = []
        self._pending_heartbeats: set[asyncio.Task[None]] = set()
        self._has_caught_up = asyncio.Event()
        self._has_peers = False
        self._peers_seen_at = -math.inf

    async def start(self, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        """Receive, and send heartbeats, until `close`.

        `on_message` is awaited for each message in channel order. `on_subscribed` is awaited after each
        subscription, before its first message, because messages may have been missed until then.
        """
        self._received_at = time.monotonic()
        self._tasks = [
            asyncio.create_task(self._listen(on_message, on_subscribed)),
            asyncio.create_task(self._send_heartbeats()),
        ]

    async def wait_until_receiving(self, seconds: float) -> bool:
        """Wait until the node is subscribed and has caught up; False if that takes more than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._has_caught_up.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop receiving and sending heartbeats."""
        await end(*self._tasks, *self._pending_heartbeats)

    @property
    def silent_seconds(self) -> float:
        """Age of the newest heartbeat that came back, once the bus counts as silent; until then 0."""
        silence = time.monotonic() - self._received_at
        return silence if silence > self._silent_after_seconds else 0.0

    @property
    def is_receiving(self) -> bool:
        """Whether messages published now reach this node: subscribed, caught up, and the bus is not silent."""
        return self._is_listening and not self.silent_seconds

    async def send(self, node_id: str, message: Message) -> None:
        """Send to one node, which may be this one. Best effort; used for receipts."""
        try:
            await self._link.execute("PUBLISH", self._keys.channel(node_id), orjson.dumps(message))
        except Unavailable:
            return

    async def send_to_others(self, message: Message) -> None:
        """Send to every other node, if there are any. Best effort; used for application events."""
        if not self._has_peers:
            return
        sent = message | {"from": self._node_id}
        try:
            await self._link.execute("PUBLISH", self._link.rooms_channel, orjson.dumps(sent))
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

    async def _send_heartbeats(self) -> None:
        while True:
            # Not awaited: with a slow Redis, heartbeats that wait for each other would arrive even later.
            if len(self._pending_heartbeats) < MAX_PENDING_HEARTBEATS:
                task = asyncio.create_task(self._send_heartbeat())
                self._pending_heartbeats.add(task)
                task.add_done_callback(self._pending_heartbeats.discard)
            self._metrics.bus_deaf.set(1 if self.silent_seconds else 0)
            await asyncio.sleep(self._heartbeat_seconds)

    async def _send_heartbeat(self) -> None:
        # A process-local clock, because only this process reads it.
        message = orjson.dumps({"t": "heartbeat", "at": time.monotonic()})
        arguments: list[str | bytes | int] = [
            self._keys.channel(self._node_id),
            message,
            round(self._silent_after_seconds * 2000),
        ]
        try:
            await self._heartbeat(keys=[self._keys.heartbeat(self._node_id)], args=arguments)
        except Unavailable:
            return  # a missing heartbeat is the signal
        except Exception:  # the next heartbeat must still be sent
            log.exception("heartbeat_failed")

    async def _listen(self, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        while True:
            try:
                await self._receive(on_message, on_subscribed)
            except (RedisError, OSError, Unavailable, TimeoutError) as error:
                log.warning("bus_disconnected", error=type(error).__name__)
            except Exception:  # without this loop the node would never receive anything again
                log.exception("bus_failed")
            # Redis may have been down between two calls of this process, so entries may be missing there.
            self._link.note_outage()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _receive(self, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        """Subscribe, catch up, and read until the subscription fails or falls silent."""
        own, shared = self._keys.channel(self._node_id), self._link.rooms_channel
        # Messages published after the confirmed subscription arrive here; earlier ones are in the logs.
        channel = await subscribe(self._link.url, own, shared, silence=self._silent_after_seconds)
        try:
            # The `hello` of a node that started between this node's lease and its subscription was missed.
            self.note_peers(has_peers=True)
            # Tells nodes without peers that there is one now.
            await self._link.execute("PUBLISH", shared, orjson.dumps({"t": "hello", "from": self._node_id}))
            await on_subscribed()
            self._is_listening = True
            self._has_caught_up.set()
            last = time.monotonic()
            while True:
                message = await channel.get(self._heartbeat_seconds)
                if message is not None:
                    last = time.monotonic()
                    await self._take(message, on_message)
                elif time.monotonic() - last > self._silent_after_seconds:
                    raise TimeoutError("the subscription fell silent")
        finally:
            self._is_listening = False
            channel.close()

    async def _take(self, raw: bytes, on_message: OnMessage) -> None:
        try:
            message: Message = orjson.loads(raw)
            kind = message.get("t")
            if kind == "heartbeat":
                now = time.monotonic()
                self._received_at = max(self._received_at, min(float(message["at"]), now))
                self._metrics.bus_lag.set(now - message["at"])
            elif message.get("from") == self._node_id:
                return
            elif kind == "hello":
                self.note_peers(has_peers=True)
            else:
                await on_message(message)
        except Unavailable:
            raise  # resubscribing catches up with what could not be read now
        except Exception:  # one failing message must not stop the following ones
            log.exception("bus_message_failed")
