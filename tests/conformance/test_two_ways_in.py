"""A WebSocket that begins its connection is opened at once, any other by way of the router; nobody can tell."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from support.wire import frame

from auth.http import runner as edge
from auth.http.runner import HttpRunner
from auth.metrics import Metrics
from realtime.engine.server import EngineServer
from realtime.engine.sockets import Received, SocketServer

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


class Open:
    """Lets everybody in, once `is_open`, and then does as `greet` says."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.greet: Callable[[str], None] = lambda _: None

    def note(self, request: web.BaseRequest) -> None:
        """Nothing."""

    async def admit(self, socket_id: str, noted: None, auth: Any) -> None:
        await self.is_open.wait()

    def admitted(self, socket_id: str) -> None:
        self.greet(socket_id)

    def receive(self, socket_id: str, received: Received) -> None:
        received.answer("heard")

    def left(self, socket_id: str) -> None:
        """Nobody to forget."""


@dataclass
class Served:
    """A Socket.IO server at a port."""

    sockets: SocketServer
    gate: Open
    port: int
    at_once: list[bool]

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


@pytest.fixture
async def serve(unused_tcp_port_factory) -> AsyncIterator[Serve]:
    closing: list[Any] = []

    async def start(*, offers: bool = True) -> Served:
        gate = Open()
        served = Served(SocketServer(gate, metrics=Metrics()), gate, unused_tcp_port_factory(), [])

        def open_at_once(upgrade: web.BaseRequest) -> bool:
            served.at_once.append(served.sockets.engines.open_at_once(upgrade))
            return served.at_once[-1]

        app = web.Application()
        served.sockets.attach(app)
        runner = HttpRunner(app, on_upgrade=open_at_once if offers else None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", served.port).start()
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


async def test_it_is_opened_at_once_with_nothing_made_for_serving_requests(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        writer.write(request())
        assert (await hello(reader)).startswith(b'0{"sid":')
        assert served.at_once == [True]
        running = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
        assert not [name for name in running if "RequestHandler" in name]
        await is_served(reader, writer)


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
        assert served.at_once == [True]
        await is_served(reader, writer)


@pytest.mark.parametrize("offers", [True, False])
@pytest.mark.parametrize("pause", [None, 0.0, 0.05])
async def test_what_comes_behind_the_request_is_taken(serve: Serve, offers: bool, pause: float | None) -> None:
    """In the same segment, or in one that is there before the answer is read."""
    served = await serve(offers=offers)
    packets = frame(1, b"40") + frame(1, b'421["anything"]')
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


async def test_on_a_connection_that_was_served_before_it_goes_the_other_way(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        writer.write(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        writer.write(request())
        await hello(reader)
        assert served.at_once == []
        await is_served(reader, writer)


async def test_so_it_does_behind_another_request_in_one_segment(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        writer.write(b"GET /socket.io/ HTTP/1.1\r\nHost: here\r\n\r\n" + request())
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 400 ")
        await hello(reader)
        assert served.at_once == []
        await is_served(reader, writer)


REQUESTS = {
    "an upgrade": request(),
    "an upgrade, its query turned round": request("/socket.io/?transport=websocket&EIO=4"),
    "an upgrade with more in its query": request(TARGET + "&t=abc"),
    "an upgrade, its query with escapes": request("/socket.io/?E%49O=%34&transport=web%73ocket"),
    "an upgrade, its path with an escape": request("/%73ocket.io/?EIO=4&transport=websocket"),
    "an upgrade to the whole URL": request("http://here" + TARGET),
    "an upgrade, its headers in other letters": request(Upgrade="WebSocket", Connection="keep-alive,  UPGRADE"),
    "an upgrade by HTTP/1.0": request(version="1.0"),
    "an old protocol": request("/socket.io/?EIO=3&transport=websocket"),
    "two protocols": request("/socket.io/?EIO=3&EIO=4&transport=websocket"),
    "no protocol": request("/socket.io/?transport=websocket"),
    "no query": request("/socket.io/"),
    "an unknown transport": request("/socket.io/?EIO=4&transport=webtransport"),
    "the transport of polling": request("/socket.io/?EIO=4&transport=polling"),
    "JSONP": request(TARGET + "&j=0"),
    "an unknown session": request(TARGET + "&sid=nobody"),
    "no session": request(TARGET + "&sid="),
    "a POST": request(method="POST"),
    "a HEAD": request(method="HEAD"),
    "an OPTIONS": request(method="OPTIONS"),
    "another path": request("/socket.io?EIO=4&transport=websocket"),
    "no such path": request("/?EIO=4&transport=websocket"),
    "no key": request(Sec_WebSocket_Key=None),
    "a short key": request(Sec_WebSocket_Key="c2hvcnQ="),
    "a key that is none": request(Sec_WebSocket_Key="?" * 24),
    "an old version": request(Sec_WebSocket_Version="8"),
    "no version": request(Sec_WebSocket_Version=None),
    "no upgrade": request(Upgrade=None),
    "another upgrade": request(Upgrade="h2c"),
    "no connection": request(Connection=None),
    "a close": request(Connection="close"),
    "an expectation": request(Expect="100-continue"),
    "an unknown expectation": request(Expect="miracles"),
    "a body of none": request(Content_Length="0"),
    "no host": request(Host=None),
    "a header too long": request(X_Long="x" * 10_000),
    "too many headers": request(**{f"x{number}": "y" for number in range(200)}),
    "two lengths": request(Content_Length="1, 2"),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "half a request": request()[:-10],
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_whatever_is_asked_gets_the_same_answer_either_way(serve: Serve, name: str) -> None:
    offered, usual = await serve(), await serve(offers=False)
    if name == "half a request":
        for served in (offered, usual):
            async with served.dial() as (reader, writer):
                writer.write(REQUESTS[name])
                writer.write_eof()
                assert await reader.read() == b""
        return
    both = [without_request_id(await served.said_to(REQUESTS[name])) for served in (offered, usual)]
    assert both[0] == both[1]
    assert both[0]


def without_request_id(said: bytes) -> bytes:
    for claim in set(re.findall(rb"X-Request-Id: (\w+)", said)):
        said = said.replace(claim, b"")
    return said


async def test_who_is_turned_away_is_answered_and_counted_once_and_may_ask_on(serve: Serve) -> None:
    served = await serve()
    engines, counted = served.sockets.engines, []
    engines.refuses, engines.turned_away = lambda _: 7.4, lambda: counted.append(True)
    async with served.dial() as (reader, writer):
        for asked in (1, 2):
            writer.write(request())
            answer = await reader.readuntil(b"too many connections")
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"\r\nRetry-After: 7\r\n" in answer
            assert len(counted) == asked
    assert served.at_once == [False]
    assert not engines.sockets


async def test_what_is_said_as_a_socket_is_let_in_comes_in_order(serve: Serve) -> None:
    served = await serve()

    def greet(socket_id: str) -> None:
        served.sockets.emit_here(socket_id, "one", 1)
        served.sockets.emit_here(socket_id, "two", 2)

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
        served.sockets.emit_here(socket_id, "one", 1)
        served.sockets.close(socket_id)

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
        told = await heard(reader)
        assert told.endswith(b'431["heard"]')


async def test_a_peer_that_hangs_up_while_it_is_let_in_is_forgotten_at_once(serve: Serve) -> None:
    served = await serve()
    served.gate.is_open.clear()
    async with served.dial() as (reader, writer):
        writer.write(request() + frame(1, b"40"))
        await hello(reader)
        await asyncio.sleep(0.05)
    async with asyncio.timeout(3):
        while served.sockets.engines.sockets:
            await asyncio.sleep(0.01)
    served.gate.is_open.set()
    await asyncio.sleep(0.05)
    assert not served.sockets.manager.members


async def test_a_defect_ends_its_connection_and_no_other(serve: Serve) -> None:
    served = await serve()
    async with served.dial() as (reader, writer):
        writer.write(request())
        await hello(reader)
        served.sockets.engines.refuses = lambda _: 1 / 0  # type: ignore[assignment,return-value]
        assert await served.said_to(request()) == b""
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


async def test_a_peer_that_sends_half_a_request_is_cut_off(serve: Serve, monkeypatch) -> None:
    monkeypatch.setattr(edge, "REQUEST_SECONDS", 0.2)
    served = await serve()
    for part in (b"", request()[:-2]):
        async with served.dial() as (reader, writer):
            writer.write(part)
            async with asyncio.timeout(3):
                assert await reader.read() == b""
    async with served.dial() as (reader, writer):
        writer.write(request())
        await hello(reader)
        await asyncio.sleep(1)
        await is_served(reader, writer)


async def test_a_server_that_stops_takes_nobody_up_and_closes_who_has_not_asked(unused_tcp_port: int) -> None:
    sockets, app = SocketServer(Open(), metrics=Metrics()), web.Application()
    sockets.attach(app)
    runner = HttpRunner(app, on_upgrade=sockets.engines.open_at_once, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
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
    engines, app, let_in = EngineServer(async_mode="aiohttp"), web.Application(), asyncio.Event()
    engines.metrics = Metrics()

    async def connected(_engine_id: str, _request: web.BaseRequest) -> None:
        await let_in.wait()

    async def echo(engine_id: str, data: str | bytes) -> None:
        await engines.send(engine_id, data)

    engines.on("connect", connected)
    engines.on("message", echo)
    engines.attach(app, "socket.io")
    runner = HttpRunner(app, on_upgrade=engines.open_at_once, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
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
