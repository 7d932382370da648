"""Runs work against a server with bounded concurrency, timing each job and the server's CPU."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from bench import profiles
from bench.accounting import Clocks
from bench.client import LoadError
from bench.measures import Measure, Results, per_unit, waits
from bench.peers import Peer, Stand
from bench.profiles import Profile

J = TypeVar("J")
R = TypeVar("R")

# Includes work that the server defers until after its response.
SETTLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run."""

    rounds: int
    sockets: int
    # Share of the full number of requests, pushes and revocations.
    scale: float = 1.0
    profile: bool = False
    # Lifetime of the expiry storm's tokens in seconds, which also determines the span of the warnings; None:
    # derived from the number of sockets.
    storm_seconds: int | None = None

    def units(self, full: int) -> int:
        """Scale a number of operations; at least 20."""
        return max(round(full * self.scale), 20)


@dataclass(frozen=True, slots=True)
class Used(Generic[R]):
    """CPU seconds that the servers used for some work, and the work's result."""

    cpu: float
    loop_cpu: float
    # Share of a core used by the server during the work.
    busy: float
    profile: Profile | None
    result: R


async def drive(jobs: Iterable[J], act: Callable[[J], Awaitable[R]], *, at_once: int) -> list[R]:
    """Run all jobs, `at_once` at a time; return the results in order of completion."""
    results: list[R] = []
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            results.append(await act(job))  # noqa: PERF401 - several workers share the list

    await gather(work() for _ in range(at_once))
    return results


async def gather(work: Iterable[Awaitable[R]]) -> list[R]:
    """Like `asyncio.gather`, but cancels the others if one fails."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def measured(stand: Stand, work: Awaitable[R]) -> Used[R]:
    """Await `work` and measure the servers' CPU for it, including deferred work."""
    gc.collect()
    gc.disable()
    try:
        if stand.profiled:
            profiles.begin(stand.pids)
        clocks, begun = Clocks(stand.pids), now()
        result = await work
        busy = clocks.used() / (now() - begun)
        await asyncio.sleep(SETTLE_SECONDS)
        stand.check()
        cpu, loop_cpu = clocks.used(), clocks.used_by_loops()
        profile = await profiles.fetch(stand.profiled, stand.pids) if stand.profiled else None
        return Used(cpu, loop_cpu, busy, profile, result)
    except OSError as error:
        stand.check()
        raise LoadError(f"{stand.peer.name}: {error}") from error
    finally:
        gc.enable()


@dataclass
class Round:
    """One group of scenarios on one peer in one round."""

    stand: Stand
    options: Options
    wanted: frozenset[str]
    number: int
    results: Results

    @property
    def peer(self) -> Peer:
        """The peer being measured."""
        return self.stand.peer

    def wants(self, *scenarios: str) -> bool:
        """Whether any of the scenarios is to be measured on this peer."""
        return bool((self.wanted - self.peer.skips).intersection(scenarios))

    def record_cpu(
        self,
        scenario: str,
        used: Used[Any],
        seconds: Sequence[float],
        *,
        units: int | None = None,
        **details: float,
    ) -> None:
        """Record the CPU per unit and the waits in `seconds`; `units` defaults to one per wait."""
        count = units or len(seconds)
        if used.profile is not None and scenario in self.wanted:
            self.results.profiles[scenario] = used.profile
        measure = self._measure(scenario, per_unit(used.cpu, count), count, details)
        p50, p99 = waits(seconds)
        self._keep(replace(measure, p50=p50, p99=p99, busy=used.busy))

    def record_p99(self, scenario: str, used: Used[Any], seconds: Sequence[float], **details: float) -> None:
        """Record waits in `seconds` whose 99th percentile is the compared figure."""
        p50, p99 = waits(seconds)
        self._keep(replace(self._measure(scenario, p99, len(seconds), details), p50=p50, p99=p99, busy=used.busy))

    def record(self, scenario: str, value: float, units: int, **details: float) -> None:
        """Record a figure without waits."""
        self._keep(self._measure(scenario, value, units, details))

    def _measure(self, scenario: str, value: float, units: int, details: dict[str, float]) -> Measure:
        return Measure(scenario, self.peer.name, self.number, value, units, details=details)

    def _keep(self, measure: Measure) -> None:
        if measure.scenario in self.wanted:
            self.results.measures.append(measure)


Group = Callable[[Round], Awaitable[None]]


def now() -> float:
    """Return the time on the clock used for all waits."""
    return time.perf_counter()
