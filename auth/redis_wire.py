"""A connection to Redis as an `asyncio.Protocol`: commands out in one write a turn, answers in by hiredis."""

import asyncio
from collections import deque
from typing import Any, TypeVar

import hiredis
from redis.asyncio.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Argument = str | bytes | int | float

# Silence is counted in looks and not read off a clock: an event loop that stood still for a second could not
# have heard anything, and looks once.
LOOKS = 4

_MORE = object()


class Wire(asyncio.Protocol):
    """An open connection and who waits at it, in the order of asking."""

    def __init__(self, silence: float) -> None:
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=_MORE)
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._between_looks = silence / LOOKS
        self._looks = 0
        self._watch: asyncio.TimerHandle | None = None

    def send(self, command: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        """The answer to come; a failure comes as one, too."""
        packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # its stub says: one argument
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.lost:
            answer.set_result(RedisConnectionError("connection lost"))
            return answer
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._waiting.append(answer)
        if self._watch is None:
            self._watch = self._loop.call_later(self._between_looks, self._look)
        return answer

    def fail(self, kind: type[Exception], why: str) -> None:
        """Give the connection up and tell everybody who waits."""
        self.lost = True
        self._unsent.clear()
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(kind(why))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment] # a stream's transport can be written to

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of `asyncio.Protocol`."""
        self.fail(RedisConnectionError, f"connection lost: {exc or 'closed by Redis'}")

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`: hand the answers out."""
        self._looks = 0
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _MORE:
                self.take(answer)
        except (hiredis.ProtocolError, IndexError):
            # No Redis speaks like this: from here on answers could go to the wrong callers.
            self.fail(RedisConnectionError, "not understood")

    def take(self, answer: Any) -> None:
        """Take one answer: it is for who has waited longest."""
        waiting = self._waiting.popleft()
        if not waiting.done():
            waiting.set_result(answer)

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        self._looks += 1
        if self._looks > LOOKS:
            self.fail(RedisTimeoutError, "Redis does not answer")
        else:
            self._watch = self._loop.call_later(self._between_looks, self._look)


W = TypeVar("W", bound=Wire)


async def connect(pool: ConnectionPool, wire: W, *, name: str) -> W:
    """Connect `wire` to where `pool` leads, with its password and database; Redis lists it as `name`.

    redis-py has read the URL, so that its options mean the same as for a client made of it. Raises `OSError` or
    `redis.ConnectionError`.
    """
    loop = asyncio.get_running_loop()
    made: Any = pool.make_connection()  # type: ignore[no-untyped-call] # redis-py's own gap
    if isinstance(made, UnixDomainSocketConnection):
        await loop.create_unix_connection(lambda: wire, made.path)
    else:
        tls = made.ssl_context.get() if isinstance(made, SSLConnection) else None
        await loop.create_connection(lambda: wire, made.host, made.port, ssl=tls)
    greetings: list[tuple[Argument, ...]] = [("CLIENT", "SETNAME", name)]
    if made.password:
        greetings.insert(0, ("AUTH", *((made.username,) if made.username else ()), made.password))
    if made.db:
        greetings.append(("SELECT", made.db))
    try:
        for answer in await asyncio.gather(*map(wire.send, greetings)):
            if isinstance(answer, Exception):
                raise RedisConnectionError(str(answer))
    except BaseException:
        wire.fail(RedisConnectionError, "not connected")
        raise
    return wire
