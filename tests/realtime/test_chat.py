"""The demo's chat room, across two nodes: the application that the client modules are built against."""

import asyncio
from typing import Any

import pytest
from support.clients import Live
from support.nodes import Node
from support.raw_socket import RawSocket

CHAT_EVENTS = ("chat:message", "chat:members")


def texts(live: Live, mark: str) -> list[str]:
    """The messages of this test: the room is one for all."""
    return [m["text"] for m in live.all("chat:message") if m["text"].startswith(mark)]


async def test_messages_reach_everybody_on_both_nodes_in_order(
    shared_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = shared_nodes
    ada, ben = await log_in(first), await log_in(second)
    lives = [
        await connect(first, ada.access_token, also=CHAT_EVENTS),
        await connect(second, ben.access_token, also=CHAT_EVENTS),
        await connect(first, ben.access_token, also=CHAT_EVENTS),
    ]
    for live in lives:
        assert (await live.ask("chat:join"))["ok"] is True
    mark = ada.session_id
    for number in range(200):
        ack = await lives[0].ask("chat:send", {"text": f"{mark} {number}"})
        assert ack["ok"] is True
    for live in lives:
        await live.wait("chat:message", lambda m: m["text"] == f"{mark} 199", timeout=30)
        assert texts(live, mark) == [f"{mark} {number}" for number in range(200)]
        message = next(m for m in live.all("chat:message") if m["text"] == f"{mark} 199")
        assert (message["userId"], message["name"]) == (ada.data["user"]["userId"], "Ada")


async def test_messages_sent_without_waiting_keep_their_order_too(
    shared_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = shared_nodes
    login = await log_in(first)
    hearing = await connect(second, login.access_token, also=CHAT_EVENTS)
    await hearing.ask("chat:join")
    mark = login.session_id
    async with RawSocket.open(first.url) as raw:
        await raw.connect({"token": login.access_token})
        await raw.ask("chat:join")
        ids = [await raw.emit("chat:send", {"text": f"{mark} {number}"}) for number in range(60)]
        await raw.wait_for("3", ids[-1])
        acks = [packet for packet in raw.heard if packet.kind == "3"]
        assert [ack.id for ack in acks] == [1, *ids]
        assert all(ack.data[0]["ok"] for ack in acks)
    await hearing.wait("chat:message", lambda m: m["text"] == f"{mark} 59", timeout=30)
    assert texts(hearing, mark) == [f"{mark} {number}" for number in range(60)]


async def test_who_joins_learns_who_is_here_and_what_was_said(node: Node, connect: Any, log_in: Any) -> None:
    ada, ben = await log_in(node), await log_in(node)
    first = await connect(node, ada.access_token, also=CHAT_EVENTS)
    await first.ask("chat:join")
    await first.ask("chat:send", {"text": f"{ada.session_id} before you came"})
    second = await connect(node, ben.access_token, also=CHAT_EVENTS)
    ack = await second.ask("chat:join")
    ids = {ada.data["user"]["userId"], ben.data["user"]["userId"]}
    assert ids <= {member["userId"] for member in ack["members"]}
    assert ack["maxTextLength"] == 2000
    assert f"{ada.session_id} before you came" in [message["text"] for message in ack["recent"]]
    await first.wait("chat:members", lambda event: ids <= {member["userId"] for member in event["members"]})
    first.heard.clear()
    await second.close()
    gone = ben.data["user"]["userId"]
    await first.wait("chat:members", lambda event: gone not in {member["userId"] for member in event["members"]})


async def test_nothing_of_an_address_is_shown_to_the_room(node: Node, connect: Any, log_in: Any) -> None:
    ada = await log_in(node)
    assert (await ada.call("PATCH", "/me", {"name": None})).status == 200
    live = await connect(node, ada.access_token, also=CHAT_EVENTS)
    members = (await live.ask("chat:join"))["members"]
    assert [each["name"] for each in members if each["userId"] == ada.data["user"]["userId"]] == ["Guest"]


async def test_who_leaves_while_joining_is_not_left_in_the_room(node: Node, connect: Any, log_in: Any) -> None:
    watching = await connect(node, (await log_in(node)).access_token, also=CHAT_EVENTS)
    await watching.ask("chat:join")
    leavers = [await log_in(node) for _ in range(3)]

    async def join_and_leave(token: str) -> None:
        async with RawSocket.open(node.url) as raw:
            await raw.connect({"token": token})
            await raw.emit("chat:join")

    await asyncio.gather(*(join_and_leave(login.access_token) for login in leavers for _ in range(4)))
    gone = {login.data["user"]["userId"] for login in leavers}
    async with asyncio.timeout(10):
        while gone & {member["userId"] for member in (await watching.ask("chat:join"))["members"]}:
            await asyncio.sleep(0.1)
    assert "Traceback" not in node.text()


async def test_nobody_speaks_before_joining(node: Node, connect: Any, standing: Any) -> None:
    live = await connect(node, standing.access_token)
    ack = await live.ask("chat:send", {"text": "hello"})
    assert (ack["ok"], ack["code"]) == (False, "invalid_request")


@pytest.mark.parametrize(
    "data", [{}, {"text": ""}, {"text": "  "}, {"text": 7}, {"text": ["x"]}, {"text": "x" * 2001}]
)
async def test_what_is_no_text_is_refused(node: Node, connect: Any, standing: Any, data: Any) -> None:
    live = await connect(node, standing.access_token, also=CHAT_EVENTS)
    await live.ask("chat:join")
    ack = await live.ask("chat:send", data)
    assert (ack["ok"], ack["code"]) == (False, "invalid_request")


async def test_an_unknown_chat_event_is_unknown(node: Node, connect: Any, standing: Any) -> None:
    live = await connect(node, standing.access_token)
    assert (await live.ask("chat:shout", {"text": "x"}))["code"] == "unknown_event"
