"""Sockets that have missed events of a room at different places: what it costs to serve them all."""

from types import SimpleNamespace
from typing import Any

import pytest

from realtime.broker.room_log import Missed
from realtime.delivery.room_catch_up import RoomCatchUp
from realtime.hub import Place

MANY = 2000


class Counted(str):
    """The name of a room that counts how often it is looked up."""

    __slots__ = ()
    looked_up = 0

    def __hash__(self) -> int:
        Counted.looked_up += 1
        return super().__hash__()


class Log:
    """A history that ends at once; counts how often it is read."""

    reads = 0

    async def missed(self, room: str, *, after: int | None, most_bytes: int) -> Missed:
        self.reads += 1
        return Missed(MANY, recovered=True)


def place_of(cursor: int) -> Place:
    connection: Any = SimpleNamespace(socket_id="s", user_id="u")
    place = Place(connection, Counted("room"), cursor, 0)
    place.is_entered = True
    return place


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def catch_up(log: Log) -> RoomCatchUp:
    unused: Any = SimpleNamespace(emit_to_sockets=lambda *_: None)
    return RoomCatchUp(log, unused, unused)  # type: ignore[arg-type]


async def test_the_work_grows_with_the_number_of_places_and_not_with_its_square(
    catch_up: RoomCatchUp, log: Log
) -> None:
    places = [place_of(cursor) for cursor in range(MANY)]
    Counted.looked_up = 0
    for place in places:
        catch_up.read_soon(place)
    assert catch_up._task is not None
    await catch_up._task
    assert {place.cursor for place in places} == {MANY}
    assert log.reads == MANY
    assert Counted.looked_up < 10 * MANY


async def test_nothing_is_read_for_sockets_that_have_gone(catch_up: RoomCatchUp, log: Log) -> None:
    places = [place_of(cursor) for cursor in range(100)]
    for place in places:
        catch_up.read_soon(place)
    for place in places:
        place.is_entered = False
    assert catch_up._task is not None
    await catch_up._task
    assert log.reads == 0
