"""The subscription of a node to one master, with a heartbeat that proves that messages arrive.

A subscription can fail silently: the connection stays open but messages stop, or arrive ever later. So the node
sends itself a timestamped heartbeat through each master every second. When the newest one that came back is older
than five seconds, that master counts as silent, whatever the state of the connection. The heartbeat's script
writes first (heartbeat.lua): where a master accepts no writes, no revocation is published either, and it is silent
for all nodes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from auth.core.errors import Unavailable
from auth.core.tasks import end
from auth.platform.metrics import Metrics
from auth.platform.redis.link import RedisLink
from auth.platform.redis.master import Master
from auth.platform.redis.subscription import Subscription, subscribe
from realtime.broker.redis_keys import Keys
from realtime.broker.scripts import load
from realtime.broker.seal import Message, MessageSeal

RECONNECT_SECONDS = 0.25
# With more than this many Redis is so slow that it already counts as silent.
MAX_PENDING_HEARTBEATS = 10

log = structlog.get_logger()

OnMessage = Callable[[Message], Awaitable[None]]
OnSubscribed = Callable[[Collection[int]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """Seconds between heartbeats, and after which without one the master counts as silent."""

    heartbeat_seconds: float
    silent_after_seconds: float


class MasterListener:
    """Receives from one master, from `start` to `close`. `want` sets its channels.

    `report` is called at each heartbeat, and when the node has caught up.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        master: Master,
        *,
        node_id: str,
        report: Callable[[], None],
        metrics: Metrics,
        seal: MessageSeal,
        options: ListenerOptions,
    ) -> None:
        self._link = link
        self._keys = keys
        self._master = master
        self._node_id = node_id
        self._report = report
        self._metrics = metrics
        self._seal = seal
        self._options = options
        self._heartbeat = load(link, "heartbeat")
        # The shards whose channels are subscribed, and caught up with.
        self.heard: set[int] = set()
        # Whether it is subscribed to channels of this master, and has caught up.
        self.is_listening = False
        # Channels to subscribe to, and those that are subscribed; with their shards.
        self._wanted: Mapping[str, int] = {}
        self._subscribed: set[str] = set()
        self._channel: Subscription | None = None
        # Send time of the newest heartbeat that came back.
        self._received_at = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._pending_heartbeats: set[asyncio.Task[None]] = set()

    def start(self, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        """Receive, and send heartbeats, until `close`. See `Bus.start`."""
        self._tasks = [
            asyncio.create_task(self._listen(on_message, on_subscribed)),
            asyncio.create_task(self._send_heartbeats()),
        ]

    def want(self, channels: Mapping[str, int]) -> None:
        """Set the channels to receive from, and their shards."""
        self._wanted = channels
        if self._channel is not None:
            self._channel.wake()

    async def close(self) -> None:
        """Stop receiving and sending heartbeats."""
        await end(*self._tasks, *self._pending_heartbeats)

    @property
    def silent_seconds(self) -> float:
        """Age of the newest heartbeat that came back, once the master counts as silent; until then 0."""
        silence = time.monotonic() - self._received_at
        return silence if silence > self._options.silent_after_seconds else 0.0

    async def _send_heartbeats(self) -> None:
        while True:
            # Not awaited: with a slow Redis, heartbeats that wait for each other would arrive even later.
            if len(self._pending_heartbeats) < MAX_PENDING_HEARTBEATS:
                task = asyncio.create_task(self._send_heartbeat())
                self._pending_heartbeats.add(task)
                task.add_done_callback(self._pending_heartbeats.discard)
            self._report()
            await asyncio.sleep(self._options.heartbeat_seconds)

    async def _send_heartbeat(self) -> None:
        shards = [shard for shard in self._wanted.values() if shard >= 0]
        if not shards:
            # Without users of its own, this master has nothing to prove.
            self._received_at = time.monotonic()
            return
        # A process-local clock, because only this process reads it; named, so that nobody can send it another's.
        message = self._seal.seal({"t": "heartbeat", "node": self._node_id, "at": time.monotonic()})
        life_ms = round(self._options.silent_after_seconds * 2000)
        arguments: list[str | bytes | int] = [self._keys.channel(self._node_id, shards[0]), message, life_ms]
        try:
            await self._heartbeat(keys=[self._keys.heartbeat(self._node_id, shards[0])], args=arguments)
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
            self._master.note_outage()
            self._link.look_up_masters_soon()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _receive(self, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        """Subscribe, catch up, and read until the subscription fails or falls silent."""
        channel = await subscribe(self._master.address, (), silence=self._options.silent_after_seconds)
        self._channel = channel
        try:
            last = time.monotonic()
            while True:
                if channel.lost_channels:
                    await self._note_lost(channel)
                if self._wanted.keys() != self._subscribed:
                    await self._adjust(channel, on_subscribed)
                message = await channel.get(self._options.heartbeat_seconds)
                if message is not None:
                    last = time.monotonic()
                    await self._take(message, on_message)
                elif self.heard and time.monotonic() - last > self._options.silent_after_seconds:
                    raise TimeoutError("the subscription fell silent")
        finally:
            self.is_listening = False
            self.heard.clear()
            self._subscribed.clear()
            self._channel = None
            channel.close()

    async def _note_lost(self, channel: Subscription) -> None:
        """Find out where the slots have moved whose channels the master has ended."""
        for name in channel.take_lost():
            self._subscribed.discard(name)
            self.heard.discard(self._wanted.get(name, -1))
        # The bus sees the change, and sets what is wanted from which master.
        await self._link.look_up_masters()

    async def _adjust(self, channel: Subscription, on_subscribed: OnSubscribed) -> None:
        """Subscribe to what is wanted and not subscribed yet, and catch up with it."""
        wanted = self._wanted
        added = [name for name in wanted if name not in self._subscribed]
        # Messages published after the confirmed subscription arrive here; earlier ones are in the logs.
        async with asyncio.timeout(self._options.silent_after_seconds):
            await channel.listen(added)
        self._subscribed = set(wanted)
        self.heard.intersection_update(wanted.values())
        if -1 in (wanted[name] for name in added):
            await self._greet()
        shards = {wanted[name] for name in added} - {-1}
        if shards:
            await on_subscribed(shards)
        self.heard |= shards
        self.is_listening = True
        self._report()

    async def _greet(self) -> None:
        """Tell nodes without peers that there is one now."""
        message = self._seal.seal({"t": "hello", "from": self._node_id})
        await self._link.execute("SPUBLISH", self._link.rooms_channel, message)

    async def _take(self, raw: bytes, on_message: OnMessage) -> None:
        try:
            message = self._seal.read(raw)
            if message is None:
                return
            if message.get("t") == "heartbeat":
                if message["node"] != self._node_id:
                    return
                now = time.monotonic()
                self._received_at = max(self._received_at, min(float(message["at"]), now))
                self._metrics.bus_lag.set(now - message["at"])
            else:
                await on_message(message)
        except Unavailable:
            raise  # resubscribing catches up with what could not be read now
        except Exception:  # one failing message must not stop the following ones
            log.exception("bus_message_failed")
