"""Reports of a run: the tables as Markdown, and all figures as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.measures import Measure, Scenario, Summary, summarise

OURS, REFERENCE = "vigil", "node"
# Figures whose target is a maximum instead of a ratio, and its unit.
ABSOLUTE = {"share": "%", "p99": "ms"}
Summaries = Mapping[tuple[str, str], Summary]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of one line: `ratio` to the Node peer, if measured; `met`, if there is a target."""

    ratio: float | None
    met: bool | None


def judge(scenario: Scenario, summaries: Summaries, peer: str = OURS) -> Verdict:
    """Compare a peer's value with the scenario's target."""
    own, reference = summaries.get((scenario.key, peer)), summaries.get((scenario.key, REFERENCE))
    ratio = own.value / reference.value if own and reference and reference.value > 0 else None
    judged = (own.value if own else None) if scenario.figure in ABSOLUTE else ratio
    if scenario.target is None or judged is None:
        return Verdict(ratio, None)
    return Verdict(ratio, judged <= scenario.target)


def as_markdown(scenarios: Sequence[Scenario], peers: Mapping[str, str], measures: Sequence[Measure]) -> str:
    """Render three tables: compared values, waits, and details. `peers`: name to title."""
    summaries = summarise(measures)
    told = [scenario for scenario in scenarios if any((scenario.key, peer) in summaries for peer in peers)]
    if not told:
        return "Nothing was measured."
    parts = [_ratios(told, peers, summaries), _waits(told, peers, summaries), _details(told, peers, summaries)]
    return "\n\n".join(part for part in parts if part)


def as_json(
    scenarios: Sequence[Scenario],
    measures: Sequence[Measure],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the machine, all measures, their medians, and the verdicts."""
    summaries = summarise(measures)
    return {
        "machine": dict(machine),
        "scenarios": [
            asdict(scenario)
            | asdict(judge(scenario, summaries))
            | {
                "peers": {
                    peer: asdict(summary) for (key, peer), summary in summaries.items() if key == scenario.key
                }
            }
            for scenario in scenarios
        ],
        "measures": [asdict(measure) for measure in measures],
    }


def _ratios(scenarios: Sequence[Scenario], peers: Mapping[str, str], summaries: Summaries) -> str:
    others = [peer for peer in peers if peer != REFERENCE]
    compares = REFERENCE in peers
    head = ["CPU of the server", *(peers[peer] for peer in peers)]
    if compares:
        head += [f"{peers[peer]} ÷ {peers[REFERENCE]}" for peer in others]
    head += ["target", ""]
    rows = []
    for scenario in scenarios:
        row = [scenario.title, *(_figure(scenario, summaries.get((scenario.key, peer))) for peer in peers)]
        if compares:
            row += [_ratio(scenario, judge(scenario, summaries, peer)) for peer in others]
        rows.append([*row, _target(scenario), _mark(judge(scenario, summaries).met)])
    return _table(head, rows)


def _waits(scenarios: Sequence[Scenario], peers: Mapping[str, str], summaries: Summaries) -> str:
    head = ["waits in ms, p50 / p99, and the server's core in use", *peers.values()]
    rows = []
    for scenario in scenarios:
        found = [summaries.get((scenario.key, peer)) for peer in peers]
        if any(summary and summary.p50 is not None for summary in found):
            rows.append([scenario.title, *map(_wait, found)])
    return _table(head, rows) if rows else ""


def _details(scenarios: Sequence[Scenario], peers: Mapping[str, str], summaries: Summaries) -> str:
    rows = []
    for scenario in scenarios:
        found = [summaries.get((scenario.key, peer)) for peer in peers]
        for name in sorted({name for summary in found if summary for name in summary.details}):
            values = [summary.details.get(name) if summary else None for summary in found]
            rows.append([f"{scenario.title}: {name.replace('_', ' ')}", *map(_number, values)])
    return _table(["noticed besides", *peers.values()], rows) if rows else ""


def _figure(scenario: Scenario, summary: Summary | None) -> str:
    if summary is None:
        return "–"
    show = SHOWN[scenario.figure]
    if summary.rounds == 1:
        return show(summary.value)
    return f"{show(summary.value)} ({_bare(scenario, summary.least)}–{_bare(scenario, summary.greatest)})"


def _bare(scenario: Scenario, value: float) -> str:
    return SHOWN[scenario.figure](value).split(" ")[0]


def _cpu(value: float) -> str:
    return f"{value:,.0f} µs" if value >= 100 else f"{value:.1f} µs"


SHOWN: Mapping[str, Callable[[float], str]] = {
    "cpu": _cpu,
    "bytes": lambda value: f"{value / 1000:.1f} kB",
    "share": lambda value: f"{value:.1f} %",
    "p99": lambda value: f"{value:.1f} ms",
}


def _ratio(scenario: Scenario, verdict: Verdict) -> str:
    return "–" if verdict.ratio is None or scenario.figure == "share" else f"{verdict.ratio:.2f}"


def _target(scenario: Scenario) -> str:
    if scenario.target is None:
        return "–"
    unit = ABSOLUTE.get(scenario.figure)
    return f"≤ {scenario.target}" if unit is None else f"≤ {scenario.target:.0f} {unit}"


def _mark(met: bool | None) -> str:
    return "–" if met is None else "met" if met else "**missed**"


def _wait(summary: Summary | None) -> str:
    if summary is None or summary.p50 is None or summary.p99 is None:
        return "–"
    busy = "" if summary.busy is None else f", {summary.busy:.0%}"
    return f"{summary.p50:.1f} / {summary.p99:.1f}{busy}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
