"""What Redis publishes on some channels, in its order.

redis-py's own subscriber costs some 90 µs of CPU a message; a handshake brings one, a revocation three.
"""

import asyncio
from collections import deque
from typing import Any

from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from auth.redis_wire import Wire, connect

# What was published and not taken yet; beyond it Redis is made to wait, and cuts us off when that lasts.
MOST_WAITING = 10_000


class Subscription(Wire):
    """One connection that only listens: `subscribe` makes it."""

    def __init__(self, silence: float) -> None:
        super().__init__(silence)
        self._messages: deque[bytes] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._is_held = False

    async def get(self, seconds: float) -> bytes | None:
        """The next message, or None when none comes in time. Raises `redis.ConnectionError` once it is lost."""
        if not self._messages:
            if self.lost:
                raise RedisConnectionError("the subscription is lost")
            await self._wait(seconds)
        if not self._messages:
            if self.lost:
                raise RedisConnectionError("the subscription is lost")
            return None
        message = self._messages.popleft()
        if self._is_held and len(self._messages) < MOST_WAITING // 2:
            self._hold(False)
        return message

    async def _wait(self, seconds: float) -> None:
        self._arrival = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._arrived)
        try:
            await self._arrival
        finally:
            timer.cancel()
            self._arrival = None

    def take(self, answer: Any) -> None:
        """Part of `Wire`: a message, or the answer to a command."""
        if not isinstance(answer, list) or answer[0] != b"message":
            super().take(answer)
            return
        self._messages.append(answer[2])
        if len(self._messages) >= MOST_WAITING and not self._is_held:
            self._hold(True)
        self._arrived()

    def fail(self, kind: type[Exception], why: str) -> None:
        """Part of `Wire`: whoever waits hears of it."""
        super().fail(kind, why)
        self._arrived()

    async def listen(self, *channels: str) -> None:
        """Subscribe; what is published after this has returned is sure to be heard."""
        for channel in channels:
            answer = await self.send(("SUBSCRIBE", channel))
            if isinstance(answer, Exception):
                raise answer

    def close(self) -> None:
        """End the connection."""
        self.fail(RedisConnectionError, "closed")

    def _arrived(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _hold(self, held: bool) -> None:
        self._is_held = held
        transport: Any = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading() if held else transport.resume_reading()


async def subscribe(url: str, *channels: str, silence: float) -> Subscription:
    """Listen to `channels`. Raises `redis.RedisError`, `OSError`, or `TimeoutError` after `silence` seconds."""
    async with asyncio.timeout(silence):
        subscription = await connect(ConnectionPool.from_url(url), Subscription(silence), name="vigil-bus")
        try:
            await subscription.listen(*channels)
        except BaseException:
            subscription.close()
            raise
    return subscription
