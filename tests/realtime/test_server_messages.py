"""Events that a backend sends by the server API, over two nodes: what arrives, and what the backend is told."""

import asyncio
import secrets
from typing import Any

import aiohttp
import pytest
from support.backends import Backend, create_key
from support.clients import Answer, Live, Login
from support.nodes import Installation, Node, mongo_client

Pair = tuple[Node, Node]
EVENT = "probe:news"


@pytest.fixture(scope="module")
def key(probe_installation: Installation, probe_nodes: Pair) -> str:
    """A key that may emit and disconnect."""
    return create_key(probe_installation, "emit", "sessions")


@pytest.fixture
def backend(key: str, probe_nodes: Pair, http: aiohttp.ClientSession) -> Backend:
    """A backend at the first node."""
    return Backend(probe_nodes[0].url, key, http)


def delivered(sockets: int, acknowledged: int = 0, pending: int = 0) -> dict[str, int]:
    return {
        "sockets": sockets, "notified": sockets, "acknowledged": acknowledged, "closed": 0, "pending": pending,
    }  # fmt: skip


def forget_late_nodes(answer: Answer) -> None:
    """All nodes are asked about a room or a socket; one that has none may report late on a busy machine."""
    answer.data["delivery"].pop("incomplete", None)


async def two_devices(nodes: Pair, connect: Any, log_in: Any) -> tuple[list[Login], list[Live]]:
    """Two sessions of one user, one on each node."""
    first = await log_in(nodes[0])
    logins = [first, await log_in(nodes[1], first.data["user"]["email"])]
    pairs = zip(nodes, logins, strict=True)
    return logins, [await connect(node, login.access_token, also=(EVENT,)) for node, login in pairs]


def news(**more: Any) -> dict[str, Any]:
    return {"event": EVENT, "data": {"n": 1}} | more


