"""Durable events of a room over two nodes: what members get, and what a backend reads afterwards."""

import asyncio
import secrets
from typing import Any

import pytest
from support.backends import Backend, create_key
from support.nodes import Installation, Node
from support.waiting import eventually

Pair = tuple[Node, Node]
EVENT = "chat:news"


def news(room: str, n: int, **more: Any) -> dict[str, Any]:
    return {"to": {"room": room}, "event": EVENT, "data": {"n": n}, "durable": True} | more


async def test_members_get_them_in_the_order_of_the_history_which_every_node_has(
    backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
) -> None:
    login = await log_in(shared_nodes[0])
    lives = [await connect(node, login.access_token, also=(EVENT,)) for node in shared_nodes]
    await backend.add_member(room, login.data["user"]["userId"])
    cursor = lives[0].ready["lastEventId"]
    places = [backend.at(node.url) for node in shared_nodes]
    answers = await asyncio.gather(*(places[n % 2].call("POST", "/emit", news(room, n)) for n in range(10)))
    ids = {answer.data["historyId"]: n for n, answer in enumerate(answers)}
    told = [{"n": ids[history_id], "historyId": history_id} for history_id in sorted(ids)]
    last = (await backend.call("POST", "/emit", news(room, 10))).data
    assert last.keys() == {"historyId", "delivery"}
    told.append({"n": 10, "historyId": last["historyId"]})
    for live in lives:
        await live.wait(EVENT, lambda data: data["n"] == 10)
        assert live.all(EVENT) == told
    events = [{"historyId": each["historyId"], "event": EVENT, "data": {"n": each["n"]}} for each in told]
    for place in places:
        read = (await place.call("GET", f"/rooms/{room}/history?limit=4")).data
        assert read == {"events": events[:4], "next": events[3]["historyId"]}
        read = (await place.call("GET", f"/rooms/{room}/history?after={read['next']}")).data
        assert read == {"events": events[4:], "next": None, "recovered": True}
    # They are no events of the user's log.
    back = await connect(shared_nodes[0], login.access_token, last_event_id=cursor, also=(EVENT,))
    assert back.ready["recovered"] is True
    await backend.call("POST", "/emit", news(room, 11) | {"to": {"userId": login.data["user"]["userId"]}})
    await back.wait(EVENT, lambda data: "eventId" in data)
    assert [data["n"] for data in back.all(EVENT)] == [11]


async def test_the_receipt_counts_the_acks_of_every_node(
    backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
) -> None:
    login = await log_in(shared_nodes[0])
    for node in shared_nodes:
        await connect(node, login.access_token, also=(EVENT,))
    await backend.add_member(room, login.data["user"]["userId"])
    all_told = {"sockets": 2, "notified": 2, "acknowledged": 2, "closed": 0, "pending": 0}

    async def acknowledged() -> bool:
        answer = await backend.call("POST", "/emit", news(room, 1, ack=True))
        return bool(answer.data["delivery"] == all_told)

    await eventually(acknowledged, "both sockets acknowledge within a second", timeout=30)


async def test_a_socket_that_is_excepted_does_not_get_it_and_a_repeat_is_not_sent(
    backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
) -> None:
    login = await log_in(shared_nodes[1])
    live = await connect(shared_nodes[1], login.access_token, also=(EVENT,))
    await backend.add_member(room, login.data["user"]["userId"])
    own = live.ready["socketId"]
    await backend.call("POST", "/emit", news(room, 1, exceptSocketId=own))
    body = news(room, 2, ack=True, id=secrets.token_hex(8))
    first = (await backend.call("POST", "/emit", body)).data
    again = (await backend.at(shared_nodes[1].url).call("POST", "/emit", body)).data
    assert again == first | {"duplicate": True}
    assert live.all(EVENT) == [{"n": 2, "historyId": first["historyId"]}]
    read = (await backend.call("GET", f"/rooms/{room}/history")).data
    assert [each["data"]["n"] for each in read["events"]] == [1, 2]


async def test_events_that_are_not_durable_are_not_in_the_history(backend: Backend, room: str) -> None:
    assert (await backend.call("POST", "/emit", news(room, 1, durable=False))).status == 200
    assert (await backend.call("GET", f"/rooms/{room}/history")).data == {"events": [], "next": None}


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=1&after=2", "after=9007199254740992", "limit=0", "limit=201", "more=1"]
)
async def test_a_wrong_page_is_refused(backend: Backend, room: str, query: str) -> None:
    answer = await backend.call("GET", f"/rooms/{room}/history?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_wrong_room_and_another_scope_are_refused(
    backend: Backend, shared_installation: Installation, room: str
) -> None:
    answer = await backend.call("GET", "/rooms/lobby/history")
    assert (answer.status, answer.code) == (400, "invalid_request")
    backend.key = create_key(shared_installation, "events")
    answer = await backend.call("GET", f"/rooms/{room}/history")
    assert (answer.status, answer.code) == (403, "forbidden")
