"""Limits of one socket's events, counted by the node that has it. Pure: takes `now`."""

from collections.abc import Mapping
from dataclasses import dataclass

import limits


class EventWindow:
    """A local fixed-window limit on one socket's events. Takes `now`."""

    __slots__ = ("_amount", "_count", "_ends_at", "_seconds")

    def __init__(self, amount: int | None, seconds: float, *, now: float) -> None:
        self._amount = amount
        self._seconds = seconds
        self._ends_at = now + seconds
        self._count = 0

    def take(self, *, now: float) -> float | None:
        """Count one event. Return None if it is allowed, else the seconds until the window ends."""
        if self._amount is None:
            return None
        if now >= self._ends_at:
            self._ends_at, self._count = now + self._seconds, 0
        self._count += 1
        return None if self._count <= self._amount else self._ends_at - now


@dataclass(frozen=True, slots=True)
class EventRate:
    """A number of events per `seconds`; None is no limit."""

    amount: int | None
    seconds: int

    @classmethod
    def of(cls, item: limits.RateLimitItem) -> "EventRate":
        """The same as the item of the library."""
        return cls(item.amount, item.get_expiry())

    def window(self, *, now: float) -> EventWindow:
        """A counter that begins at `now`."""
        return EventWindow(self.amount, self.seconds, now=now)


@dataclass(frozen=True, slots=True)
class EventBudgets:
    """The limits of sockets' events: of those in `own`, and of all others together."""

    rest: EventRate
    own: Mapping[str, EventRate]

    def begin(self, *, now: float) -> "EventBudget":
        """The counters of one socket, starting at `now`."""
        return EventBudget(self.rest.window(now=now), self.own)


class EventBudget:
    """The counters of one socket. An event with a limit of its own takes nothing from the others."""

    __slots__ = ("_own", "_rates", "_rest")

    def __init__(self, rest: EventWindow, rates: Mapping[str, EventRate]) -> None:
        self._rest = rest
        self._rates = rates
        # Made when such an event first comes: most sockets stay without.
        self._own: dict[str, EventWindow] | None = None

    def take(self, event: str, *, now: float) -> float | None:
        """Count one event. Return None if it is allowed, else the seconds until its window ends."""
        rate = self._rates.get(event)
        if rate is None:
            return self._rest.take(now=now)
        if self._own is None:
            self._own = {}
        window = self._own.get(event)
        if window is None:
            window = self._own[event] = rate.window(now=now)
        return window.take(now=now)
