"""A pipeline to Redis: the commands of many callers on one connection, sent together and answered in order.

A pool takes a connection out, writes, waits and puts it back for every single command, at some 110 µs of CPU
with redis-py. Here what is asked in one turn of the event loop leaves in one write and its answers come in one
read, at some 15 µs a command. For short commands and scripts only: one that blocks, subscribes or opens a
transaction would be in everybody's way.

Guarantees: an answer is that of the command it was asked for. A command whose connection breaks raises
`redis.ConnectionError` and may have run. A Redis that says nothing for `silence` seconds while somebody waits
counts as broken (`redis.TimeoutError`); one that is merely busy does not. A caller that goes away disturbs
nobody. After a break the next command connects again.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

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


class Pipe:
    """One connection, made when it is needed, to the Redis that `url` names; Redis lists it as `name`."""

    def __init__(self, url: str, *, silence: float, name: str) -> None:
        # redis-py reads the URL, so that its options mean the same as for a client made of it.
        self._pool = ConnectionPool.from_url(url)
        self._silence = silence
        self._name = name
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None
        self._closed = False

    async def execute(self, *command: Argument) -> Any:
        """Send one command and wait for its answer.

        Raises `redis.ResponseError` for a refusal, else `redis.ConnectionError` or `redis.TimeoutError`.
        """
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._connect()
        answer = await wire.send(command)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Close the connection for good; whoever waits for an answer hears that there is none."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._wire is not None:
            self._wire.fail(RedisConnectionError, "closed")

    async def _connect(self) -> "_Wire":
        """Connect once for all who wait; nobody's going away interrupts it for the others."""
        if self._closed:
            raise RedisConnectionError("closed")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._connected)
        return await asyncio.shield(self._connecting)

    def _connected(self, task: "asyncio.Task[_Wire]") -> None:
        self._connecting = None
        # To ask for the failure marks it as seen, when everybody who waited has gone.
        if not task.cancelled() and task.exception() is None:
            self._wire = task.result()

    async def _open(self) -> "_Wire":
        try:
            async with asyncio.timeout(self._silence):
                return await self._open_wire()
        except TimeoutError:
            raise RedisTimeoutError("Redis does not answer") from None
        except OSError as error:
            raise RedisConnectionError(str(error)) from error

    async def _open_wire(self) -> "_Wire":
        loop, wire = asyncio.get_running_loop(), _Wire(self._silence)
        made: Any = self._pool.make_connection()  # type: ignore[no-untyped-call] # redis-py's own gap
        if isinstance(made, UnixDomainSocketConnection):
            await loop.create_unix_connection(lambda: wire, made.path)
        else:
            tls = made.ssl_context.get() if isinstance(made, SSLConnection) else None
            await loop.create_connection(lambda: wire, made.host, made.port, ssl=tls)
        greetings: list[tuple[Argument, ...]] = [("CLIENT", "SETNAME", self._name)]
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


class Script:
    """A Lua script, sent by its hash, and whole only where Redis does not know it. `execute` is a pipe's."""

    def __init__(self, execute: Callable[..., Awaitable[Any]], text: str) -> None:
        self._execute = execute
        self._text = text
        # How Redis names a script; nothing secret rests on it.
        self._name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Argument] = ()) -> Any:
        """Run it once; raises as `execute` does."""
        try:
            return await self._execute("EVALSHA", self._name, len(keys), *keys, *args)
        except ResponseError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self._execute("EVAL", self._text, len(keys), *keys, *args)


class _Wire(asyncio.Protocol):
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
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        except (hiredis.ProtocolError, IndexError):
            # No Redis speaks like this: from here on answers could go to the wrong callers.
            self.fail(RedisConnectionError, "not understood")

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
