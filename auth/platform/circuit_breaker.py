"""A circuit breaker for calls of another server: while that server does not answer, callers are refused at once.

It opens after `MOST_FAILURES` calls in a row without an answer. After a pause one call tries again; others are
refused until that one is answered. The pause doubles with each try that fails.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from auth.core.errors import Unavailable

MOST_FAILURES = 5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0

Answer = TypeVar("Answer")


class CircuitBreaker:
    """Guards one server. `trial_seconds`: when a call that tries again has ended, at the latest."""

    def __init__(self, *, trial_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._trial_seconds = trial_seconds
        self._clock = clock
        self._failures = 0
        self._pause = 0.0
        self._refuses_until = self._opened_at = -float("inf")

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, but for one that tries again."""
        return self._pause > 0

    async def call(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Run `work`, which raises `Unavailable` if the server does not answer.

        Raises `Unavailable` at once while the breaker is open, with the time until the next try.
        """
        begun = self._clock()
        if begun < self._refuses_until:
            raise Unavailable(retry_after_seconds=self._refuses_until - begun)
        if self.is_open:
            # Others wait for this try. If it is cancelled, the next one begins when its time is over.
            self._refuses_until = begun + self._trial_seconds
        try:
            answer = await work()
        except Unavailable:
            self._failed(begun)
            raise
        self._failures, self._pause, self._refuses_until = 0, 0.0, -float("inf")
        return answer

    def _failed(self, begun: float) -> None:
        if begun < self._opened_at:
            return  # it began before the breaker opened: no news
        self._failures += 1
        if self._failures < MOST_FAILURES:
            return
        self._pause = min(2 * self._pause or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._opened_at = self._clock()
        self._refuses_until = self._opened_at + self._pause
