"""Peers that send a request as slowly as they can (slowloris): each is closed in time, and nobody else waits."""

import asyncio
import errno
import os
import resource
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from support.clients import Api
from support.nodes import Node
from support.raw_socket import Polling
from support.waiting import eventually

CONNECTIONS = 1500
# How many of them are opened at a time.
BATCH = 100
# What docs/protocol.md gives a request's headers, and its body.
REQUEST_SECONDS = 10
# How much later than that a busy machine may notice.
LATE_SECONDS = 20
UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
FORM = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"

# What is sent at once; a byte a second follows, of a header that never ends or of a body. Nothing follows nothing.
SLOW = {
    "nothing": "",
    "a request line": "GET /health/",
    "headers": "GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Long: ",
    "a WebSocket's headers": UPGRADE + "X-Long: ",
    "a poll's headers": "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\nX-Long: ",
    "headers after a request": "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health/live HTTP/1.1\r\n",
    "a body": f"POST /api/auth/login HTTP/1.1\r\n{FORM}",
    "a body in chunks": (
        "POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\nffff\r\n"
    ),
    "a body that nobody reads": f"POST /health/live HTTP/1.1\r\n{FORM}",
    "a body behind an upgrade": (
        "POST /api/auth/login HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + FORM
    ),
}
# What came behind an upgrade that is declined; nothing follows it.
DECLINED = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
STILL = {
    "a body behind a declined upgrade": f"{DECLINED}POST /api/auth/login HTTP/1.1\r\n{FORM}",
    "headers behind a declined upgrade": f"{DECLINED}POST /api/auth/login HTTP/1.1\r\nHost: loc",
    "a body behind two": f"{DECLINED}{DECLINED}POST /api/auth/login HTTP/1.1\r\n{FORM}",
}


class Dribble(asyncio.Protocol):
    """One connection that is never done with its request."""

    def __init__(self, head: str) -> None:
        self.closed: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.answered = b""
        self._head = head
        self._began = 0.0
        self._transport: Any = None

    async def connect(self, host: str, port: int) -> None:
        # Before the connection: the server may take it before this process is told that it is open.
        self._began = time.monotonic()
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self._head:
            transport.write(self._head.encode())

    def data_received(self, data: bytes) -> None:
        self.answered += data

    def connection_lost(self, _: Exception | None) -> None:
        self.closed.set_result(time.monotonic() - self._began)

    def more(self) -> None:
        """The next byte."""
        if self._head and self._head not in STILL.values() and not self._transport.is_closing():
            self._transport.write(b"1")

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@asynccontextmanager
async def dribbling(node: Node, heads: list[str]) -> AsyncIterator[list[Dribble]]:
    """Connections that send one of `heads` each and then a byte a second."""
    parts = urlsplit(node.url)
    peers = [Dribble(head) for head in heads]

    async def drip() -> None:
        while True:
            await asyncio.sleep(1)
            for peer in peers:
                peer.more()

    assert parts.hostname is not None
    assert parts.port is not None
    for start in range(0, len(peers), BATCH):
        batch = peers[start : start + BATCH]
        await asyncio.gather(*(peer.connect(parts.hostname, parts.port) for peer in batch))
    dripping = asyncio.create_task(drip())
    try:
        yield peers
    finally:
        dripping.cancel()
        for peer in peers:
            peer.hang_up()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for thousands of sockets, here and in the nodes that the test starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS + 1000
    assert hard == resource.RLIM_INFINITY or hard >= wanted, "the machine allows too few open files for this test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files(node: Node) -> int:
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


async def test_whatever_is_sent_too_slowly_is_cut_off_in_time(node: Node, http: aiohttp.ClientSession) -> None:
    before = len(node.log)
    polling = await Polling.open(node.url, http)
    slow = SLOW | STILL | {"a packet": f"POST {polling.url.removeprefix(node.url)} HTTP/1.1\r\n{FORM}4"}
    async with dribbling(node, list(slow.values())) as peers:
        ends = await asyncio.gather(*(asyncio.wait_for(peer.closed, 3 * REQUEST_SECONDS) for peer in peers))
    for what, seconds, peer in zip(slow, ends, peers, strict=True):
        # What is refused before its body has come may be closed at once.
        least = 0 if peer.answered.startswith(b"HTTP/1.1 4") else REQUEST_SECONDS - 1
        assert least <= seconds <= REQUEST_SECONDS + LATE_SECONDS, (what, seconds, peer.answered)
    assert "Traceback" not in "\n".join(node.log[before:])


