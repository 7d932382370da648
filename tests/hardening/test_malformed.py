"""What makes no sense ends its connection at once, with a reason and without a surprise in the log.

tests/realtime/test_hostile_input.py has the whole catalogue; here stands how soon each ends, and how.
"""

import asyncio
import io
import json
from statistics import median
from typing import Any

import aiohttp
import pytest
from support.raw_socket import Polling, RawSocket
from support.waiting import Stopwatch
from support.wire import BINARY, CONTINUATION, TEXT, Wire, frame

DISCONNECT_SECONDS = 1
# Engine.IO would notice by itself in 45 s; what a busy machine needs at most is well below that.
AT_MOST_SECONDS = 10
DEEP = "[" * 100_000 + "]" * 100_000

# Messages of Socket.IO that no client sends.
MALFORMED: dict[str, str] = {
    "no packet at all": "4x",
    "an unknown type": "47",
    "an event without a name": "42[]",
    "a number for a name": "42[1]",
    "cut JSON": '42["sessions-list",{"a":',
    "nesting without end": f'42["sessions-list",{DEEP}]',
    "a huge number": '42["sessions-list",' + "9" * 200_000 + "e" + "9" * 20 + "]",
    "a huge id": "42" + "9" * 200_000 + '["sessions-list"]',
    "NaN": '42["sessions-list",NaN]',
    "Infinity": '42["sessions-list",{"a":-Infinity}]',
    "half a surrogate pair": '42["sessions-list","\\ud800"]',
    "half a surrogate pair for a name": '42["\\udc00"]',
    "a second handshake": "40{}",
    "a huge message": '42["sessions-list","' + "x" * 2_000_000 + '"]',
    "attachments that are not counted": '45["sessions-list",{"_placeholder":true,"num":0}]',
}

# Frames that no WebSocket sends (RFC 6455), as bytes.
BROKEN: dict[str, bytes] = {
    "compressed, though nobody agreed to it": frame(TEXT, b'42["x"]', rsv=4),
    "reserved bits": frame(TEXT, b'42["x"]', rsv=3),
    "an unknown type of frame": frame(0x3, b"x"),
    "an unknown type of control frame": frame(0xB, b"x"),
    "a ping of 126 bytes": frame(0x9, b"x" * 126),
    "a ping in pieces": frame(0x9, b"x", fin=False),
    "a close frame of one byte": frame(0x8, b"x"),
    "a close frame with a code that does not exist": frame(0x8, (999).to_bytes(2)),
    "a close frame that is not UTF-8": frame(0x8, (1000).to_bytes(2) + b"\xff"),
    "the rest of nothing": frame(CONTINUATION, b"x"),
    "a message within another": frame(TEXT, b"4", fin=False) + frame(TEXT, b"2[]"),
    "text that is not UTF-8": frame(TEXT, b'42["\xff\xfe"]'),
    "half a surrogate pair, as bytes": frame(TEXT, b'42["\xed\xa0\x80"]'),
    "more than it may hold, as announced": frame(TEXT, b"42", length=1 << 40),
    "more than it can hold, as announced": frame(BINARY, b"42", length=(1 << 64) - 1),
    "pieces of a message without end": frame(BINARY, b"x" * 900_000, fin=False)
    + frame(CONTINUATION, b"x" * 900_000, fin=False),
}


async def gone_after(watching: RawSocket, socket_id: str) -> float:
    """How long until the application is told that a socket has gone; it is asked for no longer than that."""
    watch = Stopwatch()
    while watch.seconds < AT_MOST_SECONDS:
        seen = (await watching.ask("probe:seen", {}))["seen"]
        if ["disconnected", socket_id] in [[hook, of] for hook, _, of in seen]:
            return watch.seconds
        await asyncio.sleep(0.02)
    return watch.seconds


async def test_the_disconnect_comes_at_once(attacked: Any, token: Any, watching: Any) -> None:
    times = {}
    broken: dict[str, Any] = {name: frame(TEXT, text.encode()) for name, text in MALFORMED.items()} | BROKEN
    for name, data in broken.items():
        async with Wire.open(attacked.url) as wire:
            await wire.connect(token)
            socket_id = (await wire.wait_for("2", event="ready")).data[1]["socketId"]
            # It reads nothing and hangs up only at the end: who ends it is the node.
            wire.write(data)
            times[name] = await gone_after(watching, socket_id)
    assert max(times.values()) < AT_MOST_SECONDS, times
    assert median(times.values()) < DISCONNECT_SECONDS, times


async def test_by_polling_too(attacked: Any, http: aiohttp.ClientSession, token: Any, watching: Any) -> None:
    times = {}
    for name, text in MALFORMED.items():
        polling = await Polling.open(attacked.url, http)
        await polling.send(b"40" + json.dumps(token).encode())
        ready = json.loads((await polling.until("ready")).split("\x1e")[-1].removeprefix("42"))
        await polling.send(io.BytesIO(text.encode()))
        times[name] = await gone_after(watching, ready[1]["socketId"])
    assert max(times.values()) < AT_MOST_SECONDS, times
    assert median(times.values()) < DISCONNECT_SECONDS, times


async def test_a_client_that_does_not_mask_its_frames_is_refused(attacked: Any, token: Any) -> None:
    """RFC 6455, section 5.1: "The server MUST close the connection upon receiving a frame that is not masked"."""
    async with Wire.open(attacked.url) as wire:
        wire.write(frame(TEXT, b"40" + json.dumps(token).encode(), mask=False))
        assert await wire.until_closed(timeout=30) == 1002


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
async def test_the_peer_is_told_why_and_so_is_the_log(attacked: Any, token: Any, watching: Any, data: str) -> None:
    before = len(attacked.log)
    async with Wire.open(attacked.url) as wire:
        await wire.connect(token)
        wire.send(data)
        code = await wire.until_closed(timeout=30)
        assert code is not None, "cut off without a word"
        assert code not in {1000, 1005}
        assert code < 3000
    (line,) = await attacked.logged('"event":"socket_bad_packet"', after=before)
    assert json.loads(line)["level"] == "info"


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_a_frame_that_no_websocket_sends_closes_the_connection(
    attacked: Any, token: Any, watching: Any, data: bytes
) -> None:
    for auth in (None, token):
        async with Wire.open(attacked.url) as wire:
            if auth is not None:
                await wire.connect(auth)
            wire.write(data)
            await wire.until_closed(timeout=30)


async def test_frames_in_pieces_with_control_frames_between_are_read(
    attacked: Any, token: Any, watching: Any
) -> None:
    async with Wire.open(attacked.url) as wire:
        await wire.connect(token)
        event = b'427["sessions-list",{}]'
        wire.write(frame(TEXT, event[:1], fin=False) + frame(0x9, b"still there?"))
        for byte in event[1:-1]:
            wire.write(frame(CONTINUATION, bytes((byte,)), fin=False))
            wire.write(frame(0xA, b""))
        wire.write(frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, event[-1:]))
        assert (await wire.wait_for("3", 7)).data[0]["ok"] is True


@pytest.mark.parametrize("data", ["42[]", "4x", '42["seen",NaN'])
async def test_the_stock_does_not_close_and_tells_its_log_a_long_story(stock: Any, data: str) -> None:
    before = len(stock.log)
    async with Wire.open(stock.url) as wire:
        await wire.connect()
        wire.send(data)
        # Served as if nothing had been, and so it stays.
        assert (await wire.ask("seen", {}))["ok"] is True
    await stock.logged("Traceback", after=before)
