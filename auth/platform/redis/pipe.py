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

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from auth.core.tasks import end
from auth.platform.redis.address import RedisAddress
from auth.platform.redis.discovery import connect_to_master
from auth.platform.redis.wire import Argument, Wire


class Pipe:
    """One connection to a master, which is looked up when it is opened, on demand. `name` is its name in Redis."""

    def __init__(self, address: RedisAddress, *, silence: float, name: str) -> None:
        self._address = address
        self._silence = silence
        self._name = name
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None
        self._closed = False

    async def execute(self, *command: Argument, asking: bool = False) -> Any:
        """Send one command and return its reply.

        `asking`: the slot is being moved to this master, and the former one said that the keys are here.
        Raises `redis.ResponseError` for an error reply, otherwise `redis.ConnectionError` or
        `redis.TimeoutError`.
        """
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._connect()
        if asking:
            wire.send(("ASKING",))  # applies to the command that follows it on the connection
        answer = await wire.send(command)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def drop(self) -> None:
        """Close the connection; the next command looks the master up again."""
        if self._wire is not None:
            self._wire.fail(RedisConnectionError, "this is no longer the master")

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
            return await connect_to_master(
                self._address, Wire(self._silence), name=self._name, seconds=self._silence
            )
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
