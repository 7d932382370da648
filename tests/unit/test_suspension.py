"""Whether a node was away, by clocks in the test's hand."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from auth.platform.suspension import AWAY_SECONDS, SETTLING_SECONDS, TICK_SECONDS, RequestCaller, SuspensionWatch


@dataclass
class Clocks:
    """The machine's and the wall's."""

    boot: float = 1000.0
    wall: float = 1_700_000_000.0

    def go(self, seconds: float, *, wall: float | None = None) -> None:
        self.boot += seconds
        self.wall += seconds if wall is None else wall


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def node(clocks: Clocks) -> SuspensionWatch:
    return SuspensionWatch(lambda: clocks.boot, lambda: clocks.wall)


def ticks(node: SuspensionWatch, clocks: Clocks, seconds: float) -> None:
    """A node that is awake looks at the clock at least so often."""
    for _ in range(round(seconds / TICK_SECONDS)):
        clocks.go(TICK_SECONDS)
        node.arrival()


def caller(node: SuspensionWatch, hung_up: Callable[[], bool] = lambda: False) -> RequestCaller:
    return RequestCaller(node, node.arrival(), hung_up)


def test_a_node_that_is_awake_takes_a_request_as_it_comes(node: SuspensionWatch, clocks: Clocks) -> None:
    ticks(node, clocks, 60)
    asked = caller(node)
    assert asked.waited == timedelta(0)
    ticks(node, clocks, 14)
    assert asked.waited == timedelta(seconds=14)
    assert not asked.is_lost, "a store may be slow: that is no absence"


def test_a_request_in_hand_is_lost_when_the_node_was_away(node: SuspensionWatch, clocks: Clocks) -> None:
    asked = caller(node)
    clocks.go(14)
    assert asked.is_lost
    assert asked.waited == timedelta(seconds=14)


def test_what_lay_in_buffers_meanwhile_has_waited_since_the_node_left(
    node: SuspensionWatch, clocks: Clocks
) -> None:
    clocks.go(14)
    asked = caller(node)
    assert asked.is_lost
    assert asked.waited == timedelta(seconds=14)
    clocks.go(SETTLING_SECONDS / 2)
    assert caller(node).is_lost, "not all of it is read at once"


def test_soon_after_it_woke_the_node_serves_again(node: SuspensionWatch, clocks: Clocks) -> None:
    clocks.go(14)
    node.arrival()
    clocks.go(SETTLING_SECONDS)
    asked = caller(node)
    assert not asked.is_lost
    assert asked.waited == timedelta(0)


def test_a_machine_that_was_paused_has_its_wall_clock_set_later(node: SuspensionWatch, clocks: Clocks) -> None:
    asked = caller(node)
    clocks.go(0.1, wall=14.1)
    assert asked.is_lost
    assert caller(node).waited == timedelta(seconds=14.1)


@pytest.mark.parametrize("seconds", [0.0, AWAY_SECONDS])
def test_a_loop_that_is_busy_is_not_away(node: SuspensionWatch, clocks: Clocks, seconds: float) -> None:
    asked = caller(node)
    clocks.go(seconds)
    assert not asked.is_lost


def test_a_wall_clock_that_is_set_back_means_nothing(node: SuspensionWatch, clocks: Clocks) -> None:
    asked = caller(node)
    clocks.go(0.1, wall=-3600)
    assert not asked.is_lost
    assert asked.waited == timedelta(seconds=0.1)


def test_whoever_has_hung_up_is_lost(node: SuspensionWatch) -> None:
    assert caller(node, lambda: True).is_lost
