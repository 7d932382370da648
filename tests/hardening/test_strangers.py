"""Who has not authenticated: gone in 5 s whatever it does meanwhile, and not let in any number of times."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from support.raw_socket import HANDSHAKE, Polling, RawSocket
from support.waiting import Stopwatch
from support.wire import PING, TEXT, Wire, frame

AUTHENTICATE_SECONDS = 5
# By which time a busy machine has noticed, and long before Engine.IO's own timeout of 45 s.
LATE_SECONDS = 5


async def quiet(wire: Wire) -> None:
    await asyncio.sleep(60)


async def answers_pings_that_nobody_sent(wire: Wire) -> None:
    while True:
        wire.send("3")
        wire.write(frame(PING, b"still there?"))
        await asyncio.sleep(0.2)


async def tries_tokens(wire: Wire) -> None:
    while True:
        wire.send('40{"token":"x"}')
        await asyncio.sleep(0.5)


async def tries_namespaces(wire: Wire) -> None:
    while True:
        wire.send('40/admin,{"token":"x"}')
        await asyncio.sleep(0.5)


async def dribbles_one_message(wire: Wire) -> None:
    wire.write(frame(TEXT, b"40", fin=False))
    while True:
        wire.write(frame(0, b" ", fin=False))
        await asyncio.sleep(0.2)


BEHAVIOUR = (
    quiet, answers_pings_that_nobody_sent, tries_tokens, tries_namespaces, dribbles_one_message
)  # fmt: skip


@asynccontextmanager
async def behaving(url: str, behaviour: Any) -> AsyncIterator[Any]:
    async with Wire.open(url) as wire:
        acting = asyncio.create_task(behaviour(wire))
        yield wire
        acting.cancel()


async def test_who_does_not_authenticate_is_gone_in_five_seconds_whatever_it_does(
    attacked: Any, http: aiohttp.ClientSession, token: Any, watching: Any
) -> None:
    async def lasts(behaviour: Any) -> float:
        watch = Stopwatch()
        async with behaving(attacked.url, behaviour) as wire:
            assert await wire.until_closed(timeout=20) is not None, "closed without a close frame"
        return watch.seconds

    async def polls(says: bytes | None) -> float:
        watch = Stopwatch()
        polling = await Polling.open(attacked.url, http)
        resting = asyncio.create_task(polling.rest(timeout=20))
        while says is not None and not resting.done():
            await polling.send(says)
            await asyncio.sleep(0.3)
        await resting
        return watch.seconds

    watch = Stopwatch()
    async with RawSocket.open(attacked.url) as friend:
        await friend.connect(token)
        times = await asyncio.gather(*map(lasts, BEHAVIOUR), polls(None), polls(b"3"))
        if watch.seconds > AUTHENTICATE_SECONDS + 1:  # who did authenticate is still here
            assert (await friend.ask("sessions-list", {}))["ok"] is True
    assert all(AUTHENTICATE_SECONDS - 0.5 <= each <= AUTHENTICATE_SECONDS + LATE_SECONDS for each in times), times


async def test_it_is_gone_also_when_it_answers_no_close_and_when_it_never_finishes_an_upgrade(
    attacked: Any, http: aiohttp.ClientSession, watching: Any
) -> None:
    """Not only told to go: the connection itself has ended."""

    async def lasts(path: str, watch: Stopwatch) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(attacked.url).port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        said = await reader.read()
        writer.transport.abort()
        assert said.startswith(b"HTTP/1.1 101")
        return watch.seconds

    watch = Stopwatch()
    polling = await Polling.open(attacked.url, http)
    async with asyncio.timeout(AUTHENTICATE_SECONDS + LATE_SECONDS):
        times = await asyncio.gather(
            lasts(HANDSHAKE + "websocket", watch),
            lasts(f"{HANDSHAKE}websocket&sid={polling.sid}", watch),
        )
    assert all(each >= AUTHENTICATE_SECONDS - 0.5 for each in times), times


async def test_it_is_gone_also_when_it_never_reads_and_never_polls(
    attacked: Any, http: aiohttp.ClientSession, watching: Any
) -> None:
    polling = await Polling.open(attacked.url, http)
    watch = Stopwatch()
    while await polling.send(b"3") == 200:
        assert watch.seconds < AUTHENTICATE_SECONDS + LATE_SECONDS
        await asyncio.sleep(0.3)
    assert watch.seconds > AUTHENTICATE_SECONDS - 1


class TestHandshakesOfOneAddress:
    """Also those that stop at Engine.IO, and never say who they are."""

    LIMIT = 12

    @pytest.fixture
    def limited(self, start_node: Any) -> Any:
        return start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_SOCKET_CONNECTS=f"{self.LIMIT}/minute")

    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    async def test_they_are_bounded(self, limited: Any, http: aiohttp.ClientSession, transport: str) -> None:
        opened = 0
        for _ in range(5 * self.LIMIT):
            if transport == "polling":
                async with http.get(limited.url + HANDSHAKE + "polling") as answer:
                    status, headers = answer.status, dict(answer.headers)
            else:
                async with Wire.open(limited.url, greeted=False) as wire:
                    status, headers = read_head(wire.said)
            if status == 429:
                assert 0 < int(headers["Retry-After"]) <= 60
            else:
                assert status in {200, 101}
                opened += 1
        assert opened <= 2 * self.LIMIT
        # It says nothing of who has a connection already, nor of anything but live sockets.
        async with http.get(limited.url + "/health/live") as answer:
            assert answer.status == 200

    async def test_a_connection_that_is_there_is_not_a_handshake(
        self, limited: Any, http: aiohttp.ClientSession
    ) -> None:
        polling = await Polling.open(limited.url, http)
        for _ in range(3 * self.LIMIT):
            assert await polling.send(b"3") == 200


def read_head(head: str) -> tuple[int, dict[str, str]]:
    first, *lines = head.strip().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)
