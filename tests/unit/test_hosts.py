"""Hosts of this machine, of private networks and of a cloud's metadata are not taken for public ones."""

import pytest

from auth.platform.hosts import is_address, is_loopback, is_private, is_public, public_url_problem

PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
# Forms that the operating system reads as 127.0.0.1, and what it might read.
OLD_FORMS = ["127.1", "2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "127.0.0.1.", "127.0.0.0x1", "1.2.3.4.5"]
PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fd00::1", "fe80::1%eth0", "fe80::1%", "ff02::1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::7f00:1",
    *OLD_FORMS,
]  # fmt: skip
NAMES = ["example.org", "localhost.example.org", "1.example.org", "0x7f.example", "a1", "app", ""]


@pytest.mark.parametrize("host", PUBLIC)
def test_addresses_of_the_public_internet(host: str) -> None:
    assert is_address(host)
    assert is_public(host)
    assert not is_private(host)


@pytest.mark.parametrize("host", PRIVATE)
def test_all_other_addresses(host: str) -> None:
    assert is_address(host)
    assert not is_public(host)
    assert is_private(host)


@pytest.mark.parametrize("host", ["localhost", "a.localhost"])
def test_names_of_this_machine_are_private(host: str) -> None:
    assert is_private(host)
    assert not is_address(host)


@pytest.mark.parametrize("host", NAMES)
def test_other_names_are_neither(host: str) -> None:
    """A client resolves them, and examines the address."""
    assert not any(rule(host) for rule in (is_address, is_public, is_private, is_loopback))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", *OLD_FORMS])
def test_other_addresses_are_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://example.org/x", None),
        ("https://8.8.8.8", None),
        ("http://example.org", "it must begin with https://; SWITCH=on allows http://"),
        ("https://LOCALHOST:3000/x", "it is a private address; SWITCH=on allows those"),
        ("https://[::1]/x", "it is a private address; SWITCH=on allows those"),
        ("https://127.1/x", "it is a private address; SWITCH=on allows those"),
    ],
)
def test_a_url_that_leads_elsewhere_is_refused_with_the_switch_that_allows_it(
    url: str, problem: str | None
) -> None:
    assert public_url_problem(url, switch="SWITCH") == problem
