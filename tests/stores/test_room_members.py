"""Members of rooms that are added and removed at the same time: live sockets are in the room if it is stored."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from support.parts import without_init

from auth.backends.live import Sent, Target
from auth.backends.rooms import BackendRooms
from auth.backends.targets import Targets
from auth.core.models import Delivery
from auth.core.shards import shard_of
from auth.stores.mongo import Mongo
from auth.stores.room_members import Membership, RoomMembers

USER = Target("user", "ada", "ada")
ROOM = "chat:lobby"


class Sockets:
    """The sockets of the user. `meanwhile` runs before the first message reaches their nodes."""

    def __init__(self) -> None:
        self.are_in = False
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None

    async def move(self, _target: Target, _room: str, *, enter: bool) -> Sent:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        self.are_in = enter

        async def delivery() -> Delivery:
            return Delivery(sockets=1, notified=1)

        return Sent(delivery)

    async def mark_members(self, _user_id: str) -> None:
        return None

    async def last_of_room(self, _room: str) -> int:
        return 7


class AnyUser(Targets):
    """Every user is known."""

    def __init__(self) -> None:
        pass

    async def require_user(self, user_id: str) -> None:
        pass


def rooms_of(members: RoomMembers, sockets: Sockets) -> BackendRooms:
    return cast(
        "BackendRooms",
        without_init(BackendRooms, _members=members, _live=sockets, _targets=AnyUser(), _sessions=None),
    )


@pytest.mark.parametrize("late", ["add", "remove"])
async def test_a_message_that_is_late_does_not_outlast_what_is_stored(mongo: Mongo, late: str) -> None:
    members, sockets = RoomMembers(mongo.database), Sockets()
    here, there = rooms_of(members, sockets), rooms_of(members, sockets)
    if late == "add":
        sockets.meanwhile = lambda: there.remove(ROOM, USER)
        await here.add(ROOM, USER)
    else:
        await here.add(ROOM, USER)
        sockets.meanwhile = lambda: there.add(ROOM, USER)
        await here.remove(ROOM, USER)
    stored = await members.of_user("ada")
    expected: tuple[list[str], bool] = ([], False) if late == "add" else ([ROOM], True)
    assert ([each.room for each in stored], sockets.are_in) == expected
    assert all(each.since == 7 for each in stored)


async def test_the_shards_of_users_that_are_in_a_room_are_known(mongo: Mongo) -> None:
    members = RoomMembers(mongo.database)
    assert await members.shards() == set()
    for room in ("chat:a", "chat:b"):
        await members.add(Membership(room, "ada"))
    await members.add(Membership("chat:a", "grace", "session"))
    assert await members.shards() == {shard_of("ada"), shard_of("grace")}
