"""Ending a connection so that its client comes back by itself: nothing on the wire says that it shall not."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from conformance.here import Gate

from realtime.engine.sockets import SocketServer

SEPARATOR = "\x1e"
WEBSOCKET = "?EIO=4&transport=websocket"
POLLING = "?EIO=4&transport=polling"


@pytest.fixture
async def http(server: SocketServer, unused_tcp_port: int) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}/socket.io/") as session:
        yield session


async def poll(http: aiohttp.ClientSession, sid: str) -> list[str]:
    async with http.get(f"{POLLING}&sid={sid}") as answer:
        assert answer.status == 200
        return (await answer.text()).split(SEPARATOR)


async def open_polling(http: aiohttp.ClientSession) -> str:
    async with http.get(POLLING) as answer:
        sid = str((await answer.text()).partition('"sid":"')[2].partition('"')[0])
    async with http.post(f"{POLLING}&sid={sid}", data="40") as answer:
        assert answer.status == 200
    return sid


async def test_a_websocket_is_closed_as_going_away_without_a_packet(
    server: SocketServer, gate: Gate, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(WEBSOCKET) as websocket:
        await websocket.receive_str()
        await websocket.send_str("40")
        await websocket.receive_str()
        server.emitter.emit_here(gate.here[0], "last", {})
        server.emitter.drop(gate.here[0], "the reason")
        assert await websocket.receive_str() == '42["last",{}]'
        closed = await websocket.receive()
        assert (closed.type, closed.data, closed.extra) == (aiohttp.WSMsgType.CLOSE, 1001, "the reason")
    assert gate.here == []


async def test_one_that_polls_gets_its_last_packets_and_is_not_known_after_them(
    server: SocketServer, gate: Gate, http: aiohttp.ClientSession
) -> None:
    sid = await open_polling(http)
    assert (await poll(http, sid))[0].startswith("40")
    server.emitter.emit_here(gate.here[0], "last", {})
    server.emitter.drop(gate.here[0], "the reason")
    assert gate.here == []
    assert await poll(http, sid) == ['42["last",{}]']
    async with http.get(f"{POLLING}&sid={sid}") as answer:
        assert answer.status == 400


async def test_who_authenticates_while_the_server_leaves_is_not_refused_but_dropped(
    server: SocketServer, gate: Gate, http: aiohttp.ClientSession
) -> None:
    """A refusal is for good to a stock client: `connect_error` ends its own reconnection."""
    async with http.ws_connect(WEBSOCKET) as websocket:
        await websocket.receive_str()
        gate.is_leaving = True
        await websocket.send_str("40")
        closed = await websocket.receive()
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_nobody_new_is_let_in_while_the_server_leaves(
    server: SocketServer, http: aiohttp.ClientSession
) -> None:
    server.engines.refuse_new_connections()
    async with http.get(POLLING) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(WEBSOCKET)
    assert refused.value.status == 503


async def test_one_that_is_disconnected_for_good_is_told_so(
    server: SocketServer, gate: Gate, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(WEBSOCKET) as websocket:
        await websocket.receive_str()
        await websocket.send_str("40")
        await websocket.receive_str()
        server.emitter.close(gate.here[0])
        assert await websocket.receive_str() == "41"
        assert (await websocket.receive()).type == aiohttp.WSMsgType.CLOSE
