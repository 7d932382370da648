"""What every connection is given: an id that nobody guesses, and no compression."""

import asyncio
import math
from typing import Any

import aiohttp
import pytest
from support.nodes import Node
from support.raw_socket import Polling
from support.wire import Wire

CONNECTIONS = 400
AT_ONCE = 40
LEAST_BITS = 128
EXTENSIONS = "Sec-WebSocket-Extensions"


async def engine_ids(node: Node, http: Any, count: int) -> list[str]:
    ids: list[str] = []
    while len(ids) < count:
        opened = await asyncio.gather(*(Polling.open(node.url, http) for _ in range(AT_ONCE)))
        ids += [polling.sid for polling in opened]
    return ids


async def socket_ids(node: Node, token: dict[str, str] | None, count: int) -> list[str]:
    async def one() -> str:
        async with Wire.open(node.url) as wire:
            return str((await wire.connect(token)).data["sid"])

    ids: list[str] = []
    while len(ids) < count:
        ids += await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return ids


def bits(ids: list[str]) -> float:
    """How much could be random at most in ids like these: what varies, and by how much, letter by letter."""
    return sum(math.log2(len(set(letters))) for letters in zip(*ids, strict=True))


async def test_ids_hold_128_random_bits_or_more_and_never_come_twice(
    attacked: Any, http: aiohttp.ClientSession, token: Any, watching: Any
) -> None:
    of_engine = await engine_ids(attacked, http, CONNECTIONS)
    of_socket = await socket_ids(attacked, token, CONNECTIONS)
    assert bits(of_engine) >= LEAST_BITS
    assert bits(of_socket) >= LEAST_BITS
    # The one, which guards a polling connection, is not told by the other, which others may see.
    assert len({*of_engine, *of_socket}) == len(of_engine) + len(of_socket)


async def test_an_engine_id_is_not_the_socket_id(attacked: Any, token: Any, watching: Any) -> None:
    async with Wire.open(attacked.url) as wire:
        assert (await wire.connect(token)).data["sid"] != wire.opened["sid"]


@pytest.mark.parametrize(
    "offer", ["permessage-deflate", "permessage-deflate; client_max_window_bits", "x-webkit-deflate-frame"]
)
async def test_compression_is_not_agreed_to(attacked: Any, token: Any, watching: Any, offer: str) -> None:
    async with Wire.open(attacked.url, headers={EXTENSIONS: offer}) as wire:
        assert "sec-websocket-extensions" not in wire.said.lower()
        await wire.connect(token)
        assert (await wire.ask("probe:echo", {"text": "x" * 10_000}))["ok"] is True
