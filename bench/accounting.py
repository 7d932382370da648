"""Resource use of processes: CPU time from the kernel's accounting, memory from /proc.

Unlike wall time, CPU time is the same on a busy and an idle machine. The kernel counts all threads of a process,
including ended ones, in nanoseconds.
"""

import asyncio
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NANOSECONDS = 1_000_000_000
# Encodes "CPU clock of a process" in a clock id (clock_getcpuclockid(3)).
PROCESS_CLOCK = 2
MEMORY_SETTLED_SHARE = 0.002
MEMORY_SETTLED_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process in bytes: resident, proportional and unique set size."""

    rss: int
    pss: int
    uss: int


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of the process and all its threads. Raises `OSError` if it has ended."""
    return time.clock_gettime_ns((~pid << 3) | PROCESS_CLOCK) / NANOSECONDS


def thread_seconds(pid: int) -> float:
    """Return the CPU seconds of the process's main thread, which runs the event loop."""
    running = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]
    return int(running) / NANOSECONDS


def memory(pid: int) -> Memory:
    """Return the current memory of the process."""
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kilobytes[name] = int(value.split()[0]) * 1024
    return Memory(kilobytes["Rss"], kilobytes["Pss"], kilobytes["Private_Clean"] + kilobytes["Private_Dirty"])


async def settled_memory(pid: int, *, at_least: float, at_most: float) -> Memory:
    """Return the memory once five samples, a second apart, are within 0.2 % of each other.

    `at_least` and `at_most` bound the wait in seconds.
    """
    begun, samples = time.monotonic(), [memory(pid)]
    while (waited := time.monotonic() - begun) < at_most:
        recent = [sample.rss for sample in samples[-MEMORY_SETTLED_SAMPLES:]]
        if waited >= at_least and len(recent) == MEMORY_SETTLED_SAMPLES and is_settled(recent):
            break
        await asyncio.sleep(1)
        samples.append(memory(pid))
    return samples[-1]


def is_settled(samples: Sequence[int]) -> bool:
    """Whether the samples are within 0.2 % of each other."""
    return max(samples) - min(samples) <= MEMORY_SETTLED_SHARE * max(samples)


class Clocks:
    """CPU clocks of one peer's server processes, read together."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)
        self._begun = self._read()
        self._threads_begun = self._read_threads()

    def used(self) -> float:
        """CPU seconds of all processes since construction."""
        return self._read() - self._begun

    def used_by_loops(self) -> float:
        """CPU seconds of all event loop threads since construction."""
        return self._read_threads() - self._threads_begun

    def _read(self) -> float:
        return sum(cpu_seconds(pid) for pid in self._pids)

    def _read_threads(self) -> float:
        return sum(thread_seconds(pid) for pid in self._pids)


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of the server, and cores of the load generator and databases."""

    server: frozenset[int]
    load: frozenset[int]

    @classmethod
    def choose(cls) -> "Cores":
        """Assign the first core to the server and the rest to the load; with a single core, both share it."""
        first, *rest = sorted(os.sched_getaffinity(0))
        return cls(frozenset({first}), frozenset(rest or [first]))


def raise_open_files() -> int:
    """Raise the open files limit of this process and its children to the hard limit, and return that."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
