"""What a process has used: CPU from the kernel's own account of it, memory as it stands in /proc.

CPU time says the same on a busy and on an idle machine, which wall time does not. The kernel counts every
thread of the process, those that have ended too, in nanoseconds.
"""

import asyncio
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NANOSECONDS = 1_000_000_000
# How the kernel writes "the CPU clock of that process" as a clock id (clock_getcpuclockid(3)).
PROCESS_CLOCK = 2
MEMORY_SETTLED_SHARE = 0.002
MEMORY_SETTLED_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process: resident, its share of what is shared, and what is its alone."""

    rss: int
    pss: int
    uss: int


def cpu_seconds(pid: int) -> float:
    """CPU time of the process and all its threads so far. Raises `OSError` when it is gone."""
    return time.clock_gettime_ns((~pid << 3) | PROCESS_CLOCK) / NANOSECONDS


def thread_seconds(pid: int) -> float:
    """CPU time of the process's first thread alone: the event loop's."""
    running = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]
    return int(running) / NANOSECONDS


def memory(pid: int) -> Memory:
    """The memory that the process holds now."""
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kilobytes[name] = int(value.split()[0]) * 1024
    return Memory(kilobytes["Rss"], kilobytes["Pss"], kilobytes["Private_Clean"] + kilobytes["Private_Dirty"])


async def settled_memory(pid: int, *, at_least: float, at_most: float) -> Memory:
    """The memory once it stops moving: five samples, a second apart, within 0.2 % of each other."""
    begun, samples = time.monotonic(), [memory(pid)]
    while (waited := time.monotonic() - begun) < at_most:
        recent = [sample.rss for sample in samples[-MEMORY_SETTLED_SAMPLES:]]
        if waited >= at_least and len(recent) == MEMORY_SETTLED_SAMPLES and is_settled(recent):
            break
        await asyncio.sleep(1)
        samples.append(memory(pid))
    return samples[-1]


def is_settled(samples: Sequence[int]) -> bool:
    """Whether the samples differ by no more than their noise."""
    return max(samples) - min(samples) <= MEMORY_SETTLED_SHARE * max(samples)


class Clocks:
    """The CPU clocks of the processes that serve one peer, read together."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)
        self._begun = self._read()
        self._threads_begun = self._read_threads()

    def used(self) -> float:
        """CPU seconds of all of them since this was made."""
        return self._read() - self._begun

    def used_by_loops(self) -> float:
        """CPU seconds of their event loops' threads since this was made."""
        return self._read_threads() - self._threads_begun

    def _read(self) -> float:
        return sum(cpu_seconds(pid) for pid in self._pids)

    def _read_threads(self) -> float:
        return sum(thread_seconds(pid) for pid in self._pids)


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores serve, and which carry the load generator and the databases."""

    server: frozenset[int]
    load: frozenset[int]

    @classmethod
    def choose(cls) -> "Cores":
        """The first core for the server and the rest for the load; on one core alone both share it."""
        first, *rest = sorted(os.sched_getaffinity(0))
        return cls(frozenset({first}), frozenset(rest or [first]))


def raise_open_files() -> int:
    """Let this process and its children open as many files as the machine allows; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
