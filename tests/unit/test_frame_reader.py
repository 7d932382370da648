"""The reader of a client's frames, and the WebSocket around it: in whatever pieces the bytes come."""

import asyncio
import struct
from typing import Any

import pytest
from support.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

from auth.platform.fair_turns import FairTurns
from realtime.engine.frame_reader import PART, UNFINISHED, Broken, FrameReader
from realtime.engine.timers import Timer, Timers
from realtime.engine.traffic_budget import TrafficBudget, TrafficUse
from realtime.engine.websocket import FRAMES_A_TURN, LARGE_READ, WebSocket

MAX_SIZE = 1000

# What a client may send, and what is made of it.
SENT: dict[str, tuple[bytes, list[tuple[int, Any]]]] = {
    "an empty text": (frame(TEXT, b""), [(TEXT, "")]),
    "a text": (frame(TEXT, "grüße".encode()), [(TEXT, "grüße")]),
    "bytes": (frame(BINARY, b"\0\xff"), [(BINARY, b"\0\xff")]),
    "125 bytes": (frame(BINARY, b"x" * 125), [(BINARY, b"x" * 125)]),
    "126 bytes": (frame(BINARY, b"x" * 126), [(BINARY, b"x" * 126)]),
    "the longest": (frame(BINARY, b"x" * MAX_SIZE), [(BINARY, b"x" * MAX_SIZE)]),
    "an eight-byte length": (
        bytes((0x82, 0xFF)) + struct.pack(">Q", 3) + b"\0\0\0\0abc",
        [(BINARY, b"abc")],
    ),
    "a ping": (frame(PING, b"still there?"), [(PING, b"still there?")]),
    "an empty pong": (frame(PONG, b""), [(PONG, b"")]),
    "a close": (frame(CLOSE, struct.pack(">H", 1000) + b"bye"), [(CLOSE, b"\x03\xe8bye")]),
    "an empty close": (frame(CLOSE, b""), [(CLOSE, b"")]),
    "a text in pieces, cut within a letter, with a ping between": (
        frame(TEXT, b"\xc3", fin=False) + frame(PING, b"x") + frame(CONTINUATION, b"\xbc"),
        [(PART, b""), (PING, b"x"), (TEXT, "ü")],
    ),
    "a text in empty pieces": (
        frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, b""),
        [(PART, b""), (PART, b""), (TEXT, "")],
    ),
}

