"""Clients that keep their places in rooms: what they missed follows on any node, in order, and nothing twice."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from support.backends import Backend
from support.clients import Live, Refused
from support.nodes import Node

Pair = tuple[Node, Node]
EVENT, SAID = "chat:news", "probe:said"


def places_of(live: Live) -> dict[str, Any]:
    """What a client keeps: its place in each room, with the greatest id that it was sent."""
    places = {room: dict(place) for room, place in live.ready["joined"].items()}
    for event, data in live.heard:
        if event == "room-history":
            places[data["room"]] = {"historyId": data["historyId"], "proof": data["proof"]}
        elif event == "room-left":
            places.pop(data["room"], None)
        elif isinstance(data, Mapping) and "historyRoom" in data:
            places[data["historyRoom"]]["historyId"] = data["historyId"]
    return places


def numbers_of(live: Live, event: str = EVENT) -> list[int]:
    return [data["n"] for data in live.all(event)]


async def say(backend: Backend, room: str, *numbers: int) -> None:
    for n in numbers:
        body = {"to": {"room": room}, "event": EVENT, "data": {"n": n}, "durable": True}
        assert (await backend.call("POST", "/emit", body)).status == 200


class TestMembersThatABackendHasSet:
    """They are in the room before `ready`, which says whether anything was missed for good."""

    async def test_what_was_missed_follows_ready_on_another_node_once(
        self, backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
    ) -> None:
        first, second = shared_nodes
        login = await log_in(first)
        await say(backend, room, -1)
        live = await connect(first, login.access_token, also=(EVENT,), rooms={})
        assert live.ready["joined"] == {}
        await backend.add_member(room, login.user_id)
        entered = await live.wait("room-history")
        assert (entered["room"], entered["recovered"]) == (room, False)
        # The place counts also if nothing was said since.
        unmoved = places_of(live)
        await say(backend, room, 0)
        data = await live.wait(EVENT)
        assert data == {"n": 0, "historyId": data["historyId"], "historyRoom": room}
        places = places_of(live)
        await live.close()
        await say(backend, room, 1, 2)
        for node, named, missed in ((second, places, [1, 2]), (first, unmoved, [0, 1, 2])):
            back = await connect(node, login.access_token, also=(EVENT,), rooms=named)
            assert (back.ready["joined"].keys(), back.ready.get("rooms")) == ({room}, None)
            await back.wait(EVENT, lambda data: data["n"] == 2)
            # Nothing that was sent before it entered, and live events go on after the missed ones.
            assert numbers_of(back) == missed
            assert places_of(back)[room]["proof"] == places[room]["proof"]
        await say(backend, room, 3)
        await back.wait(EVENT, lambda data: data["n"] == 3)
        assert numbers_of(back) == [0, 1, 2, 3]

    async def test_many_that_are_said_during_the_return_are_neither_lost_nor_doubled(
        self, backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
    ) -> None:
        login = await log_in(shared_nodes[0])
        await backend.add_member(room, login.user_id)
        live = await connect(shared_nodes[0], login.access_token, also=(EVENT,), rooms={})
        places, said = places_of(live), 0
        for node in shared_nodes * 3:
            await say(backend, room, said)
            commands = [
                {"emit": {"to": {"room": room}, "event": EVENT, "data": {"n": said + n}, "durable": True}}
                for n in range(1, 40)
            ]
            sending = backend.call("POST", "/batch", {"commands": commands})
            back, _ = await asyncio.gather(connect(node, login.access_token, also=(EVENT,), rooms=places), sending)
            await back.wait(EVENT, lambda data, last=said + 39: data["n"] == last)
            assert numbers_of(back) == list(range(said, said + 40))
            places, said = places_of(back), said + 40
            await back.close()

    async def test_rooms_whose_history_does_not_reach_back_are_named(
        self, backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
    ) -> None:
        login = await log_in(shared_nodes[0])
        other = f"{room}-other"
        for each in (room, other):
            await backend.add_member(each, login.user_id)
        live = await connect(shared_nodes[0], login.access_token, also=(EVENT,), rooms={})
        places, cursor = places_of(live), live.ready["lastEventId"]
        await live.close()
        # More than a socket is sent at once.
        body = {"to": {"room": room}, "event": EVENT, "data": {"n": 1, "text": "x" * 16_000}, "durable": True}
        for _ in range(35):
            assert (await backend.call("POST", "/emit", body)).status == 200
        await say(backend, other, 7)
        back = await connect(
            shared_nodes[1], login.access_token, last_event_id=cursor, also=(EVENT,), rooms=places
        )
        ready = back.ready
        assert (ready["recovered"], ready["rooms"], ready["eventsRecovered"]) == (False, [room], True)
        await back.wait(EVENT)
        await say(backend, room, 8)
        await back.wait(EVENT, lambda data: data["n"] == 8)
        assert numbers_of(back) == [7, 8]

    async def test_who_was_taken_away_and_let_in_again_gets_nothing_of_the_time_between(
        self, backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
    ) -> None:
        login = await log_in(shared_nodes[0])
        await backend.add_member(room, login.user_id)
        live = await connect(shared_nodes[0], login.access_token, also=(EVENT,), rooms={})
        places = places_of(live)
        await live.close()
        body = {"userId": login.user_id}
        assert (await backend.call("DELETE", f"/rooms/{room}/members", body)).status == 200
        await say(backend, room, 1)
        back = await connect(shared_nodes[1], login.access_token, also=(EVENT,), rooms=places)
        assert back.ready["joined"] == {}
        await backend.add_member(room, login.user_id)
        await back.wait("room-history")
        await say(backend, room, 2)
        again = await connect(shared_nodes[0], login.access_token, also=(EVENT,), rooms=places)
        await again.wait(EVENT)
        await backend.call("DELETE", f"/rooms/{room}/members", body)
        assert (await back.wait("room-left")) == {"room": room}
        assert numbers_of(back) == numbers_of(again) == [2]

    async def test_a_place_without_its_users_proof_is_ignored(
        self, backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
    ) -> None:
        ada, ben = await log_in(shared_nodes[0]), await log_in(shared_nodes[0])
        for login in (ada, ben):
            await backend.add_member(room, login.user_id)
        live = await connect(shared_nodes[0], ada.access_token, rooms={})
        place = live.ready["joined"][room]
        await say(backend, room, 1)
        since, _, tag = place["proof"].partition(".")
        for login, proof in (
            (ben, place["proof"]),
            (ada, f"0.{tag}"),
            (ada, f"{since}.{tag[::-1]}"),
            (ada, since),
            (ada, "\x00.\x00"),
        ):
            named = {room: {"historyId": 0, "proof": proof}}
            back = await connect(shared_nodes[0], login.access_token, also=(EVENT,), rooms=named)
            assert (back.ready["joined"].keys(), numbers_of(back)) == ({room}, [])
            await back.close()
        # With it, a place before the room was entered is one at that moment.
        named = {room: place | {"historyId": 0}}
        back = await connect(shared_nodes[0], ada.access_token, also=(EVENT,), rooms=named)
        await back.wait(EVENT)
        assert numbers_of(back) == [1]


class TestAnApplicationsRooms:
    """A Python application lets sockets enter when it likes, and clients get the same."""

    async def test_what_was_missed_follows_when_the_socket_is_in_the_room_again(
        self, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[0])
        witness = await connect(probe_nodes[0], login.access_token, also=(SAID,), rooms={})
        live = await connect(probe_nodes[1], login.access_token, also=(SAID,), rooms={})
        for each in (witness, live):
            await each.ask("probe:enter")
            await each.wait("room-history")
        await live.close()
        for n in range(3):
            await witness.ask("probe:say-durably", {"n": n})
        back = await connect(probe_nodes[0], login.access_token, also=(SAID,), rooms=places_of(live))
        assert back.ready["joined"] == {}
        await back.ask("probe:enter")
        assert (await back.wait("room-history"))["recovered"] is True
        await witness.ask("probe:say-durably", {"n": 3})
        await back.wait(SAID, lambda data: data["n"] == 3)
        await witness.wait(SAID, lambda data: data["n"] == 3)
        assert numbers_of(back, SAID) == numbers_of(witness, SAID) == [0, 1, 2, 3]

    async def test_who_has_left_gets_nothing_of_the_time_between(
        self, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[0])
        live = await connect(probe_nodes[0], login.access_token, also=(SAID,), rooms={})
        await live.ask("probe:enter")
        await live.ask("probe:leave")
        left = await live.wait("room-left")
        await live.ask("probe:say-durably", {"n": 1})
        assert places_of(live) == {}
        live.heard.clear()
        await live.ask("probe:enter")
        entered = await live.wait("room-history")
        assert (entered["room"], entered["recovered"]) == (left["room"], False)
        await live.ask("probe:say-durably", {"n": 2})
        await live.wait(SAID)
        assert numbers_of(live, SAID) == [2]


@pytest.mark.parametrize(
    "rooms",
    [
        [],
        "chat:a",
        {"chat:a": 7},
        {"chat:a": {"historyId": 1}},
        {"chat:a": {"historyId": -1, "proof": "x"}},
        {"chat:a": {"historyId": "1", "proof": "x"}},
        {"chat:a": {"historyId": 1, "proof": "x" * 65}},
        {"x" * 257: {"historyId": 1, "proof": "x"}},
        {f"chat:{n}": {"historyId": 1, "proof": "x"} for n in range(257)},
    ],
    ids=repr,
)
async def test_what_are_no_places_are_refused(shared_nodes: Pair, connect: Any, standing: Any, rooms: Any) -> None:
    with pytest.raises(Refused) as refused:
        await connect(shared_nodes[0], standing.access_token, rooms=rooms)
    assert refused.value.data["code"] == "invalid_request"


async def test_a_client_that_names_no_places_is_told_of_none(
    backend: Backend, shared_nodes: Pair, connect: Any, log_in: Any, room: str
) -> None:
    login = await log_in(shared_nodes[0])
    await backend.add_member(room, login.user_id)
    live = await connect(shared_nodes[0], login.access_token, also=(EVENT,))
    assert live.ready.keys().isdisjoint({"joined", "rooms", "eventsRecovered"})
    await say(backend, room, 1)
    await live.wait(EVENT)
    assert live.all(EVENT)[0].keys() == {"n", "historyId"}
    assert live.all("room-history") == []
