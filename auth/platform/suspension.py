"""Detects that this node was suspended: its process stopped, its machine paused, or its event loop blocked.

Requests that arrived meanwhile are buffered and look new when the node resumes. Their clients have given up and
continued on other nodes, so the requests must not be processed as if they had just arrived.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

# The interval of ticks, and the gap between two that counts as a suspension: no client gives up sooner, and no
# healthy event loop is blocked that long.
TICK_SECONDS = 0.25
AWAY_SECONDS = 2.0
# For this long after a suspension, incoming data may have been buffered before it.
SETTLING_SECONDS = 0.5


def boot_seconds() -> float:
    """Seconds since boot, including time asleep (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SuspensionWatch:
    """Records ticks and detects gaps between them. All times are of `clock`, in seconds.

    A virtual machine paused from outside may not notice on its boot clock, but its wall clock is corrected
    afterwards; that jump counts as a gap too.
    """

    def __init__(
        self, clock: Callable[[], float] = boot_seconds, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._last, self._last_wall = clock(), wall_clock()
        self._suspended_at = self._resumed_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start ticking. Before that, every pause between two requests would look like a suspension."""
        self._last, self._last_wall = self._clock(), self._wall_clock()
        self._tick()

    def close(self) -> None:
        """Stop ticking."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._observe()
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _observe(self) -> float:
        # Also called outside the timer: after a suspension, incoming data is processed before timers.
        now, wall = self._clock(), self._wall_clock()
        gap = max(now - self._last, wall - self._last_wall)
        if gap > AWAY_SECONDS:
            self._suspended_at, self._resumed_at = now - gap, now
        self._last, self._last_wall = now, wall
        return now

    def arrival(self) -> float:
        """The earliest time at which a request that is being read now can have arrived."""
        now = self._observe()
        return self._suspended_at if now - self._resumed_at < SETTLING_SECONDS else now

    def waited(self, since: float) -> timedelta:
        """The time elapsed since `since`."""
        return timedelta(seconds=max(0.0, self._observe() - since))

    def was_away(self, since: float) -> bool:
        """Whether the node has been suspended since `since`."""
        self._observe()
        return self._resumed_at > since


@dataclass(frozen=True, slots=True)
class RequestCaller:
    """The client waiting for a response: since when, and whether it has disconnected."""

    suspension: SuspensionWatch
    since: float
    hung_up: Callable[[], bool]

    @property
    def waited(self) -> timedelta:
        """How long the request has been waiting."""
        return self.suspension.waited(self.since)

    @property
    def is_lost(self) -> bool:
        """Whether the client has disconnected or may have given up; then the request must not be processed."""
        return self.hung_up() or self.suspension.was_away(self.since)
