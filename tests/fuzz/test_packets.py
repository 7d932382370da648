"""Decoding of packets at random: a packet or `Malformed`, never anything else, and no memory to speak of.

tests/unit/test_packets.py says what the packets are; here nothing is expected but that nothing surprising happens.
"""

import tracemalloc

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fuzz_talk import attachments, packets, socket_packets, spelt_out

from realtime.engine.packets import MAX_ATTACHMENTS, Incoming, Malformed, encode, read_payload

LIMIT = 1_000_000
# What Python makes of JSON: an empty list takes some twenty times its two letters.
MOST_TIMES, ALWAYS = 50, 100_000

some = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), max_examples=500
)
# Any text, halves of surrogate pairs too: what a WebSocket would refuse before us is refused here as well.
anything = st.text() | socket_packets | socket_packets.map(lambda text: text[: len(text) // 2])


def read(text: str, binary: list[bytes]) -> Incoming | None:
    """A packet with its attachments, None when it is malformed."""
    try:
        packet = Incoming(text)
        for attachment in binary:
            if packet.is_whole:
                break
            packet.add(attachment, limit=LIMIT)
    except Malformed:
        return None
    assert len(packet.attachments) <= MAX_ATTACHMENTS
    assert packet.size <= LIMIT or not packet.attachments
    return packet


def spelt(text: str) -> str:
    return spelt_out(text.encode("utf-8", "surrogatepass"), "t").decode("utf-8", "surrogatepass")


@some
@given(anything, st.lists(attachments, max_size=12))
def test_a_text_is_a_packet_or_malformed(text: str, binary: list[bytes]) -> None:
    read(spelt(text), [spelt_out(data, "t") for data in binary])


@some
@given(anything)
def test_a_packet_says_again_what_it_said(text: str) -> None:
    packet = read(spelt(text), [])
    # Of what a handshake carries a bare number could be taken for an id; the gate refuses it, and we send none.
    if packet is not None and packet.is_whole and isinstance(packet.data, list | dict):
        (again,) = encode(packet.kind, packet.namespace, packet.number, packet.data)
        back = Incoming(again[1:].decode())
        assert (back.kind, back.namespace, back.number) == (packet.kind, packet.namespace, packet.number)
        assert back.data == packet.data


@some
@given(st.binary(max_size=200) | st.lists(packets, max_size=10).map("\x1e".join).map(str.encode))
def test_a_posted_body_is_packets_or_malformed(body: bytes) -> None:
    body = spelt_out(body, "t")
    try:
        found = read_payload(body)
    except Malformed:
        return
    assert found
    assert sum(map(len, found)) <= len(body)


@settings(some, max_examples=200)
@given(anything, st.lists(attachments, max_size=3), st.sampled_from(["", "[],", '{"":{}},', "1,", '"",', "["]))
def test_it_takes_no_more_memory_than_what_was_sent_stands_for(text: str, binary: list[bytes], often: str) -> None:
    sent = spelt(text).replace("]", f",{often * 2000}0]", 1)
    tracemalloc.start()
    try:
        read(sent, [data[:1000] for data in binary])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MOST_TIMES * len(sent) * 4 + ALWAYS