# What it may not; and the code of the close frame that says so (RFC 6455, section 7.4.1).
REFUSED: dict[str, tuple[bytes, int]] = {
    "an unmasked text": (frame(TEXT, b"42", mask=False), 1002),
    "an unmasked ping": (frame(PING, b"", mask=False), 1002),
    "an unmasked close": (frame(CLOSE, b"\x03\xe8", mask=False), 1002),
    "an unmasked piece": (frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", mask=False), 1002),
    "reserved bits": (frame(TEXT, b"x", rsv=4), 1002),
    "an unknown kind": (frame(0x3, b"x"), 1002),
    "an unknown control frame": (frame(0xB, b"x"), 1002),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a ping in pieces": (frame(PING, b"x", fin=False), 1002),
    "the rest of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a message within another": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
    "a message within an empty beginning": (frame(TEXT, b"", fin=False) + frame(TEXT, b"x"), 1002),
    "a close of one byte": (frame(CLOSE, b"x"), 1002),
    "a close with a code nobody may send": (frame(CLOSE, struct.pack(">H", 1006)), 1002),
    "a close with no such code": (frame(CLOSE, struct.pack(">H", 999)), 1002),
    "a close that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a text that is not UTF-8": (frame(TEXT, b"\xff"), 1007),
    "a text that ends within a letter": (frame(TEXT, b"\xc3"), 1007),
    "one byte too many": (frame(BINARY, b"x" * (MAX_SIZE + 1)), 1009),
    "one byte too many, in pieces": (
        frame(BINARY, b"x" * MAX_SIZE, fin=False) + frame(CONTINUATION, b"x"),
        1009,
    ),
    "a length of 63 bits and more": (frame(BINARY, b"", length=(1 << 64) - 1), 1009),
}

FIRST = frame(TEXT, b"first")


def read_all(reader: FrameReader, pieces: list[bytes]) -> list[tuple[int, Any]]:
    """What comes of these reads, one after the other, as a connection makes them."""
    found: list[tuple[int, Any]] = []
    left = b""
    for piece in pieces:
        data, at = left + piece, 0
        while at < len(data):
            at, opcode, payload = reader.read(data, at)
            if opcode == UNFINISHED:
                break
            found.append((opcode, payload))
        left = data[at:]
        assert len(left) <= 13
    assert left == b""
    return found


def splits(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and cut in two at every byte."""
    cuts = range(1, len(data)) if len(data) < 60 else [*range(1, 30), len(data) // 2, len(data) - 1]
    return [[data], [data[at : at + 1] for at in range(len(data))], *([data[:at], data[at:]] for at in cuts)]


@pytest.mark.parametrize("kind", SENT)
def test_a_frame_is_the_same_wherever_it_is_split(kind: str) -> None:
    data, expected = SENT[kind]
    for pieces in splits(FIRST + data + FIRST):
        assert read_all(FrameReader(MAX_SIZE), pieces) == [(TEXT, "first"), *expected, (TEXT, "first")]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_wrong_is_refused_wherever_it_is_split_and_not_only_at_first(kind: str) -> None:
    data, code = REFUSED[kind]
    for before in (b"", FIRST, frame(PING, b"x")):
        for pieces in splits(before + data):
            with pytest.raises(Broken) as broken:
                read_all(FrameReader(MAX_SIZE), pieces)
            assert broken.value.code == code


def test_a_frame_is_refused_before_its_payload_has_come() -> None:
    for data in (frame(TEXT, b"x", mask=False)[:2], frame(BINARY, b"", length=MAX_SIZE + 1)[:8]):
        with pytest.raises(Broken):
            FrameReader(MAX_SIZE).read(data, 0)


class Wires:
    """The transport of a WebSocket, which tells what is done to it."""

    def __init__(self) -> None:
        self.is_reading = True
        self.written: list[bytes] = []
        self.is_closed = self.is_aborted = False
        self.waiting = 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Peer:
    """Who takes what comes in."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.heard: list[str | bytes] = []
        self.ended: list[str] = []
        self.suspension = False

    def received(self, data: str | bytes) -> None:
        self.heard.append(data)
        if self.suspension:
            self.websocket.pause()

    def lost(self, reason: str) -> None:
        self.ended.append(reason)

    def protocol_violated(self, why: str) -> None:
        self.ended.append(why)

    def budget_exceeded(self) -> None:
        self.ended.append("too much")

    def reads_too_slowly(self, waiting: int) -> None:
        self.ended.append(f"{waiting} wait")


def opened(allowance: TrafficBudget | None = None) -> tuple[WebSocket, Peer, Wires]:
    timers = Timers()
    websocket = WebSocket(timers, FairTurns(), TrafficUse(allowance or TrafficBudget()), max_size=1_000_000)
    wires = Wires()
    websocket._transport = wires
    websocket.peer = peer = Peer(websocket)
    return websocket, peer, wires


async def turns(count: int = 1) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def numbered(count: int) -> tuple[bytes, list[str]]:
    texts = [str(n) for n in range(count)]
    return b"".join(frame(TEXT, text.encode()) for text in texts), texts


async def test_one_call_handles_a_share_and_the_rest_follows_in_other_turns_with_nothing_read_meanwhile() -> None:
    websocket, peer, wires = opened()
    data, texts = numbered(3 * FRAMES_A_TURN + 1)
    websocket.data_received(data)
    assert (len(peer.heard), wires.is_reading) == (FRAMES_A_TURN, False)
    await turns()
    assert (len(peer.heard), wires.is_reading) == (2 * FRAMES_A_TURN, False)
    await turns(3)
    assert (peer.heard, wires.is_reading) == (texts, True)


async def test_what_is_cut_at_the_end_of_a_share_is_put_together_again() -> None:
    data, texts = numbered(3 * FRAMES_A_TURN)
    for cut in range(len(data) - 8, len(data)):
        websocket, peer, wires = opened()
        websocket.data_received(data[:cut])
        await turns(4)
        assert wires.is_reading
        websocket.data_received(data[cut:])
        await turns(2)
        assert peer.heard == texts


async def test_a_small_message_is_handled_at_once_and_reading_never_stops_for_it() -> None:
    websocket, peer, wires = opened()
    stops: list[bool] = []
    wires.pause_reading = lambda: stops.append(True)  # type: ignore[method-assign]
    for _ in range(20):
        websocket.data_received(frame(TEXT, b"x" * 100))
    assert (len(peer.heard), stops) == (20, [])


async def test_a_large_read_is_the_last_of_its_turn() -> None:
    websocket, peer, wires = opened()
    websocket.data_received(frame(BINARY, b"x" * 100_000)[:LARGE_READ])
    assert not wires.is_reading
    await turns(2)
    assert wires.is_reading
    assert peer.heard == []


async def test_a_peer_that_is_held_up_gets_one_message_and_the_rest_in_order_afterwards() -> None:
    websocket, peer, wires = opened()
    peer.suspension = True
    data, texts = numbered(3)
    websocket.data_received(data)
    for count in (1, 2, 3):
        await turns(3)
        assert (peer.heard, wires.is_reading) == (texts[:count], False)
        websocket.resume()
    await turns(3)
    assert wires.is_reading


async def test_what_a_read_of_many_frames_is_answered_leaves_in_one_write() -> None:
    websocket, _, wires = opened()
    websocket.data_received(frame(PING, b"x") * 5)
    assert wires.written == [b"\x8a\x01x" * 5]


# Each as many frames as a burst has, and many more.
FLOODS = {
    "pings": frame(PING, b""),
    "pongs": frame(PONG, b"nobody asked"),
    "empty messages": frame(TEXT, b""),
    "fragments of a byte": frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * 2000,
    "empty fragments": frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 2000,
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_every_frame_counts_and_who_sends_too_many_is_read_no_further(kind: str) -> None:
    websocket, peer, wires = opened(TrafficBudget(10, 1_000_000, 10))
    websocket.data_received(FLOODS[kind] * 2000)
    for _ in range(20):
        await turns(10)
    # A burst of 100 was handled, and no share beyond it.
    assert not wires.is_reading
    assert not wires.is_closed
    assert len(peer.heard) + sum(written.count(b"\x8a") for written in wires.written) <= 100 + FRAMES_A_TURN


async def test_bytes_count_as_frames_do() -> None:
    websocket, peer, wires = opened(TrafficBudget(1000, 10_000, 10))
    for _ in range(10):
        websocket.data_received(frame(BINARY, b"x" * 9_990))
    assert (len(peer.heard), wires.is_reading) == (10, True)
    websocket.data_received(frame(BINARY, b"x" * 9_990))
    await turns(5)
    assert not wires.is_reading


async def test_a_frame_that_trickles_in_counts_with_every_read_of_it() -> None:
    websocket, _, wires = opened(TrafficBudget(10, 1_000_000, 10))
    data = frame(BINARY, b"x" * 500)
    for at in range(100):
        websocket.data_received(data[at : at + 1])
    assert wires.is_reading
    websocket.data_received(data[100:101])
    assert not wires.is_reading


async def test_one_that_does_not_relent_is_closed_with_1008_and_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    websocket, peer, wires = opened(TrafficBudget(1000, 1_000_000, 0.01))
    now = 0.0
    monkeypatch.setattr("realtime.engine.websocket.time.monotonic", lambda: now)
    for _ in range(60):
        websocket.data_received(frame(PING, b"") * 300)
        websocket._go_on()
        if peer.ended:
            break
        now += 0.1
    assert peer.ended == ["too much"]
    assert 5.0 <= now <= 5.2
    assert wires.written[-1][:4] == b"\x88" + bytes((len(wires.written[-1]) - 2,)) + struct.pack(">H", 1008)
    assert b"more frames or bytes than a connection may send" in wires.written[-1]
    # What else it sends is dropped, a read in a turn, until it has had the time to read why.
    await turns(3)
    websocket.data_received(frame(PING, b"") * 10_000)
    assert not wires.is_reading
    await turns(2)
    assert wires.is_reading
    assert websocket._unread == b""


class Deadlines(Timers):
    """Timers whose time comes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[float, Any]] = []

    def after(self, seconds: float, call: Any) -> Any:
        self.calls.append((seconds, call))
        return Timer(seconds, call, self)


@pytest.mark.parametrize("waiting", [0, 500])
async def test_a_peer_whose_time_is_over_is_gone_a_quarter_of_a_second_after_the_close_frame(waiting: int) -> None:
    """Whether it answers or not, and whether it reads or not; another one has five seconds to read."""
    for is_patient, expected in ((False, [0.25]), (True, [1.0, 4.0])):
        websocket, _, wires = opened()
        websocket._timers = deadlines = Deadlines()
        wires.waiting = waiting
        websocket.close(1008, "not authenticated in time", is_patient=is_patient)
        assert wires.written[-1].startswith(b"\x88")
        while deadlines.calls and not wires.is_aborted and len(expected) > 0:
            seconds, call = deadlines.calls.pop(0)
            assert seconds == expected.pop(0)
            call()
        assert wires.is_closed
        assert wires.is_aborted is (is_patient or bool(waiting))
