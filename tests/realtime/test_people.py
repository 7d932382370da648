"""The presence of people, over two nodes: who sees whom, states that users choose, and typing."""

from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from support.backends import Backend, create_key
from support.clients import Live, Login
from support.nodes import Installation, Node

Pair = tuple[Node, Node]


@pytest.fixture(scope="session")
def people_key(shared_installation: Installation, node: Node) -> str:
    """A server key that may let sockets watch users."""
    return create_key(shared_installation, "emit", "presence")


@pytest.fixture
def people(people_key: str, shared_nodes: Pair, http: aiohttp.ClientSession) -> Backend:
    """A backend at the second node."""
    return Backend(shared_nodes[1].url, people_key, http)


async def change_watch(people: Backend, method: str, user_ids: Sequence[str], **who: str) -> tuple[int, int]:
    """How many sockets there are, and how many of them do it."""
    answer = await people.call(method, "/watches", who | {"userIds": user_ids})
    assert answer.status == 200, answer.body
    return answer.data["delivery"]["sockets"], answer.data["delivery"]["notified"]


def told_of(live: Live, user: Login) -> list[Any]:
    """What a socket was told of a user, without the times."""
    told = [event for event in live.all("presence") if event["userId"] == user.user_id]
    return [{name: event[name] for name in event if name not in ("userId", "lastSeenAt")} for event in told]


async def until_told(live: Live, user: Login, **what: Any) -> Any:
    return await live.wait("presence", lambda e: e | what | {"userId": user.user_id} == e)


async def test_a_watching_socket_is_told_the_state_now_and_each_change_once_on_any_node(
    people: Backend, shared_nodes: Pair, connect: Any, log_in: Any
) -> None:
    watcher, seen, unseen = [await log_in(shared_nodes[0]) for _ in range(3)]
    live = await connect(shared_nodes[0], watcher.access_token)
    stranger = await connect(shared_nodes[0], unseen.access_token)
    first = await connect(shared_nodes[1], seen.access_token)
    for _ in range(2):
        assert await change_watch(people, "POST", [seen.user_id, "nobody"], userId=watcher.user_id) == (1, 1)
    await until_told(live, seen, online=True, state="online")
    nobody = await live.wait("presence", lambda e: e["userId"] == "nobody")
    assert nobody == {"userId": "nobody", "online": False, "lastSeenAt": None}
    # A second device is no change, and neither is the end of the first.
    other = await log_in(shared_nodes[0], seen.data["user"]["email"])
    second = await connect(shared_nodes[0], other.access_token)
    await first.close()
    await second.wait("device-status", lambda e: e["sessionId"] == seen.session_id and not e["online"])
    await second.close()
    gone = await until_told(live, seen, online=False)
    assert gone["lastSeenAt"] is not None
    back = await connect(shared_nodes[1], seen.access_token)
    assert (await back.ask("presence-set", {"state": "away", "text": "at lunch"}))["ok"]
    await until_told(live, seen, state="away")
    here = {"online": True, "state": "online"}
    away = {"online": True, "state": "away", "text": "at lunch"}
    # Coming back and the state can be one change.
    assert told_of(live, seen) in ([here, {"online": False}, here, away], [here, {"online": False}, away])
    assert stranger.all("presence") == back.all("presence") == []
    assert await change_watch(people, "DELETE", [seen.user_id], userId=watcher.user_id) == (1, 1)
    await change_watch(people, "POST", [seen.user_id], socketId=stranger.ready["socketId"])
    assert (await back.ask("presence-set", {"state": "online"}))["ok"]
    await until_told(stranger, seen, **here)
    assert told_of(live, seen)[-1] == away


async def test_the_state_is_the_users_and_invisible_looks_offline_to_everybody(
    people: Backend, shared_nodes: Pair, connect: Any, log_in: Any
) -> None:
    watcher, shy = await log_in(shared_nodes[1]), await log_in(shared_nodes[0])
    device = await connect(shared_nodes[0], shy.access_token)
    live = await connect(shared_nodes[1], watcher.access_token)
    await change_watch(people, "POST", [shy.user_id], sessionId=watcher.session_id)

    async def presence() -> Any:
        return (await people.call("GET", f"/presence?userIds={shy.user_id}")).data["users"][shy.user_id]

    assert await device.ask("presence-set", {"state": "busy", "text": "x" * 100}) == {
        "ok": True,
        "state": "busy",
        "text": "x" * 100,
    }
    await until_told(live, shy, online=True, state="busy", text="x" * 100)
    assert (await presence()) | {"lastSeenAt": ""} == {
        "online": True,
        "devices": 1,
        "lastSeenAt": "",
        "state": "busy",
        "text": "x" * 100,
    }
    assert (await device.ask("presence-set", {"state": "invisible", "text": "secret"}))["ok"]
    told = await until_told(live, shy, online=False)
    assert told == {"userId": shy.user_id, "online": False, "lastSeenAt": told["lastSeenAt"]}
    assert await presence() == {"online": False, "devices": 0, "lastSeenAt": told["lastSeenAt"]}
    # Another device finds the state, and it tells nobody that it came; nor when it was chosen again.
    other = await connect(shared_nodes[1], (await log_in(shared_nodes[1], shy.data["user"]["email"])).access_token)
    assert await other.ask("presence-set") == {"ok": True, "state": "invisible", "text": "secret"}
    assert (await other.ask("presence-set", {"state": "invisible"}))["ok"]
    assert (await presence())["lastSeenAt"] == told["lastSeenAt"]
    assert (await other.ask("presence-set", {"state": "online"}))["ok"]
    await until_told(live, shy, online=True, state="online")
    for each in (device, other):
        # On both nodes; messages of two states that were set in one moment can be one.
        await each.wait("own-presence", lambda e: e == {"state": "online"})
        assert each.all("own-presence")[-1] == {"state": "online"}
    assert live.all("own-presence") == []
    # It was told offline once.
    assert [event["online"] for event in told_of(live, shy)].count(False) == 1


