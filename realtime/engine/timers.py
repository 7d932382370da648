"""Many deadlines on one timer of the event loop.

A live socket has two or three deadlines at any time, nearly all of which are cancelled before they are due. A
timer of uvloop's takes 0.6 kB; one of these takes a sixth of that.
"""

import asyncio
import heapq
from collections.abc import Callable

# Up to this many cancelled timers stay in the heap.
FEW = 256


class Timer:
    """A call due at `when`, by the loop's clock."""

    __slots__ = ("_call", "_timers", "when")

    def __init__(self, when: float, call: Callable[[], object], timers: "Timers") -> None:
        self.when = when
        self._call: Callable[[], object] | None = call
        self._timers = timers

    def __lt__(self, other: "Timer") -> bool:
        return self.when < other.when

    def cancel(self) -> None:
        """Cancel the call; does nothing if it was already made."""
        if self._call is not None:
            self._call = None
            self._timers.forget()

    @property
    def cancelled(self) -> bool:
        """Whether the call was cancelled or made."""
        return self._call is None

    def fire(self) -> None:
        """Make the call, once."""
        call, self._call = self._call, None
        if call is not None:
            call()


class Timers:
    """Timers of one event loop, fired in the order of their deadlines. May be created before the loop runs.

    An exception of a call goes to the loop's exception handler and does not affect other calls.
    """

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._cancelled = 0
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call `call` in `seconds`."""
        return self.at(asyncio.get_running_loop().time() + seconds, call)

    def at(self, when: float, call: Callable[[], object]) -> Timer:
        """Call `call` at `when`, by the loop's clock."""
        loop = asyncio.get_running_loop()
        timer = Timer(when, call, self)
        heapq.heappush(self._heap, timer)
        if timer.when < self._armed_for:
            self._arm(loop)
        return timer

    def forget(self) -> None:
        """Count a cancelled timer, and remove all cancelled ones once they are the majority."""
        self._cancelled += 1
        if self._cancelled > FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [timer for timer in self._heap if not timer.cancelled]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def close(self) -> None:
        """Cancel all timers."""
        self._heap.clear()
        self._cancelled = 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._armed_for = float("inf")

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed_for = self._heap[0].when
        self._handle = loop.call_at(self._armed_for, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle, self._armed_for = None, float("inf")
        now = loop.time()
        while self._heap and self._heap[0].when <= now:
            timer = heapq.heappop(self._heap)
            if timer.cancelled:
                self._cancelled -= 1
                continue
            try:
                timer.fire()
            except Exception as error:  # noqa: BLE001 - as the loop itself treats a callback that fails
                loop.call_exception_handler({"message": "a timer's call failed", "exception": error})
        if self._heap:
            self._arm(loop)
