"""A row of the table: a fault, a promise, and the figures that show whether the promise was kept."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.faults.world import World


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value. `most`: the promise, if it is one."""

    what: str
    value: float
    unit: str = ""
    most: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the promise was kept."""
        return self.most is None or self.value <= self.most

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        value = f"{self.value:.0f}" if self.value == int(self.value) else f"{self.value:.2f}"
        broken = "" if self.is_kept else f" **(promised: {self.most:g})**"
        return f"{self.what} {value}{unit}{broken}"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. `run` causes it in a world of its own."""

    name: str
    fault: str
    promise: str
    server: str
    run: Callable[[World], Awaitable[list[Figure]]]
