"""Durable events of rooms and the demo's chat, while nodes die, the bus breaks and Redis loses its data."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from support.backends import Backend, create_key
from support.breakable import Stores
from support.clients import Api, Live
from support.health import both_ready
from support.nodes import Installation, Node
from support.waiting import eventually

Pair = tuple[Node, Node]
On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]
EVENT = "chat:news"


@pytest.fixture
def backend(own_installation: Installation, pair: Pair, http: aiohttp.ClientSession) -> Backend:
    """A backend at the first node."""
    return Backend(pair[0].url, create_key(own_installation, "emit"), http)


@pytest.fixture
def room() -> str:
    """A room of the test's own."""
    return f"chat:{secrets.token_hex(6)}"


async def say(backend: Backend, room: str, n: int) -> None:
    body = {"to": {"room": room}, "event": EVENT, "data": {"n": n}, "durable": True}
    assert (await backend.call("POST", "/emit", body)).status == 200


def numbers_of(live: Live) -> list[int]:
    return [data["n"] for data in live.all(EVENT)]


async def test_what_a_node_did_not_send_before_it_was_killed_follows_on_the_next_one_without_being_asked_for(
    pair: Pair,
    own_installation: Installation,
    backend: Backend,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
    room: str,
) -> None:
    await both_ready(http, *pair)
    dying = await asyncio.to_thread(own_installation.start)
    await both_ready(http, dying)
    login = await on(pair[0]).login(await on(pair[0]).register())
    await backend.add_member(room, login.user_id)
    live = await connect(dying, login.access_token, also=(EVENT,), rooms={})
    await say(backend, room, 1)
    place = live.ready["joined"][room] | {"historyId": (await live.wait(EVENT))["historyId"]}
    dying.freeze()
    await say(backend, room, 2)
    dying.kill()
    await say(backend, room, 3)
    back = await connect(pair[1], login.access_token, also=(EVENT,), rooms={room: place})
    await back.wait(EVENT, lambda data: data["n"] == 3)
    await say(backend, room, 4)
    await back.wait(EVENT, lambda data: data["n"] == 4)
    assert (numbers_of(live), numbers_of(back)) == ([1], [2, 3, 4])


async def test_what_a_node_did_not_hear_is_sent_from_the_history_in_order_once(
    whole: Stores, pair: Pair, backend: Backend, on: On, connect: Connect, room: str
) -> None:
    login = await on(pair[0]).login(await on(pair[0]).register())
    await backend.add_member(room, login.user_id)
    lives = [await connect(node, login.access_token, also=(EVENT,), rooms={}) for node in pair]
    redis = whole.redis_client()
    for n in range(20):
        if n % 5 == 2:
            redis.client_kill_filter(_type="pubsub")
        await say(backend, room, n)
    redis.close()
    for live in lives:
        await live.wait(EVENT, lambda data: data["n"] == 19)
        assert numbers_of(live) == list(range(20))
        assert live.all("room-history") == []


async def test_if_redis_lost_its_data_the_room_is_named_to_those_who_are_here_and_to_those_who_come_back(
    whole: Stores,
    pair: Pair,
    backend: Backend,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
    room: str,
) -> None:
    login = await on(pair[0]).login(await on(pair[0]).register())
    await backend.add_member(room, login.user_id)
    live = await connect(pair[0], login.access_token, also=(EVENT,), rooms={})
    await say(backend, room, 1)
    place = live.ready["joined"][room] | {"historyId": (await live.wait(EVENT))["historyId"]}
    whole.redis.kill()
    whole.redis.empty()
    whole.redis.start()
    await both_ready(http, *pair)
    told = await live.wait("room-history")
    assert (told["room"], told["recovered"], told["historyId"] > place["historyId"]) == (room, False, True)
    back = await connect(pair[1], login.access_token, also=(EVENT,), rooms={room: place})
    assert (back.ready["recovered"], back.ready["rooms"]) == (False, [room])
    await say(backend, room, 2)
    for each, heard in ((live, [1, 2]), (back, [2])):
        await each.wait(EVENT, lambda data: data["n"] == 2)
        assert numbers_of(each) == heard


def users(event: Any) -> set[str]:
    return {member["userId"] for member in event["members"]}


async def test_the_chat_loses_neither_a_message_nor_the_truth_about_its_members_with_a_node(
    pair: Pair, own_installation: Installation, on: On, connect: Connect, http: aiohttp.ClientSession
) -> None:
    await both_ready(http, *pair)
    dying = await asyncio.to_thread(own_installation.start)
    await both_ready(http, dying)
    ada, ben = [await on(pair[0]).login(await on(pair[0]).register()) for _ in range(2)]
    staying = await connect(pair[0], ada.access_token, also=("chat:message", "chat:members"))
    leaving = await connect(dying, ben.access_token)
    for live in (staying, leaving):
        joined = await live.ask("chat:join")
        assert joined["ok"] is True, joined

    async def are_both_here() -> bool:
        return users(await leaving.ask("chat:join")) == {ada.user_id, ben.user_id}

    await eventually(are_both_here, "both are members", timeout=30, every=1)
    text = secrets.token_hex(8)
    assert (await leaving.ask("chat:send", {"text": text}))["ok"] is True
    dying.kill()

    async def is_alone() -> bool:
        return users(await staying.ask("chat:join")) == {ada.user_id}

    await eventually(is_alone, "the members of the killed node are gone", timeout=60, every=1)
    # Also from a node that has just started.
    fresh = await asyncio.to_thread(own_installation.start)
    await both_ready(http, fresh)
    joined = await (await connect(fresh, ada.access_token)).ask("chat:join")
    assert ben.user_id not in users(joined)
    assert joined["recent"][-1]["text"] == text
    assert await asyncio.to_thread(fresh.stop) == 0
