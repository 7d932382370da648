"""Simulated storms: everybody gets in, and chance does what it is there for."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan_figures import PlanError
from bench.storms import (
    RETRIES,
    SOCKET_IO_CLIENT,
    VIGIL_CLIENT,
    WIDE,
    WITHOUT_JITTER,
    Retry,
    Storm,
    expiry_storm,
    reconnect_storm,
)


def expiry(clients: int = 50_000, per_second: float = 10_000, **changes: Any) -> Storm:
    settings = {"lead_s": 60, "grace_s": 30, "jitter_share": 0.25, "issued_over_s": 1, "seed": 1}
    return expiry_storm(clients, per_second, **{**settings, **changes})


@pytest.mark.parametrize("retry", RETRIES, ids=lambda retry: retry.name)
@settings(max_examples=15, deadline=None)
@given(
    clients=st.integers(0, 3_000_000),
    seconds=st.floats(0.01, 200),
    seed=st.integers(0, 2**32),
    patience=st.floats(0.5, 20),
)
def test_everybody_gets_in_whatever_the_storm(
    retry: Retry, clients: int, seconds: float, seed: int, patience: float
) -> None:
    storm = reconnect_storm(clients, max(clients, 1) / seconds, retry, seed=seed, patience_s=patience, sample=400)
    assert storm.served == clients
    assert storm.attempts >= clients
    assert storm.p50_wait_s <= storm.p99_wait_s <= storm.all_served_s


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 400), st.floats(0, 1), st.floats(0, 900), st.integers(0, 2**32))
def test_every_token_is_renewed_however_late(
    clients: int, seconds: float, jitter: float, over: float, seed: int
) -> None:
    storm = expiry(
        clients, max(clients, 1) / seconds, jitter_share=jitter, issued_over_s=over, seed=seed, sample=400
    )
    assert storm.served == storm.attempts == clients
    assert storm.dropped <= storm.late <= clients


@pytest.mark.parametrize("seed", range(5))
def test_chance_lowers_the_peak_of_a_return(seed: int) -> None:
    def peak(retry: Retry) -> float:
        return reconnect_storm(300_000, 20_000, retry, seed=seed).peak_per_second

    assert peak(WIDE) < peak(SOCKET_IO_CLIENT) < peak(WITHOUT_JITTER) == 300_000


@pytest.mark.parametrize("seed", range(5))
def test_more_jitter_lowers_the_peak_of_renewals(seed: int) -> None:
    peaks = [expiry(jitter_share=share, seed=seed).peak_per_second for share in (0, 0.1, 0.25, 0.5)]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] == 50_000
    assert peaks[2] < 50_000 / 10  # a quarter of a minute's lead is 15 s


def test_jitter_shortens_waits_where_there_is_capacity_for_the_mean() -> None:
    assert expiry(jitter_share=0.25).p99_wait_s < 1
    assert expiry(jitter_share=0).p99_wait_s > 4


def test_sockets_are_lost_only_when_renewals_take_longer_than_lead_and_grace() -> None:
    assert expiry(per_second=50_000 / 40).late == 0
    slow = expiry(per_second=50_000 / 75)
    assert slow.late > 0
    assert slow.dropped == 0
    assert expiry(per_second=50_000 / 180).dropped == pytest.approx(25_000, rel=0.05)


def test_tokens_issued_apart_end_apart() -> None:
    assert expiry(issued_over_s=300).peak_per_second < expiry(issued_over_s=1).peak_per_second / 5


def test_more_capacity_brings_everybody_back_sooner() -> None:
    times = [reconnect_storm(100_000, rate, VIGIL_CLIENT, seed=1).all_served_s for rate in (1_000, 3_000, 30_000)]
    assert times == sorted(times, reverse=True)


def test_a_storm_is_no_shorter_than_its_work() -> None:
    assert reconnect_storm(100_000, 1_000, SOCKET_IO_CLIENT, seed=1).all_served_s >= 100


def test_the_same_seed_gives_the_same_storm_and_another_seed_another() -> None:
    def storm(seed: int) -> Storm:
        return reconnect_storm(100_000, 20_000, WIDE, seed=seed)

    assert storm(7) == storm(7)
    assert storm(7) != storm(8)
    assert expiry(seed=7) == expiry(seed=7) != expiry(seed=8)


def test_a_sample_stands_for_all() -> None:
    small = reconnect_storm(100_000, 5_000, SOCKET_IO_CLIENT, seed=1, sample=5_000)
    whole = reconnect_storm(100_000, 5_000, SOCKET_IO_CLIENT, seed=1, sample=100_000)
    assert small.p99_wait_s == pytest.approx(whole.p99_wait_s, rel=0.1)
    assert small.peak_per_second == pytest.approx(whole.peak_per_second, rel=0.1)


def test_a_storm_of_nobody_is_over_at_once() -> None:
    nothing = reconnect_storm(0, 0, VIGIL_CLIENT, seed=1)
    assert (nothing.served, nothing.attempts, nothing.peak_per_second, nothing.all_served_s) == (0, 0, 0, 0)
    assert expiry(0).served == 0


@pytest.mark.parametrize("per_second", [0, -1, 0.5])
def test_a_storm_that_would_take_days_is_refused(per_second: float) -> None:
    with pytest.raises(PlanError, match="too few to serve 100,000 clients"):
        reconnect_storm(100_000, per_second, VIGIL_CLIENT, seed=1)


def test_the_chance_of_socket_io_client_ends_at_its_cap_and_that_of_ours_does_not() -> None:
    random = Random(1)
    late = {SOCKET_IO_CLIENT.delay(attempt, random) for attempt in range(5, 50)}
    assert late == {5.0}
    ours = [VIGIL_CLIENT.delay(attempt, random) for attempt in range(8, 50)]
    assert len(set(ours)) > 40
    assert all(30 / 7 <= delay <= 30 for delay in ours)