# Answers of some megabytes, for a peer that takes little at a time.
ASKED = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60


async def ask_without_reading(node: Node) -> socket.socket:
    """A connection on which more answers are due than the kernels keep, none of them read."""
    parts = urlsplit(node.url)
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(peer, (parts.hostname, parts.port))
    await loop.sock_sendall(peer, ASKED)
    return peer


async def test_answers_that_nobody_reads_are_dropped_and_those_read_slowly_are_not(node: Node) -> None:
    before = len(node.log)
    idle, slow = await ask_without_reading(node), await ask_without_reading(node)

    async def is_dropped() -> bool:
        return idle.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET

    async def take_little() -> None:
        loop = asyncio.get_running_loop()
        while True:
            assert await loop.sock_recv(slow, 4096), "the slow reader was dropped"
            await asyncio.sleep(0.05)

    reading = asyncio.create_task(take_little())
    await eventually(is_dropped, "the unread connection is dropped", timeout=60)
    assert not reading.done()
    reading.cancel()
    idle.close()
    slow.close()
    assert "Traceback" not in "\n".join(node.log[before:])


async def test_a_peer_that_hangs_up_in_the_middle_of_its_body_is_no_failure_of_ours(
    node: Node, http: aiohttp.ClientSession
) -> None:
    before = len(node.log)
    async with dribbling(node, [SLOW["a body"], SLOW["a body in chunks"]]) as peers:
        await asyncio.sleep(0.5)
        for peer in peers:
            peer.hang_up()
        await asyncio.gather(*(peer.closed for peer in peers))
    # What they left in the log stands there before the line of a request that came later.
    marker = secrets.token_hex(12)
    await Api(node.url, http).call("GET", "/me", headers={"X-Request-Id": marker})

    async def logged() -> bool:
        return marker in node.text()

    await eventually(logged, "the later request is in the log", timeout=30)
    assert "Traceback" not in "\n".join(node.log[before:])


async def test_a_connection_that_takes_its_time_between_requests_is_not(node: Node) -> None:
    parts = urlsplit(node.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def answered() -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))

    for piece in (request, b"".join([request] * 3), request[:20]):
        writer.write(piece)
        for _ in range(piece.count(b"\r\n\r\n")):
            await answered()
    # The rest of what was begun, a little later; then nothing for longer than a request may take.
    await asyncio.sleep(1)
    writer.write(request[20:])
    await answered()
    await asyncio.sleep(REQUEST_SECONDS + 2)
    writer.write(request)
    await answered()
    writer.close()


async def test_1500_slow_connections_are_closed_and_others_are_served_meanwhile(
    many_files: Any, start_node: Any, http: aiohttp.ClientSession
) -> None:
    node = start_node(VIGIL_CONNECTIONS_PER_ADDRESS="0")
    api = Api(node.url, http)
    login = await api.login(await api.register())
    assert (await login.call("GET", "/me")).status == 200
    before = open_files(node)
    kinds = [SLOW[kind] for kind in ("headers", "a WebSocket's headers", "a poll's headers", "a body")]
    times: list[float] = []

    async def others() -> None:
        while True:
            began = time.monotonic()
            assert (await login.call("GET", "/me")).status == 200
            times.append(time.monotonic() - began)
            await asyncio.sleep(0.01)

    using = asyncio.create_task(others())
    async with dribbling(node, [kinds[n % len(kinds)] for n in range(CONNECTIONS)]) as peers:
        ends = await asyncio.gather(*(asyncio.wait_for(peer.closed, 3 * REQUEST_SECONDS) for peer in peers))
        assert not using.done()
        using.cancel()
    assert min(ends) >= REQUEST_SECONDS - 1
    assert max(ends) <= REQUEST_SECONDS + LATE_SECONDS
    assert quantiles(times, n=100)[98] < REQUEST_SECONDS / 2

    async def returned() -> bool:
        return open_files(node) <= before + 5

    await eventually(returned, "the files are given back", timeout=30)
    assert "Traceback" not in node.text()
