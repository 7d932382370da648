"""Pipelining: commands of many callers share one connection, are sent together and answered in order.

A pool checks out a connection for every command, at some 110 µs of CPU with redis-py. Here all commands of one
turn of the event loop are sent in one write and their replies read together, at some 15 µs a command. For short
commands and scripts only: blocking commands, subscriptions and transactions would block all callers.

Guarantees: each reply goes to the command it belongs to. If the connection breaks, the command raises
`redis.ConnectionError` and may have run. If Redis sends nothing for `silence` seconds while a caller waits, the
connection counts as broken (`redis.TimeoutError`); a Redis that is merely slow does not. Cancelling a caller
does not affect the others. The next command after a failure reconnects.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from auth.core.tasks import end
from auth.platform.redis.wire import Argument, Wire, connect


class Pipe:
    """One connection to the Redis at `url`, opened on demand. `name` is its name in Redis."""

    def __init__(self, url: str, *, silence: float, name: str) -> None:
        # redis-py parses the URL, so that its options work as for a redis-py client.
        self._pool = ConnectionPool.from_url(url)
        self._silence = silence
        self._name = name
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None
        self._closed = False

    @property
    def database(self) -> int:
        """The database number in the URL."""
        return int(self._pool.connection_kwargs.get("db") or 0)

    async def execute(self, *command: Argument) -> Any:
        """Send one command and return its reply.

        Raises `redis.ResponseError` for an error reply, otherwise `redis.ConnectionError` or
        `redis.TimeoutError`.
        """
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._connect()
        answer = await wire.send(command)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Close the connection permanently; pending commands raise `redis.ConnectionError`."""
        self._closed = True
        await end(self._connecting)
        if self._wire is not None:
            self._wire.fail(RedisConnectionError, "closed")

    async def _connect(self) -> "Wire":
        """Connect once for all waiting callers; cancelling a caller does not abort the shared connect."""
        if self._closed:
            raise RedisConnectionError("closed")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._connected)
        return await asyncio.shield(self._connecting)

    def _connected(self, task: "asyncio.Task[Wire]") -> None:
        self._connecting = None
        # Reading the exception prevents asyncio's "never retrieved" warning if all callers were cancelled.
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
    """A Lua script, run by its hash, and sent in full only if Redis does not know it. `execute` is
    `Pipe.execute` or alike.
    """

    def __init__(self, execute: Callable[..., Awaitable[Any]], text: str) -> None:
        self._execute = execute
        self._text = text
        # Redis identifies scripts by SHA-1; not used for security.
        self._name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Argument] = ()) -> Any:
        """Run the script once; raises as `execute` does."""
        try:
            return await self._execute("EVALSHA", self._name, len(keys), *keys, *args)
        except ResponseError as error:
            if not is_unknown_script(error):
                raise
        return await self._execute("EVAL", self._text, len(keys), *keys, *args)


def is_unknown_script(error: ResponseError) -> bool:
    """Whether the error is NOSCRIPT: Redis does not know the script, and nothing was run."""
    return str(error).startswith("NOSCRIPT")
