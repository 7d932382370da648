"""Measurements and their statistics: medians over rounds, percentiles of waits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median

from bench.profiles import Profile


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of the table.

    `unit`: name of one unit. `figure`: the compared quantity, `cpu` (µs per unit), `bytes` (per unit), `share`
    (per cent) or `p99` (ms). `target`: maximum ratio to the Node peer's value, or maximum of a share or p99; None
    if there is no target.
    """

    key: str
    title: str
    unit: str
    figure: str = "cpu"
    target: float | None = 0.5


@dataclass(frozen=True, slots=True)
class Measure:
    """One scenario on one peer in one round.

    `value` has the unit of the scenario's figure; waits are in milliseconds; `busy` is the share of a core used by
    the server.
    """

    scenario: str
    peer: str
    round: int
    value: float
    units: int
    p50: float | None = None
    p99: float | None = None
    busy: float | None = None
    details: dict[str, float] = field(default_factory=dict)


@dataclass
class Results:
    """Results of a run so far. `profiles`: by scenario, if profiling is enabled."""

    measures: list[Measure] = field(default_factory=list)
    profiles: dict[str, Profile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """One scenario on one peer over all rounds: medians, minimum and maximum."""

    scenario: str
    peer: str
    value: float
    least: float
    greatest: float
    rounds: int
    p50: float | None
    p99: float | None
    busy: float | None
    details: dict[str, float]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(ceil(share * len(values)), 1) - 1]


def per_unit(cpu_seconds: float, units: int) -> float:
    """Return the CPU µs per unit."""
    return cpu_seconds / units * 1e6


def waits(seconds: Sequence[float]) -> tuple[float, float]:
    """Return median and 99th percentile of waits, in milliseconds."""
    return percentile(seconds, 0.5) * 1000, percentile(seconds, 0.99) * 1000


def summarise(measures: Iterable[Measure]) -> dict[tuple[str, str], Summary]:
    """Combine the rounds of each scenario and peer."""
    grouped: dict[tuple[str, str], list[Measure]] = {}
    for measure in measures:
        grouped.setdefault((measure.scenario, measure.peer), []).append(measure)
    return {key: _summary(group) for key, group in grouped.items()}


def _summary(group: Sequence[Measure]) -> Summary:
    values = [measure.value for measure in group]
    names = {name for measure in group for name in measure.details}
    return Summary(
        scenario=group[0].scenario,
        peer=group[0].peer,
        value=median(values),
        least=min(values),
        greatest=max(values),
        rounds=len(values),
        p50=_median_of([measure.p50 for measure in group]),
        p99=_median_of([measure.p99 for measure in group]),
        busy=_median_of([measure.busy for measure in group]),
        details={
            name: median(measure.details[name] for measure in group if name in measure.details)
            for name in sorted(names)
        },
    )


def _median_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
