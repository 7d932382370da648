"""Many deadlines on one timer of the event loop."""

import asyncio
from typing import Any

from support.waiting import eventually

from realtime.engine.timers import FEW, Timers


async def has(made: list[Any], count: int) -> None:
    """Wait until so many calls were made."""

    async def enough() -> bool:
        return len(made) >= count

    await eventually(enough, f"{count} calls", timeout=30, every=0.005)


async def test_calls_are_made_in_the_order_of_their_deadlines() -> None:
    timers, made, now = Timers(), [], asyncio.get_running_loop().time()
    for seconds in (0.03, 0.01, 0.02):
        timers.at(now + seconds, lambda seconds=seconds: made.append(seconds))
    await has(made, 3)
    assert made == [0.01, 0.02, 0.03]


async def test_a_call_is_never_made_early() -> None:
    timers, loop = Timers(), asyncio.get_running_loop()
    began, made = loop.time(), []
    timers.after(0.05, lambda: made.append(loop.time()))
    await has(made, 1)
    assert made[0] - began >= 0.05


async def test_a_cancelled_call_is_not_made_and_others_are() -> None:
    timers, made = Timers(), []
    first = timers.after(0.01, lambda: made.append("first"))
    timers.after(0.02, lambda: made.append("second"))
    first.cancel()
    first.cancel()
    await has(made, 1)
    assert made == ["second"]


async def test_a_deadline_before_all_others_moves_the_loops_timer() -> None:
    timers, made = Timers(), []
    timers.after(60, lambda: made.append("late"))
    timers.after(0.01, lambda: made.append("early"))
    await has(made, 1)
    assert made == ["early"]
    timers.close()


async def test_a_call_may_ask_for_another_and_cancel_others() -> None:
    timers, made = Timers(), []
    victim = timers.after(0.02, lambda: made.append("victim"))

    def first() -> None:
        made.append("first")
        victim.cancel()
        timers.after(0.01, lambda: made.append("second"))

    timers.after(0.01, first)
    await has(made, 2)
    assert made == ["first", "second"]


async def test_a_call_that_raises_goes_to_the_loop_and_stops_no_other() -> None:
    timers, made, heard = Timers(), [], []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))

    def fails() -> None:
        raise RuntimeError("no")

    timers.after(0.001, fails)
    timers.after(0.002, lambda: made.append(1))
    await has(made, 1)
    loop.set_exception_handler(None)
    assert [str(error) for error in heard] == ["no"]


async def test_cancelled_calls_do_not_pile_up() -> None:
    timers = Timers()
    kept = timers.after(60, lambda: None)
    for _ in range(10 * FEW):
        timers.after(30, lambda: None).cancel()
    assert len(timers._heap) <= 2 * FEW + 2
    assert not kept.cancelled
    timers.close()


async def test_after_close_nothing_is_called() -> None:
    timers, made = Timers(), []
    timers.after(0.001, lambda: made.append(1))
    timers.close()
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.02, done.set_result, None)
    await done
    assert made == []
