"""The bench's own WebSocket frames, its command line, and what it reads off tokens."""

import argparse

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import options_of, read_arguments
from bench.client import Ack, LoadError
from bench.frames import MASK, TEXT, Reader, masked
from bench.storm_scenario import expiry_of

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 65535, 65536, 70000]))


def from_server(payload: bytes) -> bytes:
    """A text frame as a server writes it: the client's without the mask."""
    frame = bytearray(masked(payload))
    head = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    frame[1] &= 0x7F
    return bytes(frame[:head]) + payload


@given(SIZES)
def test_what_is_masked_is_the_payload_again_under_the_mask(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    frame = masked(payload)
    hidden = frame[-size:] if size else b""
    assert bytes(byte ^ MASK[index % 4] for index, byte in enumerate(hidden)) == payload
    assert frame[0] == 0x81
    assert frame[1] & 0x80


@given(st.lists(SIZES, min_size=1, max_size=4), st.lists(st.integers(1, 5000), max_size=8))
def test_frames_come_whole_however_the_bytes_arrive(sizes: list[int], cuts: list[int]) -> None:
    payloads = [bytes([index]) * size for index, size in enumerate(sizes)]
    stream, reader, heard = b"".join(map(from_server, payloads)), Reader(), list[tuple[int, bytes]]()
    for cut in cuts:
        heard += reader.feed(stream[:cut])
        stream = stream[cut:]
    heard += reader.feed(stream)
    assert heard == [(TEXT, payload) for payload in payloads]


def test_an_ack_that_is_not_ok_is_an_error_with_the_servers_words() -> None:
    Ack(0, b'[{"ok":true}]').check()
    refused = Ack(0, b'[{"ok":false,"code":"unavailable","message":"later"}]')
    assert refused.code == "unavailable"
    with pytest.raises(LoadError, match="later"):
        refused.check()
    assert Ack(0, b"[]").code == "no answer"


def test_a_tokens_end_is_read_off_its_claims() -> None:
    assert expiry_of(jwt.encode({"exp": 1_800_000_000}, "k" * 32)) == 1_800_000_000


def test_everything_is_measured_in_three_rounds_unless_said() -> None:
    arguments = read_arguments([])
    assert arguments.peers == ["vigil", "node", "stock"]
    assert "handshake" in arguments.only
    assert options_of(arguments).rounds == 3
    assert options_of(arguments).sockets == 5000


def test_quick_measures_little_but_everything() -> None:
    options = options_of(read_arguments(["--quick"]))
    assert (options.rounds, options.sockets) == (1, 500)
    assert options.units(1000) == 200


@pytest.mark.parametrize(
    "wrong", [["--peers", "vigil,deno"], ["--only", "idle,idler"], ["--rounds", "0"], ["--sockets", "10"]]
)
def test_a_wrong_command_line_is_refused_at_once(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(wrong)
    assert "error:" in capsys.readouterr().err


def test_some_of_it_can_be_asked_for() -> None:
    arguments: argparse.Namespace = read_arguments(["--peers", "vigil", "--only", "idle,me", "--rounds", "1"])
    assert (arguments.peers, arguments.only, arguments.rounds) == (["vigil"], ["idle", "me"], 1)
