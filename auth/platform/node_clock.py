"""The clock of a node: that of its machine, compared with those of MongoDB and Redis.

A wrong clock would keep expired tokens and sessions alive or end live ones, and take the race of two tabs for a
theft. A step of the machine's clock is therefore followed only once a store's clock confirms it; until then time
goes on from before the step, by a clock that nobody can set.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from auth.core.clock import from_ms
from auth.core.errors import StartRefused, Unavailable
from auth.platform.periodic_tasks import PeriodicTask
from auth.platform.suspension import boot_seconds

# A machine with NTP is within a tenth of it. Two nodes differ by less than the leeway of access tokens.
MAX_DIFFERENCE = timedelta(seconds=2)
# Smaller changes are those of NTP, which slows or speeds up both clocks alike, and of reading one after the other.
STEP_SECONDS = 0.5
TICK_SECONDS = 0.25
COMPARE_SECONDS = 10.0

Ask = Callable[[], Awaitable[datetime]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoreClock:
    """What a store's clock showed. `offset`: its time minus the time since boot, in seconds; `uncertainty`: the
    most by which `offset` may be wrong.
    """

    name: str
    offset: float
    uncertainty: float

    def difference(self, offset: float) -> float:
        """By how many seconds at least a clock with `offset` is ahead of the store's; negative if behind."""
        ahead = offset - self.offset
        return max(0.0, ahead - self.uncertainty) + min(0.0, ahead + self.uncertainty)


class NodeClock:
    """Returns the time when called, as `utc_now`. `sources` ask the stores for theirs, or raise `Unavailable`.

    The node's clock counts as right while it agrees with at least one store, so that a store whose clock is wrong
    stops no node. While no store answers, the last verdict remains.
    """

    def __init__(
        self,
        sources: Mapping[str, Ask],
        *,
        boot: Callable[[], float] = boot_seconds,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._sources = sources
        self._boot = boot
        self._wall = wall
        self._offset = self._compared = wall() - boot()
        self._compared_at = float("-inf")
        self._wrong: tuple[StoreClock, ...] = ()
        self._task = PeriodicTask("clock", self._tick, every_seconds=TICK_SECONDS)

    def __call__(self) -> datetime:
        """The current UTC time in whole milliseconds."""
        return from_ms(int((self._boot() + self._offset) * 1000))

    @property
    def is_right(self) -> bool:
        """Whether the machine's clock agreed with a store's when they were last compared."""
        return not self._wrong

    async def start(self) -> None:
        """Compare now and from then on. Raises `StartRefused` if the machine's clock is wrong."""
        await self.compare()
        if self._wrong:
            raise StartRefused(f"{self._said()}: synchronise the clocks (NTP)")
        self._task.start()

    async def close(self) -> None:
        """Stop comparing. A no-op if never started."""
        await self._task.close()

    async def compare(self) -> None:
        """Ask the stores, and follow the machine's clock if one of them confirms it."""
        answers = await asyncio.gather(*(self._ask(name, ask) for name, ask in self._sources.items()))
        stores = tuple(answer for answer in answers if answer is not None)
        self._compared_at = self._boot()
        if not stores:
            return
        self._compared = offset = self._machine_offset()
        if any(abs(each.difference(offset)) <= MAX_DIFFERENCE.total_seconds() for each in stores):
            self._offset, self._wrong = offset, ()
        else:
            self._wrong = stores

    async def _ask(self, name: str, ask: Ask) -> StoreClock | None:
        asked = self._boot()
        try:
            theirs = await ask()
        except Unavailable:
            return None
        half = (self._boot() - asked) / 2
        return StoreClock(name, theirs.timestamp() - (asked + half), half)

    async def _tick(self) -> int:
        has_stepped = abs(self._machine_offset() - self._compared) > STEP_SECONDS
        if has_stepped or self._boot() - self._compared_at >= COMPARE_SECONDS:
            was_right = self.is_right
            await self.compare()
            if was_right and not self.is_right:
                log.error("clock_is_wrong", found=self._said(), advice="synchronise the clocks (NTP)")
            elif self.is_right and not was_right:
                log.info("clock_is_right_again")
        return 0

    def _machine_offset(self) -> float:
        return self._wall() - self._boot()

    def _said(self) -> str:
        """How wrong the machine's clock is, for the operator."""
        offset = self._machine_offset()
        parts = [f"{each.difference(offset):+.1f} s from {each.name}'s" for each in self._wrong]
        return f"the clock of this machine differs: {', '.join(parts)}"
