"""An event may announce ten attachments and a megabyte with them; the rest is not collected, but refused."""

import json
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from support.processes import resident_kib
from support.raw_socket import Polling
from support.wire import PING, PONG, Wire, frame

MOST_ATTACHMENTS = 10
MOST_BYTES = 1_000_000
# What the attacker pours in, and how much of it may stay.
PIECE, PIECES = b"\0" * 500_000, 120
MOST_KEPT_KIB = 20_000
# Peers that announce an attachment and never send it.
WAITING = 15


def announced(count: int | str, *, name: str = "probe:silent", number: str = "") -> str:
    places = [{"_placeholder": True, "num": n} for n in range(min(int(count), MOST_ATTACHMENTS))]
    return f"45{count}-{number}{json.dumps([name, {'pieces': places}])}"


@pytest.mark.parametrize("count", [MOST_ATTACHMENTS + 1, 1000, 999_999_999, "9" * 30, 0])
async def test_more_attachments_than_ten_are_refused_when_they_are_announced(
    attacked: Any, token: Any, watching: Any, count: Any
) -> None:
    for kind in "56":
        async with Wire.open(attacked.url) as wire:
            await wire.connect(token)
            wire.send(f"4{kind}{announced(count, number='1')[2:]}")
            assert await wire.until_closed(timeout=30) is not None


async def test_what_is_poured_in_behind_such_an_announcement_is_not_kept(
    attacked: Any, token: Any, watching: Any
) -> None:
    before = resident_kib(attacked)
    async with Wire.open(attacked.url) as wire:
        await wire.connect(token)
        wire.send(announced(999_999_999))
        for _ in range(PIECES):
            wire.send(PIECE)
            try:
                await wire.writer.drain()
            except ConnectionError:
                break
        await wire.until_closed(timeout=30)
        assert resident_kib(attacked) - before < MOST_KEPT_KIB


async def test_ten_attachments_of_a_megabyte_together_are_taken_and_a_byte_more_is_not(
    attacked: Any, token: Any, watching: Any
) -> None:
    event = announced(MOST_ATTACHMENTS, number="1")
    room = MOST_BYTES - len(event)
    for size, taken in ((room // MOST_ATTACHMENTS, True), (MOST_BYTES // MOST_ATTACHMENTS + 1, False)):
        async with Wire.open(attacked.url) as wire:
            await wire.connect(token)
            wire.send(event)
            for _ in range(MOST_ATTACHMENTS):
                wire.send(b"\0" * size)
            if taken:
                # They came through whole, and are more than an event's payload may be.
                assert (await wire.wait_for("3", 1)).data[0]["code"] == "invalid_request"
            else:
                assert await wire.until_closed(timeout=30) is not None


async def test_an_event_that_waits_for_its_attachment_takes_what_was_sent_and_not_many_times_that(
    attacked: Any, token: Any, watching: Any
) -> None:
    lists = ",".join(["[]"] * 300_000)
    before = resident_kib(attacked)
    async with AsyncExitStack() as stack:
        for _ in range(WAITING):
            wire = await stack.enter_async_context(Wire.open(attacked.url))
            await wire.connect(token)
            wire.send(f'451-["probe:silent",{{"pieces":[{lists}]}}]')
            await wire.writer.drain()
            # It has been taken in when the ping behind it is answered, or the connection is closed for it.
            wire.write(frame(PING, b"taken"))
            while (await wire.read() or (PONG, b"")) != (PONG, b"taken"):
                if wire.reader.at_eof():
                    break
        assert resident_kib(attacked) - before < 3 * WAITING * len(lists) // 1024 + MOST_KEPT_KIB


async def test_the_same_holds_for_polling(
    attacked: Any, http: aiohttp.ClientSession, token: Any, watching: Any
) -> None:
    for payload in (announced(999_999_999), announced(11), announced(3) + "\x1eb" + "AAAA" * 10 + "\x1e42[]"):
        polling = await Polling.open(attacked.url, http)
        await polling.send(b"40" + json.dumps(token).encode())
        await polling.until("ready")
        await polling.send(payload.encode())
        await polling.rest(timeout=30)
