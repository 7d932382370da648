"""A costly question is asked once, whoever wants to know."""

import asyncio

import pytest

from auth.core.errors import Unavailable
from auth.platform.cached_probe import CachedProbe


class RequestedApproval:
    """Counts, and answers when it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.may_answer = asyncio.Event()
        self.fails = False

    async def ask(self) -> int:
        self.times += 1
        times = self.times
        await self.may_answer.wait()
        if self.fails:
            raise Unavailable
        return times


class Hand:
    """A clock set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_all_who_ask_while_it_is_under_way_share_one_answer_though_some_go_away() -> None:
    asked = RequestedApproval()
    probe = CachedProbe(asked.ask, life_seconds=1, monotonic=Hand())
    asking = [asyncio.create_task(probe.answer()) for _ in range(200)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    asked.may_answer.set()
    assert await asyncio.gather(*asking[1:]) == [1] * 199
    assert asked.times == 1


async def test_an_answer_is_good_for_its_life_from_when_it_came() -> None:
    asked, hand = RequestedApproval(), Hand()
    probe = CachedProbe(asked.ask, life_seconds=1, monotonic=hand)
    first = asyncio.create_task(probe.answer())
    await asyncio.sleep(0)
    hand.now += 30
    asked.may_answer.set()
    assert await first == 1
    hand.now += 0.9
    assert await probe.answer() == 1
    hand.now += 0.2
    assert await probe.answer() == 2


async def test_a_failure_is_an_answer_too() -> None:
    asked, hand = RequestedApproval(), Hand()
    asked.fails = True
    asked.may_answer.set()
    probe = CachedProbe(asked.ask, life_seconds=1, monotonic=hand)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await probe.answer()
    assert asked.times == 1
    asked.fails = False
    hand.now += 2
    assert await probe.answer() == 2
