"""This node's ear: its channel on Redis, that of all nodes, and the heartbeat that tells whether it hears.

A subscription can die without a word: the connection stands and nothing comes. So the node sends itself a
heartbeat through the bus every second; when none came back for five, it is deaf, whatever the socket says.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from auth.errors import Unavailable
from auth.metrics import Metrics
from realtime.keys import Keys
from realtime.redis_link import RedisLink
from realtime.subscription import subscribe
from realtime.tasks import end

HEARTBEAT_SECONDS = 1.0
DEAF_AFTER_SECONDS = 5.0
RECONNECT_SECONDS = 0.25

log = structlog.get_logger()

Message = dict[str, Any]


class Bus:
    """Hears this node's channel and speaks on others'.

    `on_message` is awaited for each message in the order of the channel. `on_hearing` is awaited before the
    first message after the node could have missed some: at the start, and whenever it subscribes again.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        *,
        node_id: str,
        metrics: Metrics,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        deaf_after_seconds: float = DEAF_AFTER_SECONDS,
    ) -> None:
        self._link = link
        self._keys = keys
        self._node_id = node_id
        self._metrics = metrics
        self._heartbeat_seconds = heartbeat_seconds
        self._deaf_after_seconds = deaf_after_seconds
        self._heard_at = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._has_begun = asyncio.Event()
        # Whether other nodes are alive; kept up to date by who reads the leases.
        self.has_company = False
        self.on_message: Callable[[Message], Awaitable[None]]
        self.on_hearing: Callable[[], Awaitable[None]]

    async def start(self) -> None:
        """Listen and beat until `close`."""
        self._heard_at = time.monotonic()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._beat())]

    async def begun(self, seconds: float) -> bool:
        """Wait until the node hears, and has caught up with what it missed; False when it does not in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._has_begun.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop listening."""
        await end(*self._tasks)

    @property
    def deaf_seconds(self) -> float:
        """For how long the node has been deaf; 0 while it hears."""
        silence = time.monotonic() - self._heard_at
        return silence if silence > self._deaf_after_seconds else 0.0

    async def send(self, node_id: str, message: Message) -> None:
        """Send to one node, which may be this one. Best effort: a receipt, a heartbeat."""
        try:
            await self._link.execute("PUBLISH", self._keys.channel(node_id), orjson.dumps(message))
        except Unavailable:
            return

    async def send_to_others(self, message: Message) -> None:
        """Send to every other node. Best effort: an event of the application. Asks Redis nothing while alone."""
        if not self.has_company:
            return
        sent = message | {"from": self._node_id}
        try:
            await self._link.execute("PUBLISH", self._link.rooms_channel, orjson.dumps(sent))
        except Unavailable:
            return

    def note_company(self, has_company: bool) -> None:
        """Other nodes are alive, or none is."""
        self.has_company = has_company

    async def _beat(self) -> None:
        while True:
            try:
                await self.send(self._node_id, {"t": "heartbeat", "at": time.monotonic()})
            except Exception:  # the next beat is due whatever became of this one
                log.exception("heartbeat_failed")
            self._metrics.bus_deaf.set(1 if self.deaf_seconds else 0)
            await asyncio.sleep(self._heartbeat_seconds)

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError, Unavailable, TimeoutError) as error:
                log.warning("bus_not_heard", error=type(error).__name__)
            except Exception:  # a node that stopped listening would be deaf for good
                log.exception("bus_failed")
            # Redis may have been down between two of our calls: what was to be written there may be missing.
            self._link.outages += 1
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear(self) -> None:
        """Subscribe, catch up, and read until the subscription fails or falls silent."""
        own, everybodys = self._keys.channel(self._node_id), self._link.rooms_channel
        # Only once it is confirmed is everything published later sure to be heard; the logs have the rest.
        channel = await subscribe(self._link.url, own, everybodys, silence=self._deaf_after_seconds)
        try:
            # Those that were alone until now are not any more.
            await self._link.execute("PUBLISH", everybodys, orjson.dumps({"t": "hello", "from": self._node_id}))
            await self.on_hearing()
            self._has_begun.set()
            last = time.monotonic()
            while True:
                message = await channel.get(self._heartbeat_seconds)
                if message is not None:
                    last = time.monotonic()
                    await self._take(message)
                elif time.monotonic() - last > self._deaf_after_seconds:
                    raise TimeoutError("the subscription fell silent")
        finally:
            channel.close()

    async def _take(self, raw: bytes) -> None:
        try:
            message: Message = orjson.loads(raw)
            kind = message.get("t")
            if kind == "heartbeat":
                self._heard_at = time.monotonic()
                self._metrics.bus_lag.set(self._heard_at - message["at"])
            elif message.get("from") == self._node_id:
                return
            elif kind == "hello":
                self.has_company = True
            else:
                await self.on_message(message)
        except Unavailable:
            raise  # what could not be caught up now is caught up when the node subscribes again
        except Exception:  # one message that fails must not cost those behind it
            log.exception("bus_message_failed")
