"""Hypothesis strategies for the input of peers, from valid to malformed."""

import json
from itertools import chain
from typing import Any

from hypothesis import strategies as st

from support.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

# Placeholders for a valid access token, for more than an event's limit, and for more than a message's limit.
TOKEN, LONG, HUGE = "TOKEN", "LONG", "HUGE"
CONNECT = f'40{{"token":"{TOKEN}"}}'


def spelt_out(said: bytes, token: str) -> bytes:
    """Replace the placeholders in `said`."""
    for name, meant in ((TOKEN, token.encode()), (LONG, b"x" * 70_000), (HUGE, b"x" * 1_200_000)):
        said = said.replace(name.encode(), meant)
    return said


RESERVED = {"connect", "disconnect", "newListener"}
PLACEHOLDER = {"_placeholder": True, "num": 0}

# Parts of packets, combined into valid and invalid ones.
kinds = st.sampled_from([*"0123456789", "", "-", "\u0662", "\u00b2"])
counts = st.sampled_from(["", "1-", "2-", "10-", "11-", "0-", "-", "999999999-", "9" * 30 + "-"])
spaces = st.sampled_from(["", "", "", "/,", "/admin,", "/admin", "/?token=x,", "/" + "n" * 300 + ",", "//,"])
numbers = st.sampled_from(["", "", "1", "0", "007", "9" * 16, "9" * 300])
names = st.sampled_from(
    ["sessions-list", "session-revoke", "reauthenticate", "refresh", "chat:send", "probe:echo", "probe:enter",
     "probe:say", "nonsense", "connect", "disconnect", "newListener", "__proto__", "ready", ""]
)  # fmt: skip
strange = st.sampled_from(
    ["NaN", "-Infinity", "1e999", '"\\ud800"', "[" * 5000, "[" * 900 + "]" * 900, '{"a":', "{}{}", "\0", "", "01",
     '{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":-1}', '{"_placeholder":true,"num":"x"}',
     f'"{LONG}"', f'"{HUGE}"', f'{{"token":"{TOKEN}"}}', '{"lastEventId":-1}']
)  # fmt: skip
texts = st.text(st.characters(codec="utf-8"), max_size=30)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
written = values.map(lambda value: json.dumps(value, ensure_ascii=False)) | strange


def _event(name: str, arguments: list[str]) -> str:
    return f"[{','.join([json.dumps(name), *arguments])}]"


events = st.builds(_event, names, st.lists(written, max_size=3))
socket_packets = st.builds(
    lambda *parts: "".join(parts), kinds, counts, spaces, numbers, events | written | st.just("")
)
packets = st.one_of(
    socket_packets.map(lambda packet: "4" + packet),
    events.map(lambda event: "421" + event),
    st.just(CONNECT),
    st.sampled_from(["2", "3", "1", "6", "0", "5", "2probe", "41", "40", "4", "", "9", "b", "bAAAA"]),
    texts,
)
attachments = st.binary(max_size=40) | st.sampled_from([b"", LONG.encode(), HUGE.encode()])

# One step of a conversation: (opcode, payload, abnormal options of the frame).
Step = tuple[int, bytes, dict[str, Any]]


def _step(opcode: int, payload: str | bytes, **odd: Any) -> Step:
    return opcode, payload.encode() if isinstance(payload, str) else payload, odd


honest = packets.map(lambda packet: _step(TEXT, packet)) | attachments.map(lambda data: _step(BINARY, data))
codes = st.sampled_from([b"", b"\x03", b"\x03\xe8", b"\x03\xe9gone", b"\x00\x00", b"\xff\xff", b"\x03\xe8\xff"])
control = st.one_of(
    st.binary(max_size=130).map(lambda data: _step(PING, data)),
    st.binary(max_size=130).map(lambda data: _step(PONG, data)),
    codes.map(lambda data: _step(CLOSE, data)),
)
payloads = packets.map(str.encode) | attachments
odd = st.builds(
    lambda opcode, payload, fin, rsv, mask: _step(opcode, payload, fin=fin, rsv=rsv, mask=mask),
    st.integers(0, 15),
    payloads,
    st.booleans(),
    st.sampled_from([0, 0, 0, 1, 4, 7]),
    st.sampled_from([True, True, True, False]),
)


def _in_pieces(packet: str, at: list[int]) -> list[Step]:
    data = packet.encode()
    cuts = sorted({min(cut, len(data)) for cut in at})
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    last = len(pieces) - 1
    return [_step(CONTINUATION if n else TEXT, piece, fin=n == last) for n, piece in enumerate(pieces)]


fragmented = st.builds(_in_pieces, packets, st.lists(st.integers(0, 60), max_size=4))

# Valid steps, which keep a conversation going.
known = names.filter(lambda name: name not in RESERVED)
polite: st.SearchStrategy[list[Step]] = st.one_of(
    st.builds(
        lambda name, value, number: [_step(TEXT, f"42{number}{json.dumps([name, value])}")],
        known,
        values,
        st.sampled_from(["", "1", "22"]),
    ),
    st.builds(
        lambda name, data: [_step(TEXT, f"451-3{json.dumps([name, {'data': PLACEHOLDER}])}"), _step(BINARY, data)],
        known,
        st.binary(max_size=40),
    ),
    st.sampled_from([[_step(TEXT, "3")], [_step(TEXT, "437[]")], [_step(TEXT, "41"), _step(TEXT, CONNECT)]]),
    st.builds(
        lambda name, at: _in_pieces(f'425["{name}",{{}}]', at), known, st.lists(st.integers(0, 30), max_size=3)
    ),
    st.binary(max_size=125).map(lambda data: [_step(PING, data)]),
)

# Steps that keep the framing intact.
conversations: st.SearchStrategy[list[Step]] = st.builds(
    lambda enters, *parts: [_step(TEXT, CONNECT)] * enters + [step for part in chain(*parts) for step in part],
    st.sampled_from([0, 1, 1, 1]),
    st.lists(polite, max_size=6),
    st.lists(st.one_of(honest, honest, control, odd).map(lambda step: [step]) | fragmented, max_size=4),
)

# Bytes that break the framing: a frame with a wrong length, or no frames at all.
last_words = st.one_of(
    st.just(b""),
    st.just(b""),
    st.binary(min_size=1, max_size=60),
    st.sampled_from(
        [b"\x81\xff" + b"\xff" * 8 + b"mask", b"\x82\xfe\xff\xff1234", b"\x81\x85", b"GET / HTTP/1.1\r\n"]
    ),
)

# Actions of a polling peer: post a payload, poll, disconnect during a poll, attempt an upgrade.
posts = st.lists(packets, min_size=1, max_size=5).map("\x1e".join).map(str.encode)
acts = st.one_of(
    posts.map(lambda payload: ("post", payload)),
    st.binary(max_size=60).map(lambda payload: ("post", payload)),
    st.just(("post", CONNECT.encode())),
    st.sampled_from([("poll", b""), ("poll", b""), ("hang up", b""), ("two polls", b"")]),
    st.lists(packets, max_size=4).map(lambda sent: ("upgrade", "\x1e".join(sent).encode())),
    st.just(("upgrade", b"2probe\x1e5\x1e" + CONNECT.encode())),
    st.just(("upgrade", b"2probe")),
)
visits = st.lists(acts, min_size=1, max_size=6)
