"""A subscription to sharded channels of one master that delivers messages in order.

A sharded channel belongs to a slot, as a key does, and is served by the master of that slot alone. So a script
publishes in the same step in which it writes, and in a cluster a message costs one master. A server that is no
cluster serves all of them.

redis-py's subscriber costs some 90 µs of CPU a message; a handshake causes one message, a revocation three.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from auth.platform.redis.address import RedisAddress
from auth.platform.redis.discovery import connect_to_master
from auth.platform.redis.wire import Wire

# Maximum queued messages. Beyond it we stop reading, and Redis disconnects us if that lasts.
MAX_QUEUED = 10_000


class Subscription(Wire):
    """A connection for subscriptions only, opened by `subscribe`."""

    def __init__(self, silence: float) -> None:
        super().__init__(silence)
        self._messages: deque[bytes] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._is_paused = False
        # Channels to which the master has ended the subscription, because their slots have moved.
        self._lost_channels: list[str] = []

    async def get(self, seconds: float) -> bytes | None:
        """The next message, or None after `seconds`. Raises `redis.ConnectionError` once the connection is
        lost.
        """
        if not self._messages:
            if self.lost:
                raise RedisConnectionError("the subscription is lost")
            await self._wait(seconds)
        if not self._messages:
            if self.lost:
                raise RedisConnectionError("the subscription is lost")
            return None
        message = self._messages.popleft()
        if self._is_paused and len(self._messages) < MAX_QUEUED // 2:
            self._set_paused(False)
        return message

    async def _wait(self, seconds: float) -> None:
        self._arrival = self._loop.create_future()
        timer = self._loop.call_later(seconds, self.wake)
        try:
            await self._arrival
        finally:
            timer.cancel()
            self._arrival = None

    def take(self, answer: Any) -> None:
        """Override of `Wire`: queue a message, or pass on the reply to a command."""
        kind = answer[0] if isinstance(answer, list) else None
        if kind == b"sunsubscribe":
            self._lost_channels.append(answer[1].decode())
            self.wake()
            return
        if kind != b"smessage":
            super().take(answer)
            return
        self._messages.append(answer[2])
        if len(self._messages) >= MAX_QUEUED and not self._is_paused:
            self._set_paused(True)
        self.wake()

    def fail(self, kind: type[Exception], why: str) -> None:
        """Override of `Wire`: also wakes the waiting reader."""
        super().fail(kind, why)
        self.wake()

    async def listen(self, channels: Iterable[str]) -> None:
        """Subscribe. Messages published after this returns are received. Raises `redis.RedisError`."""
        # One command each, because those of one command must be of one slot; all are sent in one write.
        answers = await asyncio.gather(*(self.send(("SSUBSCRIBE", channel)) for channel in channels))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer

    def close(self) -> None:
        """Close the connection."""
        self.fail(RedisConnectionError, "closed")

    @property
    def lost_channels(self) -> bool:
        """Whether the master has ended the subscription to some channels."""
        return bool(self._lost_channels)

    def take_lost(self) -> list[str]:
        """The channels whose subscription the master has ended since the last call."""
        lost, self._lost_channels = self._lost_channels, []
        return lost

    def wake(self) -> None:
        """Let a waiting `get` return now, without a message."""
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _set_paused(self, paused: bool) -> None:
        self._is_paused = paused
        transport: Any = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading() if paused else transport.resume_reading()


async def subscribe(address: RedisAddress, channels: Iterable[str], *, silence: float) -> Subscription:
    """Subscribe to `channels`. Raises `redis.RedisError`, `OSError`, or `TimeoutError` after `silence` seconds."""
    async with asyncio.timeout(silence):
        subscription = await connect_to_master(address, Subscription(silence), name="vigil-bus", seconds=silence)
        try:
            await subscription.listen(channels)
        except BaseException:
            subscription.close()
            raise
    return subscription