async def test_typing_reaches_a_room_and_users_who_watch_and_nobody_else(
    people: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
) -> None:
    writer, reader = await log_in(shared_nodes[0]), await log_in(shared_nodes[1])
    live, other = [
        await connect(node, each.access_token) for node, each in zip(shared_nodes, (writer, reader), strict=True)
    ]
    to_reader = {"to": {"userId": reader.user_id}}
    assert await live.ask("typing-set", to_reader) == {"ok": True}
    refused = await live.ask("typing-set", {"to": {"room": room}})
    assert refused["code"] == "forbidden"
    await change_watch(people, "POST", [writer.user_id], userId=reader.user_id)
    await until_told(other, writer, online=True)
    for each in (writer, reader):
        await people.add_member(room, each.user_id)

    async def asked(payload: Any) -> None:
        ack = await live.ask("typing-set", payload)
        while not ack["ok"]:
            assert ack["code"] == "rate_limited"
            ack = await live.ask("typing-set", payload)

    await asked(to_reader)
    await other.wait("typing")
    assert other.all("typing") == [{"userId": writer.user_id, "ttlMs": 5000}]
    await asked({"to": {"room": room}, "active": False})
    await other.wait("typing", lambda e: "room" in e)
    assert other.all("typing")[1:] == [{"userId": writer.user_id, "room": room, "ttlMs": 0}]
    assert live.all("typing") == []


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("presence-set", {"state": "asleep"}),
        ("presence-set", {"text": "without a state"}),
        ("presence-set", {"state": "busy", "text": "x" * 101}),
        ("presence-set", {"state": "busy", "text": ""}),
        ("presence-set", {"state": ["busy"]}),
        ("typing-set", {}),
        ("typing-set", {"to": {"userId": "u", "room": "r"}}),
    ],
)
async def test_what_is_no_state_or_target_is_refused(
    shared_nodes: Pair, standing: Login, connect: Any, event: str, payload: Any
) -> None:
    live = await connect(shared_nodes[0], standing.access_token)
    assert (await live.ask(event, payload))["code"] == "invalid_request"
    await live.close()


async def test_a_socket_watches_at_most_five_hundred_users(
    people: Backend, shared_nodes: Pair, connect: Any, log_in: Any
) -> None:
    watcher, seen = await log_in(shared_nodes[0]), await log_in(shared_nodes[0])
    live = await connect(shared_nodes[0], watcher.access_token)
    device = await connect(shared_nodes[1], seen.access_token)
    me = {"socketId": live.ready["socketId"]}
    many = [f"{number:032x}" for number in range(500)]
    assert await change_watch(people, "POST", many, **me) == (1, 1)
    await live.wait("presence", lambda _: len(live.all("presence")) == 500)
    # One more: none is watched.
    assert await change_watch(people, "POST", [seen.user_id], **me) == (1, 0)
    assert await change_watch(people, "DELETE", many[1:], **me) == (1, 1)
    assert await change_watch(people, "POST", [seen.user_id], **me) == (1, 1)
    await until_told(live, seen, online=True)
    assert len(live.all("presence")) == 501
    for body in (
        {"userIds": [*many, "one more"]} | me,
        {"userIds": []} | me,
        {"userIds": [["u"]]} | me,
        {"userIds": ["u"]},
        {"userIds": ["u"], "userId": "u"} | me,
    ):
        assert (await people.call("POST", "/watches", body)).code == "invalid_request"
    gone = await people.call("POST", "/watches", {"sessionId": "none", "userIds": ["u"]})
    assert gone.code == "not_found"
    await device.close()


async def test_a_python_application_says_who_sees_whom(probe_nodes: Pair, connect: Any, log_in: Any) -> None:
    watcher, seen = [await log_in(node) for node in probe_nodes]
    live = await connect(probe_nodes[0], watcher.access_token)
    assert (await live.ask("probe:watch", {"userIds": [seen.user_id]}))["ok"]
    assert not (await live.ask("probe:watch", {"userIds": [str(each) for each in range(500)]}))["ok"]
    await until_told(live, seen, online=False)
    device = await connect(probe_nodes[1], seen.access_token)
    await until_told(live, seen, online=True)
    assert (await live.ask("probe:unwatch", {"userIds": [seen.user_id]}))["ok"]
    assert (await device.ask("presence-set", {"state": "away"}))["ok"]
    assert (await live.ask("probe:watch", {"userIds": [seen.user_id]}))["ok"]
    await until_told(live, seen, state="away")
