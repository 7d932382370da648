"""Peers that send as fast as they can: each is slowed down, then closed, and nobody else is kept waiting for long.

How long others wait is measured by `make bench ARGS="--only flood_1,flood_50"`; here stands what holds on any
machine.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from support.clients import Api
from support.nodes import Node
from support.raw_socket import Polling, RawSocket
from support.wire import CONTINUATION, PING, PONG, TEXT, Wire, frame

CHUNK = 60_000
POLICY = 1008
# A second and more for what a peer may send at once, five until it is closed; the rest is for a busy machine.
CLOSED_SECONDS = 60
ANSWER_SECONDS = 10


def many(data: bytes) -> bytes:
    return data * (CHUNK // len(data))


# What a peer sends at first, over and over, and in pieces of how many bytes.
FLOODS: dict[str, tuple[bytes, bytes, int]] = {
    "pings": (b"", many(frame(PING, b"")), CHUNK),
    "pongs": (b"", many(frame(PONG, b"")), CHUNK),
    "pongs of Engine.IO": (b"", many(frame(TEXT, b"3")), CHUNK),
    "fragments of one byte": (frame(TEXT, b"4", fin=False), many(frame(CONTINUATION, b"x", fin=False)), CHUNK),
    "empty fragments": (frame(TEXT, b"4", fin=False), many(frame(CONTINUATION, b"", fin=False)), CHUNK),
}
# What only those may send who are logged in.
EVENTS = {
    "tiny events": (b"", many(frame(TEXT, b'42["a",{}]')), CHUNK),
    "events that ask for an ack": (b"", many(frame(TEXT, b'421["a",{}]')), CHUNK),
    "events in two": (b"", many(frame(TEXT, b'42["a",{}]')), 9),
}


async def send(wire: Wire, first: bytes, data: bytes, piece: int) -> None:
    wire.write(first)
    with contextlib.suppress(ConnectionError):
        while True:
            for start in range(0, len(data), piece):
                wire.write(data[start : start + piece])
                # One piece, one packet: what is written in one turn of the loop goes together.
                await wire.writer.drain()
                await asyncio.sleep(0)


async def flood(
    node: Node, token: dict[str, str] | None, what: tuple[bytes, bytes, int]
) -> tuple[str, int | None]:
    """Send without end; the connection's id, and the code of the close frame."""
    async with Wire.open(node.url) as wire:
        if token is not None:
            await wire.connect(token)
        sending = asyncio.create_task(send(wire, *what))
        try:
            return wire.opened["sid"], await wire.until_closed(timeout=CLOSED_SECONDS)
        finally:
            sending.cancel()


async def flood_by_polling(node: Node, http: Any, token: dict[str, str]) -> tuple[str, int]:
    """Post without end, and poll meanwhile; the connection's id, and the answer that is no `ok`."""
    polling = await Polling.open(node.url, http)
    await polling.send(b"40" + json.dumps(token).encode())
    resting = asyncio.create_task(polling.rest(timeout=CLOSED_SECONDS))
    async with asyncio.timeout(CLOSED_SECONDS):
        while (status := await polling.send("\x1e".join(["3"] * 128))) == 200:
            pass
    await resting  # it is over, not only refused
    return polling.sid, status


@contextlib.asynccontextmanager
async def staying(node: Node, token: dict[str, str], what: tuple[bytes, bytes, int]) -> AsyncIterator[None]:
    """Peers that come again and again while others are served."""

    async def stay() -> None:
        while True:
            with contextlib.suppress(AssertionError, OSError):
                await flood(node, token, what)

    peers = [asyncio.create_task(stay()) for _ in range(5)]
    try:
        yield
    finally:
        for peer in peers:
            peer.cancel()


async def test_who_floods_is_closed_with_1008_whatever_it_sends_logged_in_or_not(
    attacked: Node, http: aiohttp.ClientSession, token: Any, watching: Any
) -> None:
    logged_in = FLOODS | EVENTS
    *ends, polled = await asyncio.gather(
        *(flood(attacked, token, what) for what in logged_in.values()),
        # Who is not has five seconds in any case, and is closed with that code then at the latest.
        *(flood(attacked, None, what) for what in FLOODS.values()),
        flood_by_polling(attacked, http, token),
    )
    assert [code for _, code in ends] == [POLICY] * len(ends)
    assert polled[1] == 400
    flooded = [polled[0], *(sid for sid, _ in ends[: len(logged_in)])]
    for sid in flooded:
        await attacked.logged('"event":"socket_flood"', sid)


async def test_others_are_served_meanwhile_and_no_revocation_is_late(
    attacked: Node, http: aiohttp.ClientSession, victim: Any, token: Any
) -> None:
    api = Api(attacked.url, http)
    other = await api.login(victim.data["user"]["email"])
    before = len(attacked.log)
    flooding = staying(attacked, token, EVENTS["events that ask for an ack"])
    async with Wire.open(attacked.url) as ended, RawSocket.open(attacked.url) as watching, flooding:
        await ended.connect({"token": other.access_token})
        await watching.connect(token)
        for _ in range(20):
            async with asyncio.timeout(ANSWER_SECONDS):
                assert (await api.call("GET", "/health/live")).status == 200
                assert (await watching.ask("probe:echo", {"text": "still here"}))["ok"] is True
        async with asyncio.timeout(ANSWER_SECONDS):
            assert (
                await api.call("DELETE", f"/sessions/{other.session_id}", token=victim.access_token)
            ).status == 200
            await ended.wait_for("2", event="session-revoked")
            await ended.until_closed()
            assert (await api.call("GET", "/health/ready")).status == 200
    assert not [line for line in attacked.log[before:] if "bus_disconnected" in line]
