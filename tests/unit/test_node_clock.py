"""Which clock a node goes by, with the clocks of its machine and of the stores in the test's hand."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from auth.core.clock import from_ms
from auth.core.errors import StartRefused, Unavailable
from auth.platform.node_clock import MAX_DIFFERENCE, NodeClock

START = 1_700_000_000.0
FIVE_MINUTES = 300.0


class World:
    """Times in seconds. `errors`: by how much each clock is ahead of the true time; None: it does not answer."""

    def __init__(self) -> None:
        self.boot = 1000.0
        self.machine = 0.0
        self.errors: dict[str, float | None] = {"MongoDB": 0.0, "Redis": 0.0}
        self.answer_seconds = 0.0
        self.clock = NodeClock(
            {name: self.asked(name) for name in self.errors},
            boot=lambda: self.boot,
            wall=lambda: self.true + self.machine,
        )

    @property
    def true(self) -> float:
        return START + self.boot

    @property
    def error(self) -> timedelta:
        """By how much the node's clock is ahead of the true time."""
        return self.clock() - from_ms(int(self.true * 1000))

    def asked(self, name: str) -> Callable[[], Awaitable[datetime]]:
        async def ask() -> datetime:
            error = self.errors[name]
            if error is None:
                raise Unavailable
            self.boot += self.answer_seconds
            return from_ms(int((self.true + error) * 1000))

        return ask


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("step", [FIVE_MINUTES, -FIVE_MINUTES])
async def test_a_step_that_no_store_confirms_is_not_followed_and_is_wrong(world: World, step: float) -> None:
    await world.clock.compare()
    world.machine = step
    world.boot += 60
    assert world.error == timedelta(0), "before anybody was asked"
    await world.clock.compare()
    assert world.error == timedelta(0)
    assert not world.clock.is_right


async def test_a_clock_that_is_set_right_again_is_right(world: World) -> None:
    world.machine = FIVE_MINUTES
    await world.clock.compare()
    world.machine = 0.0
    await world.clock.compare()
    assert world.clock.is_right
    assert world.error == timedelta(0)


async def test_a_step_that_a_store_confirms_is_followed(world: World) -> None:
    """A machine that was paused from outside: the time since boot did not go on."""
    await world.clock.compare()
    world.machine = 60.0
    world.errors = {"MongoDB": 60.0, "Redis": None}
    await world.clock.compare()
    assert world.error == timedelta(seconds=60)
    assert world.clock.is_right


@pytest.mark.parametrize("wrong", ["MongoDB", "Redis"])
async def test_one_store_whose_clock_is_wrong_stops_no_node(world: World, wrong: str) -> None:
    world.errors[wrong] = FIVE_MINUTES
    await world.clock.compare()
    assert world.clock.is_right
    assert world.error == timedelta(0)


@pytest.mark.parametrize("machine", [0.0, FIVE_MINUTES])
async def test_while_no_store_answers_the_last_verdict_and_time_remain(world: World, machine: float) -> None:
    world.machine = machine
    await world.clock.compare()
    was_right = world.clock.is_right
    world.errors = {"MongoDB": None, "Redis": None}
    world.machine += FIVE_MINUTES
    before = world.error
    await world.clock.compare()
    assert world.clock.is_right is was_right
    assert world.error == before


async def test_a_slow_answer_is_no_difference(world: World) -> None:
    world.answer_seconds = 3.0
    world.machine = MAX_DIFFERENCE.total_seconds() + 0.5
    await world.clock.compare()
    assert world.clock.is_right


async def test_a_node_with_a_wrong_clock_does_not_start_and_says_by_how_much(world: World) -> None:
    world.machine = FIVE_MINUTES
    with pytest.raises(StartRefused, match=r"\+300\.0 s from MongoDB's, \+300\.0 s from Redis's") as refused:
        await world.clock.start()
    assert "\n" not in str(refused.value)
