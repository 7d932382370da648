"""Time limits of HTTP connections: sending a request, idling between requests, reading a response.

aiohttp waits without limit for a request sent a byte at a time (slowloris). Here the headers must arrive within
`REQUEST_SECONDS`, and so must the body after them. If none of a response is read for `UNREAD_SECONDS`, or a limit
is exceeded, the connection is aborted.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import structlog

from auth.platform.slow_readers import MAX_WAITING_SECONDS
from auth.platform.suspension import AWAY_SECONDS

# Limit for a request's headers, and again for its body.
REQUEST_SECONDS = 10.0
# Idle limit between two requests. A load balancer that finds its connection closed answers its client with 502, so
# the limit for trusted proxies is longer than theirs: Google's is 600 s, Amazon's up to 4,000 s.
IDLE_SECONDS, PROXY_IDLE_SECONDS = 75.0, 4100.0
# Limit for reading nothing of a response.
UNREAD_SECONDS = MAX_WAITING_SECONDS
# Connections may be closed this much late, so that many are closed in one sweep under attack.
SWEEP_SECONDS = 0.5

log = structlog.get_logger()


class Timed(Protocol):
    """A connection with time limits."""

    def cut(self) -> None:
        """Abort the connection, discarding unsent data."""

    def check_reading(self) -> bool:
        """Abort the connection, and return True, if data waits and the peer read none since the last check."""


class Deadlines:
    """Connections with the same time limit of `seconds`, ordered by deadline.

    Equal limits keep insertion order sorted, so one timer serves all, and a request that arrives in one piece
    needs none. `overdue` is called with each connection past its deadline and returns whether it aborted it; it
    may begin a new deadline. `event` is the log event that counts the aborted ones.
    """

    def __init__(self, *, seconds: float, overdue: Callable[[Timed], bool], event: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._overdue = overdue
        self._event = event
        self._deadlines: OrderedDict[Timed, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def begin(self, connection: Timed) -> None:
        """Start, or restart, the connection's deadline."""
        self._deadlines.pop(connection, None)
        self._deadlines[connection] = deadline = self._loop.time() + self._seconds
        if self._timer is None:
            self._sweep_at(deadline)

    def end(self, connection: Timed) -> None:
        """Cancel the connection's deadline."""
        self._deadlines.pop(connection, None)

    def __contains__(self, connection: Timed) -> bool:
        return connection in self._deadlines

    def _sweep_at(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        if now - self._due > AWAY_SECONDS:
            # The process was suspended and has unread input from that time: restart all deadlines.
            self._deadlines = OrderedDict.fromkeys(self._deadlines, now + self._seconds)
        late = [
            connection
            for connection, _ in itertools.takewhile(lambda each: each[1] <= now, self._deadlines.items())
        ]
        for connection in late:
            del self._deadlines[connection]
        cut = sum([self._is_cut(connection) for connection in late])
        if cut:
            log.info(self._event, connections=cut)
        # Cleared only now, so that deadlines begun in `overdue` do not set a timer of their own.
        self._timer = None
        if self._deadlines:
            first = next(iter(self._deadlines.values()))
            self._sweep_at(max(first, now + SWEEP_SECONDS))

    def _is_cut(self, connection: Timed) -> bool:
        try:
            return self._overdue(connection)
        except Exception:  # a bug ends this connection, not the sweep
            log.exception("deadline_failed")
            connection.cut()
            return True


class TimeLimits:
    """The deadlines of one server's connections; create it in the server's event loop.

    `requests`: connections with an incomplete request. `answers`: connections with an unread response.
    """

    def __init__(self) -> None:
        self.requests = Deadlines(seconds=REQUEST_SECONDS, overdue=_cut, event="slow_requests_closed")
        self.answers = Deadlines(
            seconds=UNREAD_SECONDS,
            overdue=lambda connection: connection.check_reading(),
            event="unread_answers_dropped",
        )


def _cut(connection: Timed) -> bool:
    connection.cut()
    return True
