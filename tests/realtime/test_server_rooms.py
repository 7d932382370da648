"""Members of rooms that a backend sets: for live sockets, and for later ones before their `ready`."""

from contextlib import suppress
from typing import Any

import pytest
from support.backends import Backend
from support.clients import Refused
from support.nodes import Installation, Node, mongo_client
from support.waiting import eventually

from auth.core.shards import shard_of
from realtime.broker.deny_list import NO_ROOMS, ROOMS, WHOLE
from realtime.broker.redis_keys import Keys

Pair = tuple[Node, Node]
EVENT = "chat:news"


async def change(backend: Backend, method: str, room: str, **who: str) -> int:
    answer = await backend.call(method, f"/rooms/{room}/members", who)
    assert answer.status == 200, answer.body
    return int(answer.data["sockets"])


async def reached(backend: Backend, room: str) -> int:
    """How many sockets an event to the room reaches."""
    answer = await backend.call("POST", "/emit", {"to": {"room": room}, "event": EVENT, "data": {}, "ack": True})
    assert answer.data["delivery"]["acknowledged"] == answer.data["delivery"]["sockets"]
    return int(answer.data["delivery"]["sockets"])


async def test_a_user_is_in_with_live_sockets_and_with_later_ones_before_they_are_ready(
    backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
) -> None:
    login = await log_in(shared_nodes[0])
    lives = [await connect(node, login.access_token, also=(EVENT,)) for node in shared_nodes]
    assert await reached(backend, room) == 0
    assert await change(backend, "POST", room, userId=login.user_id) == 2
    assert await change(backend, "POST", room, userId=login.user_id) == 2
    assert await reached(backend, room) == 2
    other = await log_in(shared_nodes[1], login.data["user"]["email"])
    later = await connect(shared_nodes[1], other.access_token, also=(EVENT,))
    assert await reached(backend.at(shared_nodes[1].url), room) == 3
    assert [name for name, _ in later.heard if name in ("ready", EVENT)] == ["ready", EVENT]
    await lives[0].close()
    assert await reached(backend, room) == 2
    assert await change(backend.at(shared_nodes[1].url), "DELETE", room, userId=login.user_id) == 2
    assert await reached(backend, room) == 0
    await connect(shared_nodes[0], login.access_token)
    assert await reached(backend, room) == 0


async def test_a_session_is_in_alone_and_no_longer_than_it_lives(
    backend: Backend, shared_nodes: Pair, shared_installation: Installation, connect: Any, log_in: Any, room: str
) -> None:
    login = await log_in(shared_nodes[0])
    other = await log_in(shared_nodes[0], login.data["user"]["email"])
    await connect(shared_nodes[1], other.access_token)
    assert await change(backend, "POST", room, sessionId=login.session_id) == 0
    live = await connect(shared_nodes[1], login.access_token, also=(EVENT,))
    assert await reached(backend, room) == 1
    await backend.call("DELETE", f"/users/{login.user_id}/sessions/{login.session_id}")
    await live.until_gone()
    assert await reached(backend, room) == 0
    gone = await backend.call("POST", f"/rooms/{room}/members", {"sessionId": login.session_id})
    assert gone.code == "not_found"
    # What is stored of it does not last as long as it could have lived.
    members = mongo_client(shared_installation.services.mongo)[shared_installation.name]["room_members"]
    assert members.count_documents({"sessionId": login.session_id}) == 1
    assert await change(backend, "DELETE", room, sessionId=login.session_id) == 0
    assert members.count_documents({"sessionId": login.session_id}) == 0


async def test_a_session_stays_while_one_of_its_memberships_does(
    backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
) -> None:
    login = await log_in(shared_nodes[0])
    other = await log_in(shared_nodes[0], login.data["user"]["email"])
    for each in (login, other):
        await connect(shared_nodes[1], each.access_token, also=(EVENT,))
    await change(backend, "POST", room, userId=login.user_id)
    await change(backend, "POST", room, sessionId=login.session_id)
    assert await change(backend, "DELETE", room, userId=login.user_id) == 1
    assert await reached(backend, room) == 1
    await change(backend, "POST", room, userId=login.user_id)
    assert await change(backend, "DELETE", room, sessionId=login.session_id) == 0
    assert await reached(backend, room) == 2


