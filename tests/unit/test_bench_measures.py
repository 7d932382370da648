"""The bench's figures: medians over rounds, percentiles of waits, and what counts as settled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.accounting import is_settled
from bench.measures import Measure, per_unit, percentile, summarise, waits

SOME = st.lists(st.floats(0, 1e6), min_size=1)


def measured(
    value: float, *, peer: str = "vigil", scenario: str = "me", number: int = 0, **more: float
) -> Measure:
    return Measure(scenario, peer, number, value, 100, **more)  # type: ignore[arg-type] # p50, p99 and busy only


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7


@given(SOME, st.floats(0.01, 1))
def test_at_least_the_share_is_no_greater_than_its_percentile(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_waits_are_told_in_milliseconds() -> None:
    assert waits([0.001, 0.002, 0.010]) == (2, 10)


def test_cpu_is_told_per_unit_in_microseconds() -> None:
    assert per_unit(0.5, 1000) == pytest.approx(500)


def test_the_median_of_rounds_counts_and_its_spread_is_kept() -> None:
    rounds = [measured(value, number=number) for number, value in enumerate((30, 10, 20))]
    summary = summarise(rounds)["me", "vigil"]
    assert (summary.value, summary.least, summary.greatest, summary.rounds) == (20, 10, 30, 3)


def test_peers_and_scenarios_are_kept_apart() -> None:
    found = summarise([measured(1), measured(2, peer="node"), measured(3, scenario="refresh")])
    assert {key: summary.value for key, summary in found.items()} == {
        ("me", "vigil"): 1,
        ("me", "node"): 2,
        ("refresh", "vigil"): 3,
    }


def test_waits_of_rounds_are_medians_too_and_may_be_missing() -> None:
    summary = summarise([measured(1, p50=1, p99=9), measured(1, p50=3, p99=5), measured(1)])["me", "vigil"]
    assert (summary.p50, summary.p99, summary.busy) == (2, 7, None)


def test_details_of_rounds_are_medians_of_those_that_have_them() -> None:
    rounds = [Measure("idle", "vigil", number, 1, 1, details=details)
              for number, details in enumerate(({"uss": 1.0}, {"uss": 3.0, "pss": 8.0}))]  # fmt: skip
    assert summarise(rounds)["idle", "vigil"].details == {"pss": 8, "uss": 2}


def test_memory_has_settled_when_it_moves_no_more_than_its_noise() -> None:
    assert is_settled([100_000, 100_100, 100_050])
    assert not is_settled([100_000, 100_300])
