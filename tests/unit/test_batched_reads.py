"""Reads of many callers in one: nobody gets an older answer, or another's trouble, for it."""

import asyncio
from collections.abc import Sequence

import pytest

from auth.stores.batched_reads import PATIENCE_SECONDS, BatchedReads


class Shelf:
    """Values by key, and which keys were read together."""

    def __init__(self, **values: int) -> None:
        self.values = values
        self.reads: list[set[str]] = []
        self.delay = asyncio.Event()
        self.delay.set()

    async def read(self, keys: Sequence[str]) -> dict[str, int]:
        assert len(set(keys)) == len(keys)
        self.reads.append(set(keys))
        found = {key: self.values[key] for key in keys if key in self.values}
        await self.delay.wait()
        if "broken" in keys:
            raise ValueError("broken")
        return found


async def test_what_is_asked_at_once_is_read_at_once() -> None:
    shelf = Shelf(a=1, b=2)
    gathering = BatchedReads(shelf.read)
    answers = await asyncio.gather(*(gathering.ask(key) for key in ("a", "b", "a", "unknown")))
    assert answers == [1, 2, 1, None]
    assert shelf.reads == [{"a", "b", "unknown"}]


async def test_a_read_begins_after_the_question() -> None:
    """A question that comes while a read is on its way is not answered by it: the value may have changed."""
    shelf = Shelf(a=1)
    gathering = BatchedReads(shelf.read)
    shelf.delay.clear()
    before = asyncio.create_task(gathering.ask("a"))
    while not shelf.reads:
        await asyncio.sleep(0)
    shelf.values["a"] = 2
    after = asyncio.create_task(gathering.ask("a"))
    await asyncio.sleep(0)
    shelf.delay.set()
    assert (await before, await after) == (1, 2)


async def test_what_is_asked_during_a_read_is_read_together_when_it_ends() -> None:
    shelf = Shelf(a=1, b=2, c=3)
    gathering = BatchedReads(shelf.read)
    shelf.delay.clear()
    first = asyncio.create_task(gathering.ask("a"))
    while not shelf.reads:
        await asyncio.sleep(0)
    others = [asyncio.create_task(gathering.ask(key)) for key in ("b", "c")]
    await asyncio.sleep(0)
    assert shelf.reads == [{"a"}]
    shelf.delay.set()
    assert await asyncio.gather(first, *others) == [1, 2, 3]
    assert shelf.reads == [{"a"}, {"b", "c"}]


async def test_reads_that_hang_delay_no_others_up_to_their_greatest_number() -> None:
    shelf = Shelf(a=1, b=2, c=3)
    gathering = BatchedReads(shelf.read, at_once=2)
    shelf.delay.clear()
    asked = []
    for number, key in enumerate(("a", "b"), start=1):
        asked.append(asyncio.create_task(gathering.ask(key)))
        while len(shelf.reads) < number:
            await asyncio.sleep(0.001)
    asked.append(asyncio.create_task(gathering.ask("c")))
    await asyncio.sleep(5 * PATIENCE_SECONDS)
    assert shelf.reads == [{"a"}, {"b"}]
    shelf.delay.set()
    assert await asyncio.gather(*asked) == [1, 2, 3]


async def test_nothing_is_read_for_nobody_however_quickly_one_question_follows_another() -> None:
    shelf = Shelf(a=1)
    gathering = BatchedReads(shelf.read)
    for _ in range(20):
        assert await gathering.ask("a") == 1
    assert shelf.reads == [{"a"}] * 20


async def test_a_failed_read_fails_those_who_asked_in_it_and_nobody_else() -> None:
    shelf = Shelf(a=1)
    gathering = BatchedReads(shelf.read)
    together = await asyncio.gather(gathering.ask("a"), gathering.ask("broken"), return_exceptions=True)
    assert [type(answer) for answer in together] == [ValueError, ValueError]
    assert await gathering.ask("a") == 1


async def test_who_goes_away_disturbs_nobody() -> None:
    shelf = Shelf(a=1, b=2)
    gathering = BatchedReads(shelf.read)
    shelf.delay.clear()
    leaving, staying = asyncio.create_task(gathering.ask("a")), asyncio.create_task(gathering.ask("b"))
    while not shelf.reads:
        await asyncio.sleep(0)
    leaving.cancel()
    shelf.delay.set()
    assert await staying == 2
    with pytest.raises(asyncio.CancelledError):
        await leaving
