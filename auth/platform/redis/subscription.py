"""A subscription to Redis channels that delivers messages in order.

redis-py's subscriber costs some 90 µs of CPU a message; a handshake causes one message, a revocation three.
"""

import asyncio
from collections import deque
from typing import Any

from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from auth.platform.redis.wire import Wire, connect

# Maximum queued messages. Beyond it we stop reading, and Redis disconnects us if that lasts.
MAX_QUEUED = 10_000


class Subscription(Wire):
    """A connection for subscriptions only, opened by `subscribe`."""

    def __init__(self, silence: float) -> None:
        super().__init__(silence)
        self._messages: deque[bytes] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._is_paused = False

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
        timer = self._loop.call_later(seconds, self._wake_reader)
        try:
            await self._arrival
        finally:
            timer.cancel()
            self._arrival = None

    def take(self, answer: Any) -> None:
        """Override of `Wire`: queue a message, or pass on the reply to a command."""
        if not isinstance(answer, list) or answer[0] != b"message":
            super().take(answer)
            return
        self._messages.append(answer[2])
        if len(self._messages) >= MAX_QUEUED and not self._is_paused:
            self._set_paused(True)
        self._wake_reader()

    def fail(self, kind: type[Exception], why: str) -> None:
        """Override of `Wire`: also wakes the waiting reader."""
        super().fail(kind, why)
        self._wake_reader()

    async def listen(self, *channels: str) -> None:
        """Subscribe. Messages published after this returns are received."""
        for channel in channels:
            answer = await self.send(("SUBSCRIBE", channel))
            if isinstance(answer, Exception):
                raise answer

    def close(self) -> None:
        """Close the connection."""
        self.fail(RedisConnectionError, "closed")

    def _wake_reader(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _set_paused(self, paused: bool) -> None:
        self._is_paused = paused
        transport: Any = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading() if paused else transport.resume_reading()


async def subscribe(url: str, *channels: str, silence: float) -> Subscription:
    """Subscribe to `channels`. Raises `redis.RedisError`, `OSError`, or `TimeoutError` after `silence` seconds."""
    async with asyncio.timeout(silence):
        subscription = await connect(ConnectionPool.from_url(url), Subscription(silence), name="vigil-bus")
        try:
            await subscription.listen(*channels)
        except BaseException:
            subscription.close()
            raise
    return subscription
