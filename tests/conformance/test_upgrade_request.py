"""The request that asks for a WebSocket: what is one, what is not, and what may come behind it or meanwhile."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from conformance.here import Gate, start_here
from support.wire import frame

from auth.http.edge import time_limits
from auth.platform.metrics import Metrics
from realtime.engine.emitter import Emitter
from realtime.engine.server import EngineServer
from realtime.engine.sockets import SocketServer

TARGET = "/socket.io/?EIO=4&transport=websocket"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = {
    "Host": "here",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
# RFC 6455, section 1.3, says what the sample key is answered with.
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nServer: vigil\r\n\r\n"
)
ID = re.compile(rb'"sid":"[\w-]+"')
DATE = re.compile(rb"Date: [^\r]+\r\n")

Serve = Callable[..., Awaitable["Served"]]


@dataclass
class Served:
    """A Socket.IO server at a port."""

    sockets: SocketServer
    gate: Gate
    port: int

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def said_to(self, request: bytes) -> bytes:
        """What a peer is told until it has heard nothing for a moment, without what differs from time to time."""
        async with self.dial() as (reader, writer):
            writer.write(request)
            return DATE.sub(b"", ID.sub(b"", await heard(reader)))


async def heard(reader: asyncio.StreamReader) -> bytes:
    said = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65536), 0.3 if said else 5):
            said += piece
    except TimeoutError:
        pass
    return said


def request(target: str = TARGET, method: str = "GET", version: str = "1.1", **headers: str | None) -> bytes:
    """The upgrade with some headers changed; one that is None is left out."""
    lines = {**UPGRADE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{method} {target} HTTP/{version}\r\n{fields}\r\n".encode()


@pytest.fixture(params=["ahead", "by the router"])
async def serve(unused_tcp_port_factory: Any, request: Any) -> AsyncIterator[Serve]:
    closing: list[Any] = []
    way = request.param

    async def start() -> Served:
        gate = Gate()
        served = Served(SocketServer(gate, Emitter(), metrics=Metrics()), gate, unused_tcp_port_factory())

        app = web.Application()
        served.sockets.attach(app)
        ahead = {"/socket.io/": served.sockets.engines.handle_request} if way == "ahead" else {}
        runner = await start_here(app, served.port, ahead)
        closing.extend([runner.cleanup, served.sockets.shutdown])
        return served

    yield start
    while closing:
        await closing.pop()()


async def hello(reader: asyncio.StreamReader) -> bytes:
    assert await reader.readexactly(len(SWITCHING)) == SWITCHING
    head = await reader.readexactly(2)
    assert head[:1] == b"\x81"
    return await reader.readexactly(head[1] if head[1] < 126 else int.from_bytes(await reader.readexactly(2)))


async def is_served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(frame(1, b"40"))
    assert (await reader.readexactly(2))[:1] == b"\x81"
    assert (await reader.readexactly(4)) == b'40{"'


async def test_its_request_may_come_byte_by_byte(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        for byte in request():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await hello(reader)
        await is_served(reader, writer)


@pytest.mark.parametrize("pause", [None, 0.0, 0.05])
@pytest.mark.parametrize("length", [0, 50_000])
async def test_what_comes_behind_the_request_is_taken(serve: Serve, pause: float | None, length: int) -> None:
    """In the same segment, also if longer than what is parsed of HTTP at once, or before the answer is read."""
    served = await serve()
    packets = frame(1, b"40") + frame(1, b'421["anything","%s"]' % (b"x" * length))
    async with served.dial() as (reader, writer):
        if pause is None:
            writer.write(request() + packets)
        else:
            writer.write(request())
            await asyncio.sleep(pause)
            writer.write(packets)
        await hello(reader)
        rest = await heard(reader)
        assert b'40{"sid":"' in rest
        assert rest.endswith(b'431["heard"]')


@pytest.mark.parametrize("size", [16_000, 20_000, 31_000])
@pytest.mark.parametrize("is_behind", [True, False])
async def test_headers_that_are_parsed_in_pieces_do_not_leave_it_unread(
    serve: Serve, size: int, is_behind: bool
) -> None:
    """What the client says after them is read, whether it comes with them or once it is answered."""
    served = await serve()
    packets = frame(1, b"40") + frame(1, b'421["anything"]')
    async with served.dial() as (reader, writer):
        writer.write(request(Cookie="a=" + "x" * size) + (packets if is_behind else b""))
        await hello(reader)
        if not is_behind:
            writer.write(packets)
        assert (await heard(reader)).endswith(b'431["heard"]')


async def test_it_may_come_on_a_connection_that_was_served_before(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        writer.write(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        writer.write(request())
        await hello(reader)
        await is_served(reader, writer)


async def test_it_may_come_behind_another_request_in_one_segment(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        writer.write(b"GET /socket.io/ HTTP/1.1\r\nHost: here\r\n\r\n" + request())
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 400 ")
        await hello(reader)
        await is_served(reader, writer)


REQUESTS = {
    "an upgrade": (request(), 101),
    "an upgrade, its query turned round": (request("/socket.io/?transport=websocket&EIO=4"), 101),
    "an upgrade with more in its query": (request(TARGET + "&t=abc"), 101),
    "an upgrade, its query with escapes": (request("/socket.io/?E%49O=%34&transport=web%73ocket"), 101),
    "an upgrade, its path with an escape": (request("/%73ocket.io/?EIO=4&transport=websocket"), 101),
    "an upgrade to the whole URL": (request("http://here" + TARGET), 101),
    "an upgrade, its headers in other letters": (
        request(Upgrade="WebSocket", Connection="keep-alive,  UPGRADE"),
        101,
    ),
    "an upgrade by HTTP/1.0": (request(version="1.0"), 400),
    "an old protocol": (request("/socket.io/?EIO=3&transport=websocket"), 400),
    "two protocols": (request("/socket.io/?EIO=3&EIO=4&transport=websocket"), 400),
    "no protocol": (request("/socket.io/?transport=websocket"), 400),
    "no query": (request("/socket.io/"), 400),
    "an unknown transport": (request("/socket.io/?EIO=4&transport=webtransport"), 400),
    "the transport of polling": (request("/socket.io/?EIO=4&transport=polling"), 200),
    "JSONP": (request(TARGET + "&j=0"), 400),
    "an unknown session": (request(TARGET + "&sid=nobody"), 400),
    "no session": (request(TARGET + "&sid="), 400),
    "a session of several lines": (request(TARGET + "&sid=%0a%0dForged:%20line"), 400),
    "a POST": (request(method="POST"), 400),
    "a HEAD": (request(method="HEAD"), 400),
    "a HEAD by polling": (request("/socket.io/?EIO=4&transport=polling", method="HEAD", Upgrade=None), 400),
    "an OPTIONS": (request(method="OPTIONS"), 204),
    "another path": (request("/socket.io?EIO=4&transport=websocket"), 404),
    "no such path": (request("/?EIO=4&transport=websocket"), 404),
    "no key": (request(Sec_WebSocket_Key=None), 400),
    "a short key": (request(Sec_WebSocket_Key="c2hvcnQ="), 400),
    "a key that is none": (request(Sec_WebSocket_Key="?" * 24), 400),
    "an old version": (request(Sec_WebSocket_Version="8"), 400),
    "no version": (request(Sec_WebSocket_Version=None), 400),
    "no upgrade": (request(Upgrade=None), 400),
    "another upgrade": (request(Upgrade="h2c"), 400),
    "no connection": (request(Connection=None), 400),
    "a close": (request(Connection="close"), 400),
    "an expectation": (request(Expect="100-continue"), 100),
    "an unknown expectation": (request(Expect="miracles"), 417),
    "a body of none": (request(Content_Length="0"), 101),
    "no host": (request(Host=None), 400),
    "a header too long": (request(X_Long="x" * 10_000), 101),
    "too many headers": (request(**{f"x{number}": "y" for number in range(200)}), 431),
    "two lengths": (request(Content_Length="1, 2"), 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_every_request_is_answered_as_what_it_is(serve: Serve, name: str) -> None:
    asked, status = REQUESTS[name]
    said = await (await serve()).said_to(asked)
    assert int(said.split(b" ")[1]) == status
    assert said.startswith(SWITCHING) == (status == 101)


async def test_half_a_request_gets_no_answer(serve: Serve) -> None:
    async with (await serve()).dial() as (reader, writer):
        writer.write(request()[:-10])
        writer.write_eof()
        assert await reader.read() == b""


def lines(*more: str, without: str = "") -> bytes:
    """The upgrade with `more` header lines, and without those called `without`."""
    kept = [f"{name}: {value}" for name, value in UPGRADE.items() if name != without]
    return "\r\n".join([f"GET {TARGET} HTTP/1.1", *kept, *more, "", ""]).encode()


LISTS = {
    "two lines": lines("Connection: keep-alive", "Connection: Upgrade", without="Connection"),
    "two lines, the other way round": lines("Connection: Upgrade", "Connection: keep-alive", without="Connection"),
    "one line": lines("Connection: keep-alive ,\tUPGRADE", without="Connection"),
    "empty members": lines("Connection: ,Upgrade,,", without="Connection"),
    "more than websocket": lines("Upgrade: websocket, h2c", without="Upgrade"),
    "websocket last": lines("Upgrade: h2c", "Upgrade: WebSocket", without="Upgrade"),
}
NO_LISTS = {
    "a key twice": lines(f"Sec-WebSocket-Key: {KEY}"),
    "a version twice": lines("Sec-WebSocket-Version: 13"),
    "not that": lines("Connection: keep-alive", "Connection: close", without="Connection"),
    "in a word": lines("Connection: Upgrades, not-upgrade", without="Connection"),
    "another": lines("Upgrade: h2c", without="Upgrade"),
    "with a blank": lines("Upgrade: websocket h2c", without="Upgrade"),
    "a protocol of two words": lines("Sec-WebSocket-Protocol: chat v1"),
    "a protocol in quotes": lines('Sec-WebSocket-Protocol: "chat"'),
    "a protocol twice": lines("Sec-WebSocket-Protocol: chat, chat"),
    "a protocol twice in two lines": lines("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"),
    "no protocol": lines("Sec-WebSocket-Protocol: "),
    "a protocol that is none": lines("Sec-WebSocket-Protocol: ch\u00e4t"),
}


@pytest.mark.parametrize("name", LISTS)
async def test_fields_that_are_lists_are_read_as_lists(serve: Serve, name: str) -> None:
    assert (await (await serve()).said_to(LISTS[name])).startswith(SWITCHING)


@pytest.mark.parametrize("name", NO_LISTS)
async def test_what_is_not_in_them_is_no_upgrade(serve: Serve, name: str) -> None:
    assert (await (await serve()).said_to(NO_LISTS[name])).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "offered", [["chat.v1"], ["chat.v1, chat.v0"], ["chat.v1", "chat.v0"], ["chat.v1,soap"], [" , chat.v1"]]
)
async def test_of_subprotocols_the_first_is_chosen(serve: Serve, offered: list[str]) -> None:
    """As by `ws`, on which the reference implementation stands."""
    asked = lines(*(f"Sec-WebSocket-Protocol: {line}" for line in offered))
    said = await (await serve()).said_to(asked)
    head = said.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"HTTP/1.1 101 Switching Protocols"
    assert [line for line in head if line.lower().startswith(b"sec-websocket-p")] == [
        b"Sec-WebSocket-Protocol: chat.v1"
    ]


async def test_who_is_turned_away_is_answered_and_counted_once_and_may_ask_on(serve: Serve) -> None:
    served = await serve()
    served.gate.wait = lambda: 7.4
    async with served.dial() as (reader, writer):
        for asked in (1, 2):
            writer.write(request())
            answer = await reader.readuntil(b"too many connections")
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"\r\nRetry-After: 7\r\n" in answer
            assert served.gate.refused == asked
    assert not served.sockets.engines.sockets


async def test_what_is_said_as_a_socket_is_let_in_comes_in_order(serve: Serve) -> None:
    served = await serve()

    def greet(socket_id: str) -> None:
        served.sockets.emitter.emit_here(socket_id, "one", 1)
        served.sockets.emitter.emit_here(socket_id, "two", 2)

    served.gate.greet = greet
    async with served.dial() as (reader, writer):
        writer.write(request() + frame(1, b"40"))
        await hello(reader)
        told = await heard(reader)
        assert re.fullmatch(rb'\x81.40{"sid":"[\w-]+"}\x81\x0b42\["one",1\]\x81\x0b42\["two",2\]', told)
        writer.write(frame(1, b'421["anything"]'))
        assert await heard(reader) == b'\x81\x0c431["heard"]'


async def test_one_that_is_sent_away_as_it_is_let_in_is_told_everything_before(serve: Serve) -> None:
    served = await serve()

    def greet(socket_id: str) -> None:
        served.sockets.emitter.emit_here(socket_id, "one", 1)
        served.sockets.emitter.close(socket_id)

    served.gate.greet = greet
    async with served.dial() as (reader, writer):
        writer.write(request() + frame(1, b"40"))
        await hello(reader)
        told = await reader.read()
        assert re.fullmatch(rb'\x81.40{"sid":"[\w-]+"}\x81\x0b42\["one",1\]\x81\x0241\x88\x02\x03\xe8', told)


async def test_a_peer_that_says_more_while_it_is_let_in_is_read_no_further_and_then_served(serve: Serve) -> None:
    served = await serve()
    served.gate.is_open.clear()
    async with served.dial() as (reader, writer):
        writer.write(request() + frame(1, b"40"))
        await hello(reader)
        sent = 0
        while writer.transport.get_write_buffer_size() < 4_000_000:
            assert sent < 400, "all is read"
            writer.write(frame(1, b'42["anything","%s"]' % (b"x" * 100_000)))
            sent += 1
            await asyncio.sleep(0)
        (engine,) = served.sockets.engines.sockets.values()
        assert 0 < len(engine._unread) < 30
        writer.write(frame(1, b'421["anything"]'))
        served.gate.is_open.set()
        async with asyncio.timeout(20):
            await reader.readuntil(b'431["heard"]')


async def test_a_peer_that_hangs_up_while_it_is_let_in_is_forgotten_at_once(serve: Serve) -> None:
    served = await serve()
    served.gate.is_open.clear()
    async with served.dial() as (reader, writer):
        writer.write(request() + frame(1, b"40"))
        await hello(reader)
        await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        while served.sockets.engines.sockets:
            await asyncio.sleep(0.01)
    served.gate.is_open.set()
    await asyncio.sleep(0.05)
    assert not served.sockets.manager.members


async def test_a_defect_is_answered_and_ends_no_other_connection(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        writer.write(request())
        await hello(reader)
        served.gate.wait = lambda: 1 / 0
        assert (await served.said_to(request())).startswith(b"HTTP/1.1 500 ")
        await is_served(reader, writer)


async def test_a_peer_that_hangs_up_is_forgotten(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        writer.write(request())
        await hello(reader)
        assert len(served.sockets.engines.sockets) == 1
    for _ in range(200):
        if not served.sockets.engines.sockets:
            break
        await asyncio.sleep(0.01)
    assert not served.sockets.engines.sockets


async def test_a_peer_that_sends_half_a_request_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limits, "REQUEST_SECONDS", 0.2)
    served = await serve()
    for part in (b"", request()[:-2]):
        async with served.dial() as (reader, writer):
            writer.write(part)
            async with asyncio.timeout(30):
                assert await reader.read() == b""
    async with served.dial() as (reader, writer):
        writer.write(request())
        await hello(reader)
        await asyncio.sleep(1)
        await is_served(reader, writer)


async def test_a_server_that_stops_opens_no_socket_and_closes_who_has_not_asked(unused_tcp_port: int) -> None:
    sockets, app = SocketServer(Gate(), Emitter(), metrics=Metrics()), web.Application()
    sockets.attach(app)
    runner = await start_here(app, unused_tcp_port)
    reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(runner.cleanup())
    await asyncio.sleep(0)
    writer.write(request())
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await stopping
    assert not sockets.engines.sockets
    await sockets.shutdown()


async def test_who_must_be_waited_for_is_waited_for(unused_tcp_port: int) -> None:
    """Engine.IO's handlers may take their time; what the peer sends meanwhile is not lost."""
    engines, app, let_in = (
        EngineServer(metrics=Metrics(), async_mode="aiohttp"),
        web.Application(),
        asyncio.Event(),
    )

    async def connected(_engine_id: str, _request: web.BaseRequest) -> None:
        await let_in.wait()

    async def echo(engine_id: str, data: str | bytes) -> None:
        await engines.send(engine_id, data)

    engines.on("connect", connected)
    engines.on("message", echo)
    engines.attach(app, "socket.io")
    runner = await start_here(app, unused_tcp_port)
    reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
    gone = (await asyncio.open_connection("127.0.0.1", unused_tcp_port))[1]
    for each in (writer, gone):
        each.write(request() + frame(1, b"4one"))
    await asyncio.sleep(0.1)
    gone.close()
    writer.write(frame(1, b"4two"))
    await asyncio.sleep(0.1)
    let_in.set()
    await hello(reader)
    assert await reader.readexactly(12) == b"\x81\x044one\x81\x044two"
    assert len(engines.sockets) == 1
    writer.close()
    await engines.shutdown()
    engines.close()
    await runner.cleanup()
