"""A backend sends while Redis is down, and to clients of a node that dies: nothing durable is lost."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from support.application_backend import ApplicationBackend, url_settings
from support.backends import Backend, create_key
from support.breakable import Stores
from support.clients import Api, Live
from support.event_streams import opened
from support.health import both_ready
from support.nodes import Installation, Node

Pair = tuple[Node, Node]
On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]
EVENT = "chat:news"


@pytest.fixture
def backend(own_installation: Installation, pair: Pair, http: aiohttp.ClientSession) -> Backend:
    """A backend at the first node."""
    return Backend(pair[0].url, create_key(own_installation, "emit", "presence"), http)


def news(to: dict[str, str], n: int, **more: Any) -> dict[str, Any]:
    return {"to": to, "event": EVENT, "data": {"n": n}} | more


def numbers_of(live: Live) -> list[int]:
    return [data["n"] for data in live.all(EVENT)]


async def test_without_redis_a_durable_event_is_refused_and_a_repeat_is_sent_once(
    whole: Stores, pair: Pair, backend: Backend, on: On, connect: Connect, http: aiohttp.ClientSession
) -> None:
    login = await on(pair[1]).login(await on(pair[1]).register())
    live = await connect(pair[1], login.access_token, also=(EVENT,))
    user, room = {"userId": login.data["user"]["userId"]}, {"room": f"chat:{secrets.token_hex(6)}"}
    await backend.add_member(room["room"], user["userId"])
    whole.redis.kill()
    bodies = [news(to, n, durable=True, id=secrets.token_hex(8)) for n, to in enumerate((user, room))]
    for body in bodies:
        answer = await backend.call("POST", "/emit", body)
        assert (answer.status, answer.code) == (503, "unavailable")
    batch = await backend.call("POST", "/batch", {"commands": [{"emit": body} for body in bodies]})
    assert [result["code"] for result in batch.data["results"]] == ["unavailable"] * 2
    for path in (f"/rooms/{room['room']}/history", f"/presence?userIds={user['userId']}"):
        answer = await backend.call("GET", path)
        assert (answer.status, answer.code) == (503, "unavailable")
    # What is not durable reaches the sockets of the node that was asked; that there may be others is said.
    here = (await backend.at(pair[1].url).call("POST", "/emit", news(user, 7))).data["delivery"]
    assert (here["sockets"], here["notified"], here["incomplete"]) == (1, 1, True)
    elsewhere = (await backend.call("POST", "/emit", news(user, 8))).data["delivery"]
    assert (elsewhere["sockets"], elsewhere["incomplete"]) == (0, True)
    whole.redis.start()
    await both_ready(http, *pair)
    for body in bodies:
        assert "duplicate" not in (await backend.call("POST", "/emit", body)).data
    await live.wait(EVENT, lambda data: data["n"] == 1)
    assert numbers_of(live) == [7, 0, 1]
    history = (await backend.call("GET", f"/rooms/{room['room']}/history")).data
    assert [each["data"]["n"] for each in history["events"]] == [1]


async def test_without_redis_client_events_at_a_url_are_served_and_durable_acts_are_acked_as_unavailable(
    whole: Stores, own_installation: Installation, http: aiohttp.ClientSession, connect: Connect
) -> None:
    app = ApplicationBackend()
    app.start()
    node = await asyncio.to_thread(lambda: own_installation.start(**url_settings(app.port)))
    await both_ready(http, node)
    api = Api(node.url, http)
    login = await api.login(await api.register())
    live = await connect(node, login.access_token, also=(EVENT,))
    mine = {"userId": login.user_id}
    app.answers["chat:send"] = lambda posted: (200, {"n": 1, "emit": [news(mine, 1, **posted["data"])]})
    whole.redis.kill()
    assert await live.ask("chat:send") == {"ok": True, "n": 1}
    ack = await live.ask("chat:send", {"durable": True})
    assert (ack["ok"], ack["code"], ack["retryable"]) == (False, "unavailable", True)
    whole.redis.start()
    await both_ready(http, node)
    assert (await live.ask("chat:send", {"durable": True}))["ok"]
    await live.wait(EVENT, lambda data: "eventId" in data)
    await live.close()
    assert await asyncio.to_thread(node.stop) == 0
    app.close()


async def test_what_a_node_did_not_send_before_it_was_killed_is_there_on_the_next_one(
    pair: Pair,
    own_installation: Installation,
    backend: Backend,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
) -> None:
    await both_ready(http, *pair)
    dying = await asyncio.to_thread(own_installation.start)
    await both_ready(http, dying)
    login = await on(pair[0]).login(await on(pair[0]).register())
    user, room = {"userId": login.data["user"]["userId"]}, {"room": f"chat:{secrets.token_hex(6)}"}
    live = await connect(dying, login.access_token, also=(EVENT,))
    await backend.add_member(room["room"], user["userId"])
    targets = (user, room)
    first = [(await backend.call("POST", "/emit", news(to, 1, durable=True))).data for to in targets]
    await live.wait(EVENT, lambda data: "historyId" in data)
    dying.freeze()
    unsent = [(await backend.call("POST", "/emit", news(to, 2, durable=True))).data for to in targets]
    assert [each["delivery"]["notified"] for each in unsent] == [0, 0]
    assert unsent[0]["delivery"]["pending"] == 1
    assert unsent[1]["delivery"]["incomplete"] is True
    dying.kill()
    assert numbers_of(live) == [1, 1]
    cursor = first[0]["eventId"]
    back = await connect(pair[1], login.access_token, last_event_id=cursor, also=(EVENT,))
    assert back.ready["recovered"] is True
    await back.wait(EVENT)
    assert back.all(EVENT) == [{"n": 2, "eventId": unsent[0]["eventId"]}]
    missed = (await backend.call("GET", f"/rooms/{room['room']}/history?after={first[1]['historyId']}")).data
    assert missed == {
        "events": [{"historyId": unsent[1]["historyId"], "event": EVENT, "data": {"n": 2}}],
        "next": None,
        "recovered": True,
    }
    # It is in the room again.
    later = (await backend.call("POST", "/emit", news(room, 3, durable=True))).data
    await back.wait(EVENT, lambda data: data["n"] == 3)
    assert back.all(EVENT)[1:] == [{"n": 3, "historyId": later["historyId"]}]


async def test_revocations_are_heard_without_redis_and_a_stream_without_mongodb_does_not_look_alive(
    whole: Stores, pair: Pair, own_installation: Installation, on: On, http: aiohttp.ClientSession
) -> None:
    backend = Backend(pair[0].url, create_key(own_installation, "revocations"), http)
    login = await on(pair[1]).login(await on(pair[1]).register())
    async with opened(backend) as stream:
        await stream.until("caught-up")
        whole.redis.kill()
        assert (await login.call("POST", "/logout")).status == 200
        await stream.until("revoked", sessionId=login.session_id)
        await stream.until("alive")
        whole.mongo.freeze()
        # The node ends it, and does not begin another.
        rest = []
        while event := await stream.next():
            rest.append(event)
        assert len(rest) <= 2
        assert (await backend.call("GET", "/revocations", headers={"Accept": "text/event-stream"})).status == 503
        whole.mongo.thaw()
    await asyncio.to_thread(whole.redis.start)
    await both_ready(http, *pair)
    async with opened(backend, last_id=stream.last_id) as stream:
        again = await stream.until("caught-up")
        assert login.session_id in {data.get("sessionId") for _, data in again}
