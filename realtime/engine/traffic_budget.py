"""Traffic budget of one connection: frames and bytes per second, and bursts. Pure: takes `now`.

A connection that sends more is read only at this rate, so that TCP flow control slows its peer down; one that
keeps exceeding the budget is to be closed. The budget is far above the needs of any client, and bounds the work a
peer can cause: every frame counts, of any type.
"""

from dataclasses import dataclass

# How long a peer may exceed its budget before it is disconnected.
PATIENCE_SECONDS = 5.0
# After leaving this much of the burst unused, a peer no longer counts as exceeding its budget.
RECOVERED_SECONDS = 1.0
# Cost in frames of an event beyond the rate limit, which is parsed and answered for nothing.
REFUSED_EVENT_FRAMES = 10


class BudgetExceeded(Exception):
    """The peer has exceeded its traffic budget for too long."""


@dataclass(frozen=True, slots=True)
class TrafficBudget:
    """Frames and bytes per second; a burst may have as many as `burst_seconds` allow."""

    frames_per_second: float = 100.0
    bytes_per_second: float = 400_000.0
    burst_seconds: float = 20.0


class TrafficUse:
    """One connection's use of its traffic budget.

    Keeps theoretical arrival times (ITU-T I.371, "virtual scheduling algorithm"), so nothing needs to be updated
    between arrivals.
    """

    __slots__ = ("_allowance", "_bytes_until", "_frames_until", "_more", "_over_since")

    def __init__(self, allowance: TrafficBudget) -> None:
        self._allowance = allowance
        self._frames_until = 0.0
        self._bytes_until = 0.0
        self._more = 0
        self._over_since: float | None = None

    def add_frames(self, frames: int) -> None:
        """Charge additional frames with the next `spend`."""
        self._more += frames

    def spend(self, frames: int, size: int, *, now: float) -> float:
        """Charge received frames and bytes; returns the seconds until the peer may send more, or 0.

        Raises `BudgetExceeded` when the peer has exceeded its budget for `PATIENCE_SECONDS`.
        """
        allowance = self._allowance
        frames_until, bytes_until, most = self._frames_until, self._bytes_until, now + allowance.burst_seconds
        if self._over_since is not None and max(frames_until, bytes_until) < most - RECOVERED_SECONDS:
            self._over_since = None
        if self._more:
            frames += self._more
            self._more = 0
        # Compared without `max`, the most expensive part: nearly every call returns here.
        frames_until = (max(now, frames_until)) + frames / allowance.frames_per_second
        bytes_until = (max(now, bytes_until)) + size / allowance.bytes_per_second
        self._frames_until, self._bytes_until = frames_until, bytes_until
        if frames_until <= most and bytes_until <= most:
            return 0.0
        if self._over_since is None:
            self._over_since = now
        elif now - self._over_since >= PATIENCE_SECONDS:
            raise BudgetExceeded
        return max(frames_until, bytes_until) - most
