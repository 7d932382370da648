"""What makes no sense ends its connection at once, with a reason and without a surprise in the log.

What of it is sent before the handshake stands in tests/realtime/test_hostile_input.py.
"""

import asyncio
import io
import json
from statistics import median
from typing import Any

import aiohttp
from support.hostile_frames import CLOSING
from support.raw_socket import Polling, RawSocket
from support.waiting import Stopwatch
from support.wire import BINARY, CONTINUATION, TEXT, Wire, frame

DISCONNECT_SECONDS = 1
# Engine.IO would notice by itself in 45 s; what a busy machine needs at most is well below that.
AT_MOST_SECONDS = 10

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


async def test_it_is_gone_at_once_and_the_peer_and_the_log_are_told_why(
    attacked: Any, token: Any, watching: Any
) -> None:
    times = {}
    for name, frames in (CLOSING | {name: [data] for name, data in BROKEN.items()}).items():
        before = len(attacked.log)
        async with Wire.open(attacked.url) as wire:
            await wire.connect(token)
            socket_id = (await wire.wait_for("2", event="ready")).data[1]["socketId"]
            # It reads nothing and hangs up only at the end: who ends it is the node.
            for each in frames:
                (wire.write if name in BROKEN else wire.send)(each)
            times[name] = await gone_after(watching, socket_id)
            code = await wire.until_closed(timeout=30)
        if name in CLOSING and name != "the end":
            assert code is not None, f"{name}: cut off without a word"
            assert code not in {1000, 1005}, name
            assert code < 3000, name
            (line,) = await attacked.logged('"event":"socket_bad_packet"', after=before)
            assert json.loads(line)["level"] == "info"
    assert max(times.values()) < AT_MOST_SECONDS, times
    assert median(times.values()) < DISCONNECT_SECONDS, times


async def test_by_polling_too(attacked: Any, http: aiohttp.ClientSession, token: Any, watching: Any) -> None:
    times = {}
    for name, frames in CLOSING.items():
        if not all(isinstance(each, str) for each in frames):
            continue
        polling = await Polling.open(attacked.url, http)
        await polling.send(b"40" + json.dumps(token).encode())
        ready = json.loads((await polling.until("ready")).split("\x1e")[-1].removeprefix("42"))
        await polling.send(io.BytesIO("\x1e".join(frames).encode()))
        times[name] = await gone_after(watching, ready[1]["socketId"])
    assert max(times.values()) < AT_MOST_SECONDS, times
    assert median(times.values()) < DISCONNECT_SECONDS, times
