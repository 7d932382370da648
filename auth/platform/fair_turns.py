"""Fair scheduling of leftover work on connections, with a time budget in each turn of the event loop.

In each turn the loop first calls back for all received data. The work of one such callback is bounded; the rest
is deferred to here, where a turn spends a few milliseconds in total, however many connections have work left.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

TURN_SECONDS = 0.002


class FairTurns:
    """A FIFO queue of calls, run for at most `TURN_SECONDS` in each turn. For one event loop.

    An exception goes to the loop's exception handler and does not affect other calls.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_due = False

    def add(self, call: Callable[[], object]) -> None:
        """Queue a call for a later turn."""
        self._waiting.append(call)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        ends = self._monotonic() + TURN_SECONDS
        # Calls added during this turn run in a later one.
        for _ in range(len(self._waiting)):
            try:
                self._waiting.popleft()()
            except Exception as error:  # noqa: BLE001 - the same handling as for a failing loop callback
                loop.call_exception_handler({"message": "a deferred call failed", "exception": error})
            if self._monotonic() >= ends:
                break
        self._is_due = bool(self._waiting)
        if self._is_due:
            loop.call_soon(self._turn)
