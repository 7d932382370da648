"""How many connections one address may have open: of its own, and behind a proxy."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from support.clients import ORIGIN, Api
from support.nodes import Installation, Node, ServiceUrls, drop
from support.raw_socket import HANDSHAKE
from support.waiting import eventually

MOST = 20
# Beyond the cap so many more are told why.
TOLD = MOST // 4
PROXY = "127.0.0.2"


@pytest.fixture(scope="module")
def capped(services: ServiceUrls) -> Iterator[Node]:
    installation = Installation(services)
    node = installation.start(VIGIL_CONNECTIONS_PER_ADDRESS=str(MOST), VIGIL_TRUSTED_PROXIES=PROXY)
    yield node
    assert node.stop() == 0
    drop(services, installation.name)


@asynccontextmanager
async def connection(node: Node, source: str) -> AsyncIterator[tuple[asyncio.StreamReader, Any]]:
    made = socket.socket()
    made.setblocking(False)
    made.bind((source, 0))
    parts = urlsplit(node.url)
    await asyncio.get_running_loop().sock_connect(made, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=made)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def head(reader: asyncio.StreamReader) -> str:
    return (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()


async def ask(node: Node, source: str, *lines: str, path: str = "/health/live") -> str:
    """The head of an answer to a request on a connection of its own; empty when there is none."""
    async with connection(node, source) as (reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode())
            return await head(reader)
    return ""


def is_served(answer: str) -> bool:
    return answer.startswith("HTTP/1.1 200")


async def served_again(node: Node, source: str, *lines: str) -> None:
    async def again() -> bool:
        return is_served(await ask(node, source, *lines))

    await eventually(again, "served again", timeout=10)


UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


async def open_websocket(stack: AsyncExitStack, node: Node, source: str, *lines: str) -> str:
    reader, writer = await stack.enter_async_context(connection(node, source))
    lines = ("GET " + HANDSHAKE + "websocket HTTP/1.1", "Host: localhost", *UPGRADE, *lines, "", "")
    writer.write("\r\n".join(lines).encode())
    return await head(reader)


async def test_one_too_many_gets_429_and_many_more_are_hung_up_on(capped: Node) -> None:
    source = "127.0.0.3"
    async with AsyncExitStack() as stack:
        for _ in range(MOST):
            await stack.enter_async_context(connection(capped, source))
        refused = await ask(capped, source)
        assert refused.startswith("HTTP/1.1 429 Too Many Requests")
        assert "\r\nRetry-After: 5\r\n" in refused
        assert "\r\nContent-Type: application/json" in refused
        assert "Access-Control-Allow-Origin" not in refused
        # A page of an allowed origin is told, as by any answer.
        told = await ask(capped, source, f"origin: {ORIGIN}")
        assert f"\r\nAccess-Control-Allow-Origin: {ORIGIN}\r\n" in told
        assert "\r\nAccess-Control-Expose-Headers: X-Request-Id, Retry-After" in told
        for lines in (["Origin: https://evil.example"], [f"Origin: {ORIGIN}"] * 2):
            assert "Access-Control" not in await ask(capped, source, *lines)
        # Of each address its own.
        assert is_served(await ask(capped, "127.0.0.4"))
        # They say nothing, and so have a second.
        idle = [await stack.enter_async_context(connection(capped, source)) for _ in range(3 * TOLD)]
        assert await asyncio.gather(*(asyncio.wait_for(gone(reader), 10) for reader, _ in idle))
        assert is_served(await ask(capped, "127.0.0.4"))
    await served_again(capped, source)


async def gone(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    return True


async def test_a_live_socket_counts_as_a_connection_does_and_a_closed_one_does_not(capped: Node) -> None:
    source = "127.0.0.5"
    async with AsyncExitStack() as stack:
        for _ in range(MOST):
            assert "101 Switching" in await open_websocket(stack, capped, source)
        assert "429 Too Many Requests" in await open_websocket(stack, capped, source)
    await served_again(capped, source)


async def test_behind_a_proxy_each_client_counts_and_the_proxy_does_not(capped: Node) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2 * MOST):
            await stack.enter_async_context(connection(capped, PROXY))
        crowded = "X-Forwarded-For: 2001:db8::1"
        for _ in range(MOST):
            assert "101 Switching" in await open_websocket(stack, capped, PROXY, crowded)
        for refused in (
            await ask(capped, PROXY, crowded),
            # The same network: a customer has a /64.
            await ask(capped, PROXY, "X-Forwarded-For: 2001:db8::ffff"),
        ):
            assert refused.startswith("HTTP/1.1 429")
            assert "\r\nRetry-After: 5\r\n" in refused
        assert is_served(await ask(capped, PROXY, "X-Forwarded-For: 2001:db8:0:1::1"))
        assert is_served(await ask(capped, PROXY))
    await served_again(capped, PROXY, crowded)


async def test_what_is_in_flight_behind_a_proxy_is_over_when_it_is_answered(
    capped: Node, http: aiohttp.ClientSession
) -> None:
    for _ in range(2 * MOST):
        assert is_served(await ask(capped, PROXY, "X-Forwarded-For: 203.0.113.7"))
    # A forwarded address is a claim of whoever is no proxy, and counts for nothing.
    async with AsyncExitStack() as stack:
        for number in range(MOST):
            await stack.enter_async_context(connection(capped, "127.0.0.6"))
            assert number < MOST
        assert "429" in await ask(capped, "127.0.0.6", "X-Forwarded-For: 203.0.113.8")
    assert (await Api(capped.url, http).call("GET", "/health/live")).status == 200


async def test_a_refused_connection_counts_until_it_is_closed_which_the_peer_cannot_delay(capped: Node) -> None:
    source = "127.0.0.9"
    async with AsyncExitStack() as kept:
        answers: list[str] = []
        # More than the cap, since the node closes the first ones while a busy machine opens the last ones.
        while len(answers) < 10 * MOST and "429" not in answers:
            reader, writer = await kept.enter_async_context(connection(capped, source))
            writer.write(b"not HTTP\r\n\r\n")
            answers.append((await head(reader)).split()[1])
        assert answers == ["400"] * (len(answers) - 1) + ["429"]

        async def again() -> bool:
            return is_served(await ask(capped, source))

        await eventually(again, "the node has closed those that the peer keeps open", timeout=30)
