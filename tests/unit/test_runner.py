"""HTTP connections among many, in this process: what one sends in bulk leaves turns to the others."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
from aiohttp import web

from auth.http.edge.connection_limits import PIECE_BYTES
from auth.http.edge.runner import HttpRunner
from auth.platform.metrics import Metrics
from auth.platform.open_connections import OpenConnections
from auth.platform.settings.settings import Network, Settings
from realtime.engine.packets import Incoming
from realtime.engine.sockets import Received


@asynccontextmanager
async def served(
    handler: Callable[[web.Request], object], port: int, *, proxies: Sequence[Network] = ()
) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/", handler)  # type: ignore[arg-type] # handlers of both kinds
    runner = HttpRunner(
        app, open_connections=OpenConnections(0, proxies=proxies, metrics=Metrics()), shutdown_timeout=1
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


class Ticks:
    """Somebody else on the event loop."""

    def __init__(self) -> None:
        self.seen = 0

    async def run(self) -> None:
        for self.seen in itertools.count():
            await asyncio.sleep(0)


@asynccontextmanager
async def ticking() -> AsyncIterator[Ticks]:
    ticks = Ticks()
    task = asyncio.create_task(ticks.run())
    try:
        yield ticks
    finally:
        task.cancel()


async def test_an_idle_connection_of_a_proxy_outlives_those_of_others(
    unused_tcp_port_factory: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load balancer that sends into a connection that was closed meanwhile answers its client with 502."""
    monkeypatch.setattr("auth.http.edge.runner.IDLE_SECONDS", 0.2)
    ports = unused_tcp_port_factory(), unused_tcp_port_factory()

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    async with (
        served(answer, ports[0], proxies=[ip_network("127.0.0.1")]),
        served(answer, ports[1]),
    ):
        streams = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
        for reader, writer in streams:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        (by_proxy, to_server), (other, _) = streams
        assert await other.read() == b""
        to_server.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await by_proxy.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        for _, writer in streams:
            writer.close()


async def test_between_two_requests_that_came_together_others_get_their_turn(unused_tcp_port: int) -> None:
    turns: list[int] = []

    async def answer(_: web.Request) -> web.Response:
        turns.append(ticks.seen)  # waits for nothing, as many do
        return web.Response()

    async with ticking() as ticks, served(answer, unused_tcp_port):
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        for _ in range(1000):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
    assert len(turns) == 1000
    assert all(later > earlier for earlier, later in itertools.pairwise(turns))


async def test_a_body_in_tiny_chunks_is_parsed_a_piece_in_a_turn_and_arrives_whole(unused_tcp_port: int) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    body = bytes(range(256)) * 100
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    assert len(chunks) > 8 * PIECE_BYTES
    async with served(echo, unused_tcp_port):
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
        writer.close()


class TestCrowd:
    """What is counted of an address."""

    @staticmethod
    def open_connections(most: int = 2, proxies: str = "") -> OpenConnections:
        networks = Settings.load({"VIGIL_TRUSTED_PROXIES": proxies}).server.trusted_proxies
        return OpenConnections(most, proxies=networks, metrics=Metrics())

    def test_it_is_full_at_the_cap_until_somebody_leaves(self) -> None:
        open_connections = self.open_connections()
        assert [open_connections.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
        assert open_connections.enter("192.0.2.2")
        open_connections.leave("192.0.2.1")
        assert open_connections.enter("192.0.2.1")

    def test_a_network_of_ipv6_is_one_and_an_address_of_ipv4_is_itself_in_either_form(self) -> None:
        open_connections = self.open_connections()
        assert [open_connections.enter(f"2001:db8::{host}") for host in "123"] == [True, True, False]
        assert open_connections.enter("2001:db8:0:1::1")
        assert [open_connections.enter(each) for each in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1")] == [
            True,
            True,
            False,
        ]

    def test_a_proxy_is_never_counted_and_nothing_is_when_there_is_no_cap(self) -> None:
        open_connections = self.open_connections(proxies="10.0.0.0/8")
        assert all(open_connections.enter("::ffff:10.1.2.3") for _ in range(100))
        assert all(self.open_connections(0).enter("192.0.2.1") for _ in range(100))
        assert len(open_connections) == 0

    def test_nothing_stays_of_addresses_that_have_left(self) -> None:
        open_connections = self.open_connections()
        for number in range(100):
            open_connections.enter(f"192.0.2.{number}")
            open_connections.add(f"192.0.2.{number}")
        for number in range(100):
            open_connections.leave(f"192.0.2.{number}")
            open_connections.leave(f"192.0.2.{number}")
        assert len(open_connections) == 0
        assert open_connections._open == {}

    def test_one_at_the_cap_is_in_and_one_beyond_it_is_not(self) -> None:
        open_connections = self.open_connections()
        for expected in (False, False, True):
            open_connections.add("192.0.2.1")
            assert open_connections.is_full("192.0.2.1") is expected


@pytest.mark.parametrize("number", ["", "7"])
def test_an_event_beyond_the_limit_on_events_counts_as_ten_frames(number: str) -> None:
    class Engine:
        owed = 0
        spending: "Engine"

        def add_frames(self, frames: int) -> None:
            self.owed += frames

    class Member:
        is_connected = True
        namespace = "/"

        def __init__(self) -> None:
            self.sent: list[bytes] = []
            self.engine = Engine()
            self.engine.spending = self.engine

        def send(self, packets: list[bytes]) -> None:
            self.sent += packets

    member = Member()
    Received(member, Incoming(f'2{number}["x"]')).refuse({"ok": False})  # type: ignore[arg-type] # what is used of it
    # The frame itself is the tenth.
    assert member.engine.owed == 9
    assert member.sent == ([b'437[{"ok":false}]'] if number else [])
