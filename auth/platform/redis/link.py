"""Redis access for the rest of the server: a pipelined connection with a circuit breaker, which fails fast
during outages.

Every call answers or raises `Unavailable`. An error reply counts as an outage too: our commands and scripts
never cause one themselves, so it always reflects the state of Redis (too few replicas, read-only replica,
loading, out of memory, authentication, a busy script), and the command was not executed.
"""

import time
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from auth.core.errors import Unavailable
from auth.platform.redis.pipe import Pipe, is_unknown_script
from auth.platform.redis.wire import Argument

# A healthy Redis answers in well under a millisecond.
ANSWER_SECONDS = 1.0
OPEN_SECONDS = 0.5
# Minimum interval between log lines about error replies.
LOG_INTERVAL_SECONDS = 5.0

log = structlog.get_logger()


class RedisLink:
    """Calls answer, or raise `Unavailable` when Redis has been silent for about `answer_seconds`.

    After a failure, calls fail immediately for `open_seconds`, so that an outage does not cost every caller a
    timeout. `name` is the connection's name in Redis.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        name: str = "vigil",
        answer_seconds: float = ANSWER_SECONDS,
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        self.url = url
        self.prefix = prefix
        self._pipe = Pipe(url, silence=answer_seconds, name=name)
        self._open_seconds = open_seconds
        self._down_until = 0.0
        self._next_log_at = 0.0
        # The number of outages seen, by which components that keep data in Redis decide whether to restore it.
        self.outages = 0

    @property
    def rooms_channel(self) -> str:
        """The channel of the application's rooms. The name includes the database: channels are shared by all
        databases.
        """
        return f"{self.prefix}:{self._pipe.database}:rooms"

    async def execute(self, *command: Argument) -> Any:
        """Run a command that neither blocks nor subscribes.

        Raises `Unavailable` when Redis is down (immediately while the breaker is open); the command may have
        run. Also on an error reply, except NOSCRIPT, which is raised unchanged for `Script`.
        """
        now = time.monotonic()
        if now < self._down_until:
            raise Unavailable
        try:
            return await self._pipe.execute(*command)
        except ResponseError as error:
            if is_unknown_script(error):
                raise
            self.outages += 1
            self._log_refusal(error, now)
            raise Unavailable from error
        except (RedisError, OSError) as error:
            self._down_until = time.monotonic() + self._open_seconds
            self.outages += 1
            raise Unavailable from error

    def note_outage(self) -> None:
        """Record an outage detected on another connection."""
        self.outages += 1

    def _log_refusal(self, error: ResponseError, now: float) -> None:
        if now >= self._next_log_at:
            self._next_log_at = now + LOG_INTERVAL_SECONDS
            log.warning("redis_refuses", reply=str(error)[:200])

    async def evicts(self) -> str | None:
        """The `maxmemory-policy` under which Redis may evict our keys; None if it evicts none or does not
        answer.
        """
        try:
            facts = as_text(await self._pipe.execute("INFO", "memory"))
        except (RedisError, OSError):
            return None
        memory = dict(line.split(":", 1) for line in facts.splitlines() if ":" in line)
        policy = memory.get("maxmemory_policy", "noeviction")
        return None if policy == "noeviction" or memory.get("maxmemory", "0") == "0" else policy

    async def warn_of_eviction(self) -> None:
        """Log a warning if Redis may evict our keys."""
        policy = await self.evicts()
        if policy is not None:
            log.warning("redis_may_evict", maxmemory_policy=policy, advice="set maxmemory-policy noeviction")

    async def close(self) -> None:
        """Close the connection."""
        await self._pipe.close()


def as_text(value: Any) -> str:
    """Decode a Redis reply."""
    return value.decode() if isinstance(value, bytes) else str(value)
