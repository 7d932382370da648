"""Whose address counts behind proxies, and what of a caller's headers is kept."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.clients.address import client_ip, client_of, seconds_since
from auth.core.text import MAX_USER_AGENT

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["1.1.1.1"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["9.9.9.9, 1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["9.9.9.9", "1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1:5678"], "1.1.1.1"),
        ("10.0.0.1", ["[2001:db8::7]:5678"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ['"[2001:db8::7]"'], "2001:db8::7"),
        ("10.0.0.1", ["1.1.1.1, ,"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1", ""], "1.1.1.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::1", ["1.1.1.1"], "1.1.1.1"),
        ("::ffff:10.0.0.1", ["::ffff:1.1.1.1"], "1.1.1.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, ["1.1.1.1"], "127.0.0.1"),
        ("", [], "127.0.0.1"),
        ("/run/vigil.sock", [], "127.0.0.1"),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_counts(
    peer: str | None, forwarded_for: list[str], expected: str
) -> None:
    assert client_ip(peer=peer, forwarded_for=forwarded_for, trusted=PROXIES) == expected


@given(st.lists(st.text(max_size=60), max_size=5))
def test_whatever_is_forwarded_an_untrusted_peer_is_itself(forwarded_for: list[str]) -> None:
    assert client_ip(peer="203.0.113.7", forwarded_for=forwarded_for, trusted=PROXIES) == "203.0.113.7"


@given(st.lists(st.text(max_size=60), max_size=5))
def test_the_result_is_always_an_address(forwarded_for: list[str]) -> None:
    ipaddress.ip_address(client_ip(peer="10.0.0.1", forwarded_for=forwarded_for, trusted=PROXIES))


def test_headers_that_no_store_takes_are_cleaned() -> None:
    headers = {
        "user-agent": "Moz\udc80illa\n\x00" + "x" * 9999,
        "sec-ch-ua-model": '"Pixel\r9"',
        "cookie": "secret",
    }
    client = client_of(peer="203.0.113.7", forwarded_for=[], headers=headers, trusted=())
    assert client.user_agent.startswith("Moz?illa  x")
    assert len(client.user_agent) <= MAX_USER_AGENT
    assert client.hints == (("sec-ch-ua-model", '"Pixel 9"'),)


@pytest.mark.parametrize(
    ("peer", "started", "expected"),
    [
        ("10.0.0.1", "t=1699999986.500", 13.5),
        ("10.0.0.1", "1699999986.500", 13.5),
        ("10.0.0.1", "t=1699999986500", 13.5),
        ("10.0.0.1", "1699999986500000", 13.5),
        ("10.0.0.1", "t=1700000000", 0),
        ("/run/vigil.sock", "t=1699999986.500", 0),
        ("203.0.113.7", "t=1699999986.500", 0),
        ("10.0.0.1", "t=1700000060", 0),
        ("10.0.0.1", "t=1699990000", 0),
        ("10.0.0.1", "t=13.5", 0),
        ("10.0.0.1", "yesterday", 0),
        ("10.0.0.1", "t=1699999986,500", 0),
        ("10.0.0.1", "", 0),
        ("10.0.0.1", "9" * 400, 0),
    ],
)
def test_only_a_trusted_proxy_can_say_how_long_it_held_a_request(peer: str, started: str, expected: float) -> None:
    waited = seconds_since(started, peer=peer, trusted=PROXIES, now=1_700_000_000.0)
    assert waited == pytest.approx(expected, abs=1e-3)
