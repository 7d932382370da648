"""What the wire may say: strict both ways, and nothing is read that was not written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.frames import close_frame, frame
from realtime.engine.packets import (
    ACK,
    BINARY_EVENT,
    CONNECT,
    EVENT,
    MAX_DEPTH,
    MAX_POSTED_PACKETS,
    RESERVED,
    Incoming,
    Malformed,
    encode,
    read_payload,
    write_payload,
)

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"))
values = st.recursive(
    scalars | st.binary(max_size=20), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(
        st.characters(codec="utf-8"), max_size=5).filter(lambda key: key != "_placeholder"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: name not in RESERVED)


@pytest.mark.parametrize(
    ("text", "kind", "namespace", "number", "data"),
    [
        ("0", CONNECT, "/", None, None),
        ('0{"token":"x"}', CONNECT, "/", None, {"token": "x"}),
        ("0/custom,", CONNECT, "/custom", None, None),
        ("0/custom", CONNECT, "/custom", None, None),
        ('0/custom?a=b,{"c":1}', CONNECT, "/custom", None, {"c": 1}),
        ('2["a",1]', EVENT, "/", None, ["a", 1]),
        ('212["a"]', EVENT, "/", 12, ["a"]),
        ('2/custom,12["a"]', EVENT, "/custom", 12, ["a"]),
        ("30[]", ACK, "/", 0, []),
        ('37["x"]', ACK, "/", 7, ["x"]),
    ],
)
def test_packets_of_the_protocol_are_read(text: str, kind: int, namespace: str, number: Any, data: Any) -> None:
    packet = Incoming(text)
    assert (packet.kind, packet.namespace, packet.number, packet.data) == (kind, namespace, number, data)
    assert packet.is_whole


# With an id, and with the first letter escaped.
RESERVED_EVENTS = [
    event
    for name in sorted(RESERVED)
    for event in (f'2["{name}"]', f'27["{name}"]', f'2["\\u{ord(name[0]):04x}{name[1:]}"]')
]


@pytest.mark.parametrize(
    "text",
    ["", "7", "x", "-2", "2", "2{}", "2[]", "2[1]", '2["a"', '2["a"]x', '2["a",NaN]', '21-["a"]', '5["a"]',
     '50-["a"]', '511-["a"]', '5999999999-["a"]', "5" + "9" * 30 + '-["a"]', "3[]", "31{}", "1[]", "11",
     '4{"message":"no"}', "2" + "9" * 17 + '["a"]', '2["\\ud800"]', "2" + "[" * 2000, "0/" + "n" * 100 + ",",
     "2\u0662[]", '2 ["a"]x', *RESERVED_EVENTS],
)  # fmt: skip
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        Incoming(text)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_nor_is_a_reserved_event_read_once_its_attachment_has_come(name: str) -> None:
    packet = Incoming(f'51-["{name}",{{"_placeholder":true,"num":0}}]')
    with pytest.raises(Malformed):
        packet.add(b"x", limit=100)


@given(st.text(max_size=60) | st.text('0123456789-/,[]{}"ab_:', max_size=60))
def test_no_text_raises_anything_but_malformed(text: str) -> None:
    try:
        packet = Incoming(text)
    except Malformed:
        return
    assert 0 <= packet.kind <= 6


@given(names, st.lists(values, max_size=3), st.none() | st.integers(0, 10**15), st.sampled_from(["/", "/custom"]))
def test_what_is_encoded_is_read_as_it_was(name: str, arguments: list[Any], number: Any, namespace: str) -> None:
    parts = encode(EVENT, namespace, number, [name, *arguments])
    attachments = parts[1:]
    if len(attachments) > 10:
        return
    packet = Incoming(parts[0].decode()[1:])
    for index, attachment in enumerate(attachments, 1):
        assert packet.add(attachment, limit=10_000) is (index == len(attachments))
    assert packet.kind == (BINARY_EVENT if attachments else EVENT)
    assert (packet.namespace, packet.number) == (namespace, number)
    assert (
        packet.data == json.loads(json.dumps([name, *arguments], default=str), parse_constant=str) or attachments
    )
    if attachments:
        assert packet.data == [name, *arguments]


def test_placeholders_point_at_an_attachment_or_the_packet_is_malformed() -> None:
    for number in (-1, 1, 0.0, True, "0", None, 10**30):
        packet = Incoming(f'51-["a",{json.dumps({"_placeholder": True, "num": number})}]')
        with pytest.raises(Malformed):
            packet.add(b"x", limit=100)


def test_attachments_are_limited_together() -> None:
    packet = Incoming('52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
    assert packet.add(b"x" * 40, limit=120) is False
    with pytest.raises(Malformed):
        packet.add(b"x" * 40, limit=120)


def test_placeholders_too_deep_are_malformed() -> None:
    def nested(levels: int) -> Incoming:
        return Incoming("51-" + '["a",' + "[" * levels + '{"_placeholder":true,"num":0}' + "]" * levels + "]")

    assert nested(MAX_DEPTH - 2).add(b"x", limit=10_000)
    for levels in (MAX_DEPTH - 1, 900):
        with pytest.raises(Malformed):
            nested(levels).add(b"x", limit=10_000)


def test_data_that_are_no_json_are_not_sent() -> None:
    for data in ([object()], ["\ud800"], [{1, 2}]):
        with pytest.raises(TypeError):
            encode(EVENT, "/", None, data)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x1e"), min_size=1).filter(
    lambda text: not text.startswith("b")) | st.binary(), min_size=1, max_size=20))  # fmt: skip
def test_payloads_are_read_as_they_were_written(packets: list[str | bytes]) -> None:
    written = write_payload(
        [(packet.encode() if isinstance(packet, str) else packet, isinstance(packet, bytes)) for packet in packets]
    )
    assert read_payload(written) == packets


@given(st.binary(max_size=200))
def test_no_body_raises_anything_but_malformed(body: bytes) -> None:
    try:
        packets = read_payload(body)
    except Malformed:
        return
    assert sum(map(len, packets)) <= len(body)


def test_a_body_of_too_many_packets_is_malformed() -> None:
    assert len(read_payload(b"\x1e".join([b"3"] * MAX_POSTED_PACKETS))) == MAX_POSTED_PACKETS
    with pytest.raises(Malformed):
        read_payload(b"\x1e".join([b"3"] * (MAX_POSTED_PACKETS + 1)))


@pytest.mark.parametrize(("length", "head"), [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_frames_name_their_length_in_the_shortest_form(length: int, head: int) -> None:
    framed = frame(0x81, b"x" * length)
    assert len(framed) == head + length
    assert framed[0] == 0x81
    assert int.from_bytes(framed[2:head]) == length if head > 2 else framed[1] == length


def test_a_long_reason_is_cut_at_a_whole_letter() -> None:
    framed = close_frame(1008, "é" * 100)
    assert len(framed) <= 2 + 125
    assert framed[4:].decode() == "é" * 61
