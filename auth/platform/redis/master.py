"""One master: its pipe, and a circuit breaker that fails fast during its outages."""

import asyncio
import contextlib
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from auth.core.errors import Unavailable
from auth.core.tasks import end
from auth.platform.redis.address import RedisAddress
from auth.platform.redis.pipe import Pipe
from auth.platform.redis.wire import Argument

# Minimum interval between log lines about error replies.
LOG_INTERVAL_SECONDS = 5.0
# Error replies of a server that is no longer the master.
DEMOTED = ("READONLY", "MASTERDOWN")

log = structlog.get_logger()

# Never the same for two masters, so that a slot that moves changes its epoch, too.
_EPOCHS = itertools.count(1)


class Master:
    """Calls answer, or raise `Unavailable` when the master has been silent for about `answer_seconds`.

    After a failure, calls fail immediately, so that only callers at the beginning of an outage wait for a timeout.
    Every `open_seconds` the master is asked whether it answers again, and no caller waits for that. Error replies
    that begin with one of `passed_on` are raised unchanged; the others count as outages.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        name: str,
        answer_seconds: float,
        open_seconds: float,
        passed_on: tuple[str, ...],
    ) -> None:
        self.address = address
        # Changes with each outage seen, by which components that keep data here decide whether to restore it.
        self.epoch = next(_EPOCHS)
        self._pipe = Pipe(address, silence=answer_seconds, name=name)
        self._open_seconds = open_seconds
        self._passed_on = passed_on
        # Asks whether the master answers again; ends when it does.
        self._probe: asyncio.Task[None] | None = None
        self._next_log_at = 0.0
        self._closed = False

    async def execute(self, *command: Argument, asking: bool = False) -> Any:
        """See `RedisLink.execute`; `asking`: see `Pipe.execute`."""
        if self._is_down:
            raise Unavailable
        try:
            return await self._pipe.execute(*command, asking=asking)
        except ResponseError as error:
            if str(error).startswith(self._passed_on):
                raise
            self.note_outage()
            self._log_refusal(error)
            if self.address.kind == "sentinel" and str(error).startswith(DEMOTED):
                self._pipe.drop()
            raise Unavailable from error
        except (RedisError, OSError) as error:
            self._begin_probing()
            self.note_outage()
            raise Unavailable from error

    def note_outage(self) -> None:
        """Record an outage, which may have been seen on another connection."""
        self.epoch = next(_EPOCHS)

    async def facts(self, section: str) -> dict[str, str]:
        """A section of INFO; empty if it may not be read, or the master does not answer."""
        try:
            text = (await self._pipe.execute("INFO", section)).decode()
        except (RedisError, OSError):
            return {}
        return read_info(text)

    async def time(self) -> datetime:
        """The time of this master. Raises `Unavailable`."""
        seconds, micros = await self.execute("TIME")
        return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))

    async def promoted_history(self) -> str:
        """The id of what this master holds, if it was a replica before and may lack its master's last writes.

        Empty if it never was one, as after a mere restart, or if INFO may not be read.
        """
        facts = await self.facts("replication")
        return facts.get("master_replid", "") if facts.get("second_repl_offset", "-1") != "-1" else ""

    async def close(self) -> None:
        """Close the connection; pending calls raise `Unavailable`."""
        self._closed = True
        await end(self._probe)
        await self._pipe.close()

    @property
    def _is_down(self) -> bool:
        return self._probe is not None and not self._probe.done()

    def _begin_probing(self) -> None:
        if not self._is_down and not self._closed:
            self._probe = asyncio.create_task(self._probe_until_it_answers())

    async def _probe_until_it_answers(self) -> None:
        while True:
            await asyncio.sleep(self._open_seconds)
            with contextlib.suppress(RedisError, OSError):
                # An error reply is an answer, too: the next call is told what is wrong.
                with contextlib.suppress(ResponseError):
                    await self._pipe.execute("PING")
                return

    def _log_refusal(self, error: ResponseError) -> None:
        now = time.monotonic()
        if now >= self._next_log_at:
            self._next_log_at = now + LOG_INTERVAL_SECONDS
            log.warning("redis_refuses", reply=str(error)[:200])


def read_info(text: str) -> dict[str, str]:
    """The facts in a reply to INFO."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
