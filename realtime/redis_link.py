"""The way to Redis: one pipeline for commands and scripts, and a breaker.

The breaker fails fast while Redis is down. Whatever goes through here answers or raises `Unavailable`.
"""

import time
from pathlib import Path
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from auth.errors import Unavailable
from auth.redis_pipe import Pipe, Script
from auth.redis_wire import Argument

SCRIPTS = Path(__file__).parent / "lua"
# A healthy Redis answers in well under a millisecond.
ANSWER_SECONDS = 1.0
# After a failure calls fail at once for this long, so that an outage costs no caller a timeout.
OPEN_SECONDS = 0.5
# Answers of a Redis that is up but cannot serve: it loads its data, or is a replica, or is full.
CANNOT_SERVE = ("LOADING", "READONLY", "MASTERDOWN", "OOM", "MISCONF", "CLUSTERDOWN", "BUSY")


class RedisLink:
    """Every call answers, or raises `Unavailable` when Redis has been silent for about a second."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self.url = url
        self.prefix = prefix
        self._pipe = Pipe(url, silence=ANSWER_SECONDS, name="vigil")
        self._down_until = 0.0
        # How often Redis was found down: who keeps something there may have to look after it.
        self.outages = 0

    @property
    def rooms_channel(self) -> str:
        """The channel of the application's rooms. Channels are shared by all databases of one Redis: name ours."""
        return f"{self.prefix}:{self._pipe.database}:rooms"

    def script(self, name: str) -> Script:
        """The script `lua/<name>.lua`, with the shared part in front; called, it raises as `execute` does."""
        return Script(self.execute, "\n".join((SCRIPTS / f"{part}.lua").read_text() for part in ("append", name)))

    async def execute(self, *command: Argument) -> Any:
        """Run one command that neither blocks nor subscribes.

        Raises `Unavailable` when Redis is down, at once if it was a moment ago; then it may have run.
        """
        if time.monotonic() < self._down_until:
            raise Unavailable
        try:
            return await self._pipe.execute(*command)
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            self._down_until = time.monotonic() + OPEN_SECONDS
            self.outages += 1
            raise Unavailable from error
        except ResponseError as error:
            if str(error).startswith(CANNOT_SERVE):
                self.outages += 1
                raise Unavailable from error
            raise

    async def ping(self) -> None:
        """Raise `Unavailable` unless Redis answers."""
        await self.execute("PING")

    async def close(self) -> None:
        """Close the connection."""
        await self._pipe.close()


def as_text(value: Any) -> str:
    """A Redis answer as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
