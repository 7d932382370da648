"""What a connection may send: a burst, then a rate, then no more."""

import asyncio

import pytest

from auth.platform.fair_turns import FairTurns
from realtime.engine.traffic_budget import PATIENCE_SECONDS, BudgetExceeded, TrafficBudget, TrafficUse

ALLOWANCE = TrafficBudget(frames_per_second=10, bytes_per_second=1000, burst_seconds=5)


@pytest.mark.parametrize(("frames", "size"), [(1, 0), (0, 100), (1, 100)])
def test_a_burst_passes_and_what_is_beyond_it_waits_until_it_is_paid_for(frames: int, size: int) -> None:
    spending = TrafficUse(ALLOWANCE)
    assert [spending.spend(frames, size, now=100.0) for _ in range(50)] == [0.0] * 50
    assert spending.spend(frames, size, now=100.0) == pytest.approx(0.1)
    assert spending.spend(frames, size, now=100.0) == pytest.approx(0.2)
    assert spending.spend(frames, size, now=100.3) == 0.0


def test_who_keeps_to_the_rate_is_never_held_up() -> None:
    spending = TrafficUse(ALLOWANCE)
    assert all(spending.spend(1, 100, now=1 + n / 10) == 0.0 for n in range(1000))


def test_what_is_left_unused_is_not_saved_up_beyond_a_burst() -> None:
    spending = TrafficUse(ALLOWANCE)
    spending.spend(50, 0, now=0.0)
    assert spending.spend(50, 0, now=1000.0) == 0.0
    assert spending.spend(1, 0, now=1000.0) > 0


def test_who_is_over_for_five_seconds_is_sent_away() -> None:
    spending = TrafficUse(ALLOWANCE)
    spending.spend(51, 0, now=0.0)
    for tenth in range(1, int(10 * PATIENCE_SECONDS)):
        spending.spend(1, 0, now=tenth / 10)
    with pytest.raises(BudgetExceeded):
        spending.spend(1, 0, now=PATIENCE_SECONDS)


def test_who_relents_for_a_second_begins_anew() -> None:
    spending = TrafficUse(ALLOWANCE)
    for begin in (0.0, 20.0, 40.0):
        spending.spend(60, 0, now=begin)
        for tenth in range(45):
            spending.spend(1, 0, now=begin + tenth / 10)


def test_what_is_owed_counts_with_what_comes_next() -> None:
    spending = TrafficUse(ALLOWANCE)
    spending.add_frames(49)
    assert spending.spend(1, 0, now=0.0) == 0.0
    assert spending.spend(1, 0, now=0.0) > 0


def test_honest_clients_do_not_meet_the_default() -> None:
    """A hundred events of 64 KiB at once, each with an attachment's frame, and acks to as many of ours."""
    spending = TrafficUse(TrafficBudget())
    assert all(spending.spend(3, 66_000, now=0.0) == 0.0 for _ in range(100))


class TestTurns:
    """Left-over work: in order, fairly, and a little in each turn of the loop."""

    async def test_calls_are_made_in_turn_and_what_they_add_is_behind_all_others(self) -> None:
        turns, made = FairTurns(), []

        def call(name: str, times: int) -> None:
            made.append(name)
            if times:
                turns.add(lambda: call(name, times - 1))

        for name in "abc":
            turns.add(lambda name=name: call(name, 2))
        for _ in range(4):
            await asyncio.sleep(0)
        assert "".join(made) == "abcabcabc"

    async def test_a_turn_ends_when_its_time_is_over_and_others_get_theirs(self) -> None:
        now = 0.0
        turns = FairTurns(monotonic=lambda: now)
        made: list[str] = []

        def long(name: str) -> None:
            nonlocal now
            now += 1
            made.append(name)

        for name in "ab":
            turns.add(lambda name=name: long(name))
        asyncio.get_running_loop().call_soon(made.append, "another's")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert made == ["a", "another's", "b"]

    async def test_a_call_that_fails_stops_no_other(self) -> None:
        turns, made, failed = FairTurns(), [], []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
        turns.add(lambda: 1 / 0)
        turns.add(lambda: made.append(True))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (made, [type(each) for each in failed]) == ([True], [ZeroDivisionError])
