"""A server that does not answer is not asked by every caller, and is asked again when it may have recovered."""

import asyncio

import pytest

from auth.core.errors import Unavailable
from auth.platform.circuit_breaker import LONGEST_PAUSE_SECONDS, MOST_FAILURES, CircuitBreaker


class Server:
    """A server that can be down, its breaker, and the time."""

    def __init__(self) -> None:
        self.now, self.asked, self.is_down = 0.0, 0, False
        self.breaker = CircuitBreaker(trial_seconds=5, clock=lambda: self.now)

    async def answer(self) -> str:
        self.asked += 1
        if self.is_down:
            raise Unavailable
        return "answer"

    async def ask(self) -> str:
        return await self.breaker.call(self.answer)

    async def fail(self, times: int) -> None:
        self.is_down = True
        for _ in range(times):
            with pytest.raises(Unavailable):
                await self.ask()


async def test_after_failures_in_a_row_callers_are_refused_without_asking_and_told_when_to_come_back() -> None:
    server = Server()
    await server.fail(MOST_FAILURES + 3)
    assert server.asked == MOST_FAILURES
    server.now = 0.25
    with pytest.raises(Unavailable) as refused:
        await server.ask()
    assert refused.value.retry_after_seconds == 0.75


async def test_an_answer_in_between_begins_the_count_anew() -> None:
    server = Server()
    await server.fail(MOST_FAILURES - 1)
    server.is_down = False
    assert await server.ask() == "answer"
    await server.fail(MOST_FAILURES - 1)
    assert not server.breaker.is_open


async def test_one_caller_tries_again_after_the_pause_and_its_answer_lets_all_in() -> None:
    server = Server()
    await server.fail(MOST_FAILURES)
    server.now, server.is_down = 1, False
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await may_end.wait()
        return "slow"

    trying = asyncio.create_task(server.breaker.call(slow))
    await begun.wait()
    with pytest.raises(Unavailable):
        await server.ask()
    may_end.set()
    assert await trying == "slow"
    assert [await server.ask() for _ in range(3)] == ["answer"] * 3


async def test_a_try_that_is_cancelled_does_not_keep_the_breaker_open_for_ever() -> None:
    server = Server()
    await server.fail(MOST_FAILURES)
    server.now, server.is_down = 1, False
    trying = asyncio.create_task(server.breaker.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    trying.cancel()
    await asyncio.wait({trying})
    server.now = 6
    assert await server.ask() == "answer"


async def test_the_pause_doubles_up_to_a_limit_and_begins_short_after_a_recovery() -> None:
    server = Server()
    await server.fail(MOST_FAILURES)
    for pause in (1, 2, 4, 8, 16, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS):
        server.now += pause - 0.5
        asked = server.asked
        await server.fail(1)
        assert server.asked == asked
        server.now += 0.5
        await server.fail(1)
        assert server.asked == asked + 1
    server.now, server.is_down = server.now + LONGEST_PAUSE_SECONDS, False
    assert await server.ask() == "answer"
    await server.fail(MOST_FAILURES)
    server.now, server.is_down = server.now + 1, False
    assert await server.ask() == "answer"


async def test_calls_that_began_before_the_breaker_opened_do_not_prolong_the_pause() -> None:
    server = Server()
    server.is_down = True
    ends = asyncio.Event()

    async def fails_late() -> None:
        await ends.wait()
        raise Unavailable

    late = [asyncio.create_task(server.breaker.call(fails_late)) for _ in range(50)]
    await asyncio.sleep(0)
    server.now = 0.1
    await server.fail(MOST_FAILURES)
    ends.set()
    assert all(isinstance(each, Unavailable) for each in await asyncio.gather(*late, return_exceptions=True))
    server.now, server.is_down = 1.1, False
    assert await server.ask() == "answer"