async def test_a_user_is_in_after_redis_has_lost_that_there_are_rooms(
    backend: Backend, shared_nodes: Pair, shared_installation: Installation, redis_client: Any,
    connect: Any, log_in: Any, room: str,
) -> None:  # fmt: skip
    login = await log_in(shared_nodes[0])
    await change(backend, "POST", room, userId=login.user_id)
    denied = Keys(shared_installation.name).denied(shard_of(login.user_id))
    assert await redis_client.zscore(denied, ROOMS) is not None
    # What a restart can leave: a mark of before the room had members.
    await redis_client.zadd(denied, {NO_ROOMS: "+inf"})
    await redis_client.zrem(denied, ROOMS, WHOLE)

    async def is_back() -> bool:
        with suppress(Refused):
            await connect(shared_nodes[1], login.access_token, also=(EVENT,))
            return True
        return False

    await eventually(is_back, "the client is back", timeout=30)
    assert await reached(backend, room) == 1


async def test_a_member_who_is_none_leaves_and_nobody_is_not_found(
    backend: Backend, node: Node, connect: Any, log_in: Any, room: str
) -> None:
    login = await log_in(node)
    await connect(node, login.access_token)
    assert await change(backend, "DELETE", room, userId=login.user_id) == 0
    for method in ("POST", "DELETE"):
        for who in ({"userId": "nobody"}, {"sessionId": "0" * 32}):
            assert (await backend.call(method, f"/rooms/{room}/members", who)).code == "not_found"


async def test_a_user_is_in_no_more_than_two_hundred_rooms(
    backend: Backend, shared_nodes: Pair, shared_installation: Installation, log_in: Any, room: str
) -> None:
    login = await log_in(shared_nodes[0])
    await change(backend, "POST", room, userId=login.user_id)
    members = mongo_client(shared_installation.services.mongo)[shared_installation.name]["room_members"]
    (document,) = members.find({"userId": login.user_id})
    copies = [document | {"_id": f"{n}", "room": f"chat:{room}{n}"} for n in range(199)]
    members.insert_many(copies)
    one_more = await backend.call("POST", f"/rooms/{room}x/members", {"userId": login.user_id})
    assert (one_more.status, one_more.code) == (409, "conflict")
    # A session that has ended takes no place.
    other = await log_in(shared_nodes[0], login.data["user"]["email"])
    ended = f"{copies[198]['room']} session {other.session_id}"
    members.delete_one({"_id": copies[198]["_id"]})
    members.insert_one(copies[198] | {"_id": ended, "sessionId": other.session_id})
    assert (await backend.call("POST", f"/rooms/{room}x/members", {"userId": login.user_id})).status == 409
    await other.call("POST", "/logout")
    await change(backend, "POST", f"{room}x", userId=login.user_id)
    assert members.count_documents({"userId": login.user_id}) == 200
    members.delete_many({"userId": login.user_id})


@pytest.mark.parametrize(
    "name", ["lobby", "chat:", "chat:a%20b", "chat:%22", "chat%2Fa", "a:" + "b" * 97, "a%00:b"]
)
async def test_a_wrong_room_is_refused(backend: Backend, node: Node, log_in: Any, name: str) -> None:
    answer = await backend.call("POST", f"/rooms/{name}/members", {"userId": (await log_in(node)).user_id})
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize(
    "body", [{}, {"userId": "a", "sessionId": "b"}, {"userId": 1}, {"socketId": "a"}, {"userId": ""}, []]
)
async def test_a_wrong_member_is_refused(backend: Backend, room: str, body: Any) -> None:
    for method in ("POST", "DELETE"):
        answer = await backend.call(method, f"/rooms/{room}/members", body)
        assert (answer.status, answer.code) == (400, "invalid_request")