class TestEmit:
    """To whom it goes, and the receipt."""

    async def test_a_user_gets_it_on_every_node_with_acks(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        logins, lives = await two_devices(probe_nodes, connect, log_in)
        stranger = await connect(probe_nodes[0], (await log_in(probe_nodes[0])).access_token, also=(EVENT,))
        to = {"userId": logins[0].user_id}
        answer = await backend.call("POST", "/emit", news(to=to, ack=True))
        assert answer.data == {"delivery": delivered(2, acknowledged=2)}
        assert [await live.wait(EVENT) for live in lives] == [{"n": 1}, {"n": 1}]
        without = await backend.at(probe_nodes[1].url).call("POST", "/emit", news(to=to))
        assert without.data == {"delivery": delivered(2)}
        assert stranger.all(EVENT) == []

    @pytest.mark.parametrize("kind", ["sessionId", "socketId"])
    @pytest.mark.parametrize("place", [0, 1])
    async def test_one_device_gets_it_alone(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any, kind: str, place: int
    ) -> None:
        logins, lives = await two_devices(probe_nodes, connect, log_in)
        names = {"sessionId": logins[place].session_id, "socketId": lives[place].ready["socketId"]}
        answer = await backend.call("POST", "/emit", news(to={kind: names[kind]}, ack=True))
        forget_late_nodes(answer)
        assert answer.data == {"delivery": delivered(1, acknowledged=1)}
        await lives[place].wait(EVENT)
        assert lives[1 - place].all(EVENT) == []

    async def test_a_room_gets_it_on_every_node_except_one_socket(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        logins, lives = await two_devices(probe_nodes, connect, log_in)
        for live in lives:
            await live.ask("probe:enter")
        room = {"room": f"probe:{logins[0].user_id}-room"}
        answer = await backend.call("POST", "/emit", news(to=room, ack=True))
        forget_late_nodes(answer)
        assert answer.data == {"delivery": delivered(2, acknowledged=2)}
        body = news(to=room, data={"n": 2}, exceptSocketId=lives[1].ready["socketId"])
        answer = await backend.call("POST", "/emit", body)
        forget_late_nodes(answer)
        assert answer.data == {"delivery": delivered(1)}
        await lives[0].wait(EVENT, lambda data: data == {"n": 2})
        assert lives[1].all(EVENT) == [{"n": 1}]

    async def test_a_client_without_an_ack_is_pending_within_a_second(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[1])
        await connect(probe_nodes[1], login.access_token, also=(EVENT,), acknowledge=False)
        answer = await backend.call("POST", "/emit", news(to={"userId": login.user_id}, ack=True))
        assert answer.data == {"delivery": delivered(1, pending=1)}

    async def test_a_socket_that_is_told_to_close_is_in_no_room_any_more(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[0])
        options = {"also": ("probe:said", "closing"), "acknowledge": False}
        told, other = [await connect(probe_nodes[0], login.access_token, **options) for _ in range(2)]
        for live in (told, other):
            await live.ask("probe:enter")
        body = {"socketId": told.ready["socketId"], "reason": "x", "retryable": True}
        closing = asyncio.create_task(backend.call("POST", "/disconnect", body))
        await told.wait("closing")
        await other.ask("probe:say", {"n": 1})
        await other.wait("probe:said")
        await closing
        await told.until_gone()
        assert told.all("probe:said") == []

    async def test_whoever_is_not_there_is_not_found_or_gets_nothing(
        self, backend: Backend, probe_nodes: Pair, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[0])
        for to in ({"userId": login.user_id}, {"sessionId": login.session_id}, {"socketId": "x"}, {"room": "a:b"}):
            answer = await backend.call("POST", "/emit", news(to=to))
            forget_late_nodes(answer)
            assert answer.data == {"delivery": delivered(0)}
        await login.call("POST", "/logout")
        for to in ({"userId": "nobody"}, {"sessionId": login.session_id}, {"sessionId": "0" * 32}):
            assert (await backend.call("POST", "/emit", news(to=to))).code == "not_found"
        assert (
            await backend.call("POST", "/emit", news(to={"userId": "nobody"}, durable=True))
        ).code == "not_found"

    @pytest.mark.parametrize(
        "change",
        [
            {"to": {}}, {"to": {"userId": "a", "room": "a:b"}}, {"to": {"room": "lobby"}}, {"to": "all"},
            {"to": None},
            {"to": {"userId": "x" * 65}}, {"to": {"userId": ["a"]}}, {"event": "news"}, {"event": 'a:"b'},
            {"event": "session-revoked"}, {"event": "a:"}, {"event": ":b"}, {"event": "a:" + "b" * 97},
            {"data": {"eventId": 7}},
            {"data": []}, {"data": None}, {"data": "x"}, {"ack": 1}, {"durable": "yes"}, {"id": ""},
            {"id": "x" * 65},
            {"id": 7}, {"exceptSocketId": {}}, {"more": 1}, {"to": {"socketId": "a"}, "durable": True},
            {"to": {"sessionId": "a"}, "durable": True},
        ],
    )  # fmt: skip
    async def test_a_wrong_request_sends_nothing(self, backend: Backend, change: dict[str, Any]) -> None:
        answer = await backend.call("POST", "/emit", news(to={"userId": "a"}) | change)
        assert (answer.status, answer.code) == (400, "invalid_request")

    async def test_nested_and_huge_data_are_refused(self, backend: Backend) -> None:
        deep: Any = 1
        for _ in range(40):
            deep = {"a": deep}
        answer = await backend.call("POST", "/emit", news(to={"userId": "a"}, data={"a": deep}))
        assert (answer.status, answer.code) == (400, "invalid_request")
        answer = await backend.call("POST", "/emit", news(to={"userId": "a"}, data={"a": "x" * 70_000}))
        assert (answer.status, answer.code) == (413, "payload_too_large")


class TestDurable:
    """By the user's log: in order and once, after a reconnect too."""

    async def test_it_has_an_id_and_comes_after_a_reconnect_on_another_node(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[0])
        live = await connect(probe_nodes[1], login.access_token, also=(EVENT,))
        to = {"userId": login.user_id}
        first = (await backend.call("POST", "/emit", news(to=to, durable=True, ack=True))).data
        assert first["delivery"] == delivered(1, acknowledged=1)
        assert await live.wait(EVENT) == {"n": 1, "eventId": first["eventId"]}
        await live.close()
        missed = [
            (await backend.call("POST", "/emit", news(to=to, durable=True, data={"n": n}))).data for n in (2, 3)
        ]
        back = await connect(probe_nodes[0], login.access_token, last_event_id=first["eventId"], also=(EVENT,))
        assert back.ready["recovered"] is True
        await back.wait(EVENT, lambda data: data["n"] == 3)
        assert back.all(EVENT) == [
            {"n": 2, "eventId": missed[0]["eventId"]},
            {"n": 3, "eventId": missed[1]["eventId"]},
        ]

    async def test_what_a_client_missed_comes_at_once_by_polling_too_or_it_is_told_that_it_lists_again(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[0])
        live = await connect(probe_nodes[0], login.access_token)
        cursor = live.ready["lastEventId"]
        await live.close()
        to = {"userId": login.user_id}
        back: dict[int, Live] = {}
        for numbers in (range(30), range(30, 40)):
            for first in numbers[::3]:
                each = [{"n": n, "text": "x" * 16_000} for n in numbers if first <= n < first + 3]
                commands = [{"emit": news(to=to, durable=True, data=data)} for data in each]
                await backend.call("POST", "/batch", {"commands": commands})
            options = {"last_event_id": cursor, "also": (EVENT,), "transports": ["polling"]}
            back[len(numbers)] = await connect(probe_nodes[1], login.access_token, **options)
        assert [live.ready["recovered"] for live in back.values()] == [True, False]
        await back[30].wait(EVENT, lambda data: data["n"] == 29)
        assert [data["n"] for data in back[30].all(EVENT)][:30] == list(range(30))

    async def test_data_that_are_too_large_and_a_socket_that_is_excepted_are_refused(
        self, backend: Backend, probe_nodes: Pair, log_in: Any
    ) -> None:
        to = {"userId": (await log_in(probe_nodes[0])).user_id}
        for field, change in (("data", {"data": {"a": "é" * 8_190}}), ("exceptSocketId", {"exceptSocketId": "s"})):
            answer = await backend.call("POST", "/emit", news(to=to, durable=True, id="refused") | change)
            assert (answer.status, answer.code) == (400, "invalid_request")
            assert [error["field"] for error in answer.body["errors"]] == [field]
            assert (await backend.call("POST", "/emit", news(to=to) | change)).status == 200


class TestRepeats:
    """A request with an id is served once."""

    async def test_a_repeat_on_another_node_gets_the_first_answer(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[0])
        live = await connect(probe_nodes[0], login.access_token, also=(EVENT,))
        body = news(to={"userId": login.user_id}, durable=True, ack=True, id=secrets.token_hex(8))
        body["data"] = {"n": 1, "a": {"b": 1, "c": 2}}
        first = (await backend.call("POST", "/emit", body)).data
        assert "duplicate" not in first
        again = (await backend.at(probe_nodes[1].url).call("POST", "/emit", body)).data
        assert again == first | {"duplicate": True}
        reordered = body | {"data": {"a": {"c": 2, "b": 1}, "n": 1}}
        assert (await backend.call("POST", "/emit", reordered)).data == again
        other = await backend.call("POST", "/emit", body | {"data": {"n": 2}})
        assert (other.status, other.code) == (409, "conflict")
        assert len(live.all(EVENT)) == 1

    async def test_of_requests_in_flight_together_one_is_served(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[0])
        live = await connect(probe_nodes[0], login.access_token, also=(EVENT,))
        body = news(to={"userId": login.user_id}, ack=True, id=secrets.token_hex(8))
        answers = await asyncio.gather(
            *(backend.at(node.url).call("POST", "/emit", body) for node in probe_nodes * 4)
        )
        assert sorted("duplicate" in answer.data for answer in answers) == [False, *[True] * 7]
        assert {str(answer.data["delivery"]) for answer in answers} == {str(delivered(1, acknowledged=1))}
        assert len(live.all(EVENT)) == 1

    async def test_a_durable_event_whose_answer_was_lost_is_not_appended_twice(
        self, backend: Backend, probe_installation: Installation, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login, own = await log_in(probe_nodes[0]), secrets.token_hex(8)
        live = await connect(probe_nodes[0], login.access_token, also=(EVENT,))
        body = news(to={"userId": login.user_id}, durable=True, id=own)
        first = (await backend.call("POST", "/emit", body)).data
        # As after 503: the claim is given back.
        database = mongo_client(probe_installation.services.mongo)[probe_installation.name]
        assert database["sent_messages"].delete_one({"_id": {"$regex": own}}).deleted_count == 1
        again = (await backend.at(probe_nodes[1].url).call("POST", "/emit", body)).data
        assert again == {"eventId": first["eventId"], "delivery": delivered(0)}
        await backend.call("POST", "/emit", news(to={"userId": login.user_id}, durable=True, data={"n": 2}))
        await live.wait(EVENT, lambda data: data["n"] == 2)
        assert [data["n"] for data in live.all(EVENT)] == [1, 2]

    async def test_an_id_whose_request_was_refused_is_free_again(
        self, backend: Backend, probe_nodes: Pair, log_in: Any
    ) -> None:
        login, own = await log_in(probe_nodes[0]), secrets.token_hex(8)
        assert (await backend.call("POST", "/emit", news(to={"userId": "nobody"}, id=own))).code == "not_found"
        answer = await backend.call("POST", "/emit", news(to={"userId": login.user_id}, id=own))
        assert answer.data == {"delivery": delivered(0)}

    async def test_ids_of_two_keys_are_independent(
        self, backend: Backend, probe_installation: Installation, probe_nodes: Pair, log_in: Any
    ) -> None:
        body = news(to={"userId": (await log_in(probe_nodes[0])).user_id}, id=secrets.token_hex(8))
        await backend.call("POST", "/emit", body)
        backend.key = create_key(probe_installation, "emit")
        assert "duplicate" not in (await backend.call("POST", "/emit", body)).data


class TestBatch:
    """Several commands, each answered in its place."""

    async def test_commands_take_effect_in_order_and_a_wrong_one_stops_none(
        self, backend: Backend, probe_nodes: Pair, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(probe_nodes[1])
        live = await connect(probe_nodes[1], login.access_token, also=(EVENT, "closing"))
        to, own = {"userId": login.user_id}, secrets.token_hex(8)
        commands: list[Any] = [{"emit": news(to=to, data={"n": n}, durable=n % 2 == 0)} for n in range(20)]
        commands += [
            {"emit": news(to=to, data={"n": 20}, id=own)},
            {"emit": news(to=to, data={"n": 20}, id=own)},
            {"emit": news(to={"userId": "nobody"})},
            {"emit": {"to": to}},
            {"fly": {}},
            {},
            {"emit": {}, "disconnect": {}},
            {"disconnect": to | {"reason": "enough", "retryable": False}},
        ]
        results = (await backend.call("POST", "/batch", {"commands": commands})).data["results"]
        assert [result["success"] for result in results] == [*[True] * 22, *[False] * 5, True]
        assert "duplicate" not in results[20]["data"]
        assert results[21]["data"]["duplicate"] is True
        codes = [result["code"] for result in results[22:27]]
        assert codes == ["not_found", *["invalid_request"] * 4]
        assert {error["field"] for error in results[23]["errors"]} == {"event", "data"}
        assert results[27]["data"]["delivery"]["closed"] == 1
        await live.until_gone()
        assert [data["n"] for data in live.all(EVENT)] == list(range(21))

    async def test_each_command_needs_its_scope(
        self, probe_installation: Installation, backend: Backend, probe_nodes: Pair, log_in: Any
    ) -> None:
        to = {"userId": (await log_in(probe_nodes[0])).user_id}
        commands = [{"emit": news(to=to)}, {"disconnect": to | {"reason": "x", "retryable": True}}]
        for scope, allowed in (("emit", [True, False]), ("sessions", [False, True])):
            backend.key = create_key(probe_installation, scope)
            results = (await backend.call("POST", "/batch", {"commands": commands})).data["results"]
            assert [result["success"] for result in results] == allowed
            assert [result.get("code") for result in results if not result["success"]] == ["forbidden"]

    @pytest.mark.parametrize("commands", [[], [{}] * 101, {}, "x", [1], None])
    async def test_a_wrong_batch_is_refused(self, backend: Backend, commands: Any) -> None:
        answer = await backend.call("POST", "/batch", {"commands": commands})
        assert (answer.status, answer.code) == (400, "invalid_request")
