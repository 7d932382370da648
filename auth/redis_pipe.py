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
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from auth.redis_wire import Argument, Wire, connect


class Pipe:
    """One connection, made when it is needed, to the Redis that `url` names; Redis lists it as `name`."""

    def __init__(self, url: str, *, silence: float, name: str) -> None:
        # redis-py reads the URL, so that its options mean the same as for a client made of it.
        self._pool = ConnectionPool.from_url(url)
        self._silence = silence
        self._name = name
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None
        self._closed = False

    @property
    def database(self) -> int:
        """The number of the database that the URL names."""
        return int(self._pool.connection_kwargs.get("db") or 0)

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

    async def _connect(self) -> "Wire":
        """Connect once for all who wait; nobody's going away interrupts it for the others."""
        if self._closed:
            raise RedisConnectionError("closed")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._connected)
        return await asyncio.shield(self._connecting)

    def _connected(self, task: "asyncio.Task[Wire]") -> None:
        self._connecting = None
        # To ask for the failure marks it as seen, when everybody who waited has gone.
        if not task.cancelled() and task.exception() is None:
            self._wire = task.result()

    async def _open(self) -> "Wire":
        try:
            async with asyncio.timeout(self._silence):
                return await connect(self._pool, Wire(self._silence), name=self._name)
        except TimeoutError:
            raise RedisTimeoutError("Redis does not answer") from None
        except OSError as error:
            raise RedisConnectionError(str(error)) from error


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
