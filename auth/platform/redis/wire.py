"""A Redis connection as an `asyncio.Protocol`: commands are written once per turn, replies are parsed by
hiredis.
"""

import asyncio
from collections import deque
from typing import Any, TypeVar

import hiredis
from redis.asyncio.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Argument = str | bytes | int | float

# Silence is measured by the number of timer checks instead of a clock: an event loop that was blocked could not
# have received anything, and makes only one check.
SILENCE_CHECKS = 4

_MORE = object()


class Wire(asyncio.Protocol):
    """An open connection and its pending replies, in the order of the commands."""

    def __init__(self, silence: float) -> None:
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=_MORE)
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._check_seconds = silence / SILENCE_CHECKS
        self._silent_checks = 0
        self._silence_timer: asyncio.TimerHandle | None = None

    def send(self, command: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        """Queue a command and return a future of its reply. Errors are results of the future, not exceptions."""
        packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # its stub says: one argument
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.lost:
            answer.set_result(RedisConnectionError("connection lost"))
            return answer
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._waiting.append(answer)
        if self._silence_timer is None:
            self._silence_timer = self._loop.call_later(self._check_seconds, self._check_silence)
        return answer

    def fail(self, kind: type[Exception], why: str) -> None:
        """Abort the connection and fail all pending commands."""
        self.lost = True
        self._unsent.clear()
        if self._silence_timer is not None:
            self._silence_timer.cancel()
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
        """Part of `asyncio.Protocol`: dispatch replies."""
        self._silent_checks = 0
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _MORE:
                self.take(answer)
        except (hiredis.ProtocolError, IndexError):
            # Protocol violation: later replies could go to the wrong callers.
            self.fail(RedisConnectionError, "protocol violation")

    def take(self, answer: Any) -> None:
        """Give a reply to the oldest pending command."""
        waiting = self._waiting.popleft()
        if not waiting.done():
            waiting.set_result(answer)

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _check_silence(self) -> None:
        self._silence_timer = None
        if not self._waiting:
            return
        self._silent_checks += 1
        if self._silent_checks > SILENCE_CHECKS:
            self.fail(RedisTimeoutError, "Redis does not answer")
        else:
            self._silence_timer = self._loop.call_later(self._check_seconds, self._check_silence)


W = TypeVar("W", bound=Wire)


async def connect(pool: ConnectionPool, wire: W, *, name: str, demands_master: bool = False) -> W:
    """Connect `wire` to the address of `pool`, authenticate and select its database. `name` is its name in
    Redis.

    redis-py has parsed the URL, so that its options work as for a redis-py client. Raises `OSError` or
    `redis.ConnectionError`, also for a replica if `demands_master`.
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
    if demands_master:
        greetings.append(("ROLE",))
    try:
        answers = await asyncio.gather(*map(wire.send, greetings))
        for answer in answers:
            if isinstance(answer, Exception):
                raise RedisConnectionError(str(answer))
        if demands_master and answers[-1][0] != b"master":
            raise RedisConnectionError("this is not the master")
    except BaseException:
        wire.fail(RedisConnectionError, "not connected")
        raise
    return wire
