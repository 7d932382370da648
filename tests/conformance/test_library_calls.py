"""The library's own calls on our engine: whoever knows python-socketio's server knows this one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from conformance.here import Gate
from support.raw_socket import RawSocket

from realtime.engine.sockets import SocketServer


@pytest.fixture
async def three(server: SocketServer, unused_tcp_port: int) -> AsyncIterator[list[RawSocket]]:
    async with AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        sockets = [await stack.enter_async_context(RawSocket.open(url)) for _ in range(3)]
        for socket in sockets:
            await socket.send("40")
            assert (await socket.wait_for("0")).namespace == "/"
            socket.heard.clear()
        yield sockets


async def heard(socket: RawSocket) -> list[Any]:
    """What a socket has heard until now."""
    assert await socket.ask("are you there?") == "heard"
    events = [packet.data for packet in socket.heard if packet.kind == "2"]
    socket.heard.clear()
    return events


async def test_emit_reaches_a_socket_a_room_several_rooms_and_all(
    server: SocketServer, gate: Gate, three: list[RawSocket]
) -> None:
    first, second, third = gate.here
    await server.enter_room(first, "blue")
    await server.enter_room(second, "blue")
    await server.enter_room(second, "red")
    await server.emit("one", {"n": 1}, to=third)
    await server.emit("room", (1, "two"), room="blue")
    await server.emit("rooms", to=["blue", "red"])
    await server.emit("but one", room="blue", skip_sid=first)
    await server.emit("all", b"\x01\x02")
    everybody = '451-["all",{"_placeholder":true,"num":0}]'
    assert [await told(socket) for socket in three] == [
        ['42["room",1,"two"]', '42["rooms"]', everybody],
        ['42["room",1,"two"]', '42["rooms"]', '42["but one"]', everybody],
        ['42["one",{"n":1}]', everybody],
    ]


async def told(socket: RawSocket) -> list[str]:
    """Texts until an attachment."""
    texts = []
    while isinstance(frame := await socket.receive(), str):
        texts.append(frame)
    assert frame == b"\x01\x02"
    return texts


async def test_rooms_are_entered_left_and_closed(server: SocketServer, gate: Gate, three: list[RawSocket]) -> None:
    first, second, _ = gate.here
    for socket_id in (first, second):
        await server.enter_room(socket_id, "blue")
        await server.enter_room(socket_id, "blue")
    assert server.rooms(first) == [first, "blue"]
    await server.leave_room(first, "blue")
    await server.emit("left", room="blue")
    await server.close_room("blue")
    await server.emit("closed", room="blue")
    assert [await heard(socket) for socket in three] == [[], [["left"]], []]
    with pytest.raises(ValueError):
        await server.enter_room("nobody", "blue")
    with pytest.raises(ValueError):
        await server.enter_room(first, second)


async def test_an_ack_reaches_its_callback_once(server: SocketServer, gate: Gate, three: list[RawSocket]) -> None:
    answers: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    await server.emit("question", to=gate.here[0], callback=lambda *values: answers.put_nowait(values))
    packet = await three[0].wait_for("2", event="question")
    for _ in range(2):
        await three[0].send(f'43{packet.id}["yes",1]')
    assert await answers.get() == ("yes", 1)
    assert await heard(three[0]) == [["question"]]
    assert answers.empty()


async def test_who_is_disconnected_hears_it_and_is_gone(
    server: SocketServer, gate: Gate, three: list[RawSocket]
) -> None:
    first = gate.here[0]
    await server.enter_room(first, "blue")
    await server.disconnect(first)
    assert (await three[0].wait_for("1")).namespace == "/"
    assert first not in gate.here
    assert server.rooms(first) == []
    await server.disconnect(first)
