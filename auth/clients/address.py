"""The client's address behind trusted proxies, and the headers used to recognise its device.

A forwarded address is a claim by whoever sent the header. The client is the rightmost address in
X-Forwarded-For that is not one of the operator's trusted proxies.
"""

import functools
import ipaddress
import re
from collections.abc import Mapping, Sequence

from auth.core.models import Client
from auth.core.text import MAX_USER_AGENT
from auth.platform.header_lists import members_of

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The address used for peers on a unix socket: a local proxy or a test.
UNIX_SOCKET_PEER = "127.0.0.1"

# Larger timestamps (the year 5138 in seconds) are milliseconds or microseconds.
LATEST_SECONDS = 1e11
LONGEST_HELD_SECONDS = 600.0
_START = re.compile(r"(?:t=)?(\d{10,17}(?:\.\d{1,6})?)", re.ASCII)

MAX_HINT_LENGTH = 256

# https://wicg.github.io/ua-client-hints/: the hints that help to name a device.
HINTS = (
    "sec-ch-ua",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-mobile",
    "sec-ch-ua-model",
    "sec-ch-ua-platform",
    "sec-ch-ua-platform-version",
)


def client_ip(*, peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's address, from the connection's `peer` and the X-Forwarded-For header lines in order."""
    address, text = _peer(peer or UNIX_SOCKET_PEER)
    if not forwarded_for:
        return text
    hops = members_of(forwarded_for)
    while hops and _is_in(address, trusted):
        claimed = _address(hops.pop())
        if claimed is None:
            break
        address = claimed
    return str(address)


def seconds_since(started: str, *, peer: str | None, trusted: Sequence[Network], now: float) -> float:
    """Seconds since a trusted proxy received the request, according to its `X-Request-Start` header.

    `started` is seconds (nginx, `t=1700000000.123`), milliseconds (Heroku) or microseconds (HAProxy) since the
    epoch. Returns 0 if the peer is not a trusted proxy, if the value is malformed or in the future, or if it is
    older than any proxy holds a request, which means that a clock is wrong.
    """
    match = _START.fullmatch(started)
    if match is None or not _is_in(_peer(peer or UNIX_SOCKET_PEER)[0], trusted):
        return 0.0
    at = float(match[1])
    while at > LATEST_SECONDS:
        at /= 1000
    return now - at if 0 <= now - at <= LONGEST_HELD_SECONDS else 0.0


def client_of(
    *,
    peer: str | None,
    forwarded_for: Sequence[str],
    headers: Mapping[str, str],
    trusted: Sequence[Network],
) -> Client:
    """The client of a request. `headers` must be case-insensitive or in lower case."""
    return Client(
        ip=client_ip(peer=peer, forwarded_for=forwarded_for, trusted=trusted),
        user_agent=_printable(headers.get("user-agent", ""), MAX_USER_AGENT),
        hints=tuple((name, _printable(headers[name], MAX_HINT_LENGTH)) for name in HINTS if name in headers),
    )


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


# Cached: a connection has one peer and many requests. The text comes from the kernel, so it is short.
@functools.lru_cache(maxsize=4096)
def _peer(text: str) -> tuple[Address, str]:
    address = _address(text) or ipaddress.ip_address(UNIX_SOCKET_PEER)
    return address, str(address)


def _address(text: str) -> Address | None:
    """Parse an address with optional port, brackets or zone; IPv4-mapped IPv6 addresses become IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _printable(text: str, length: int) -> str:
    if text.isascii() and text.isprintable():  # fast path for nearly all headers: 0.2 µs instead of 6
        return text[:length].strip()
    # Header bytes that are not UTF-8 arrive as lone surrogates, which stores reject.
    safe = text[:length].encode("utf-8", "replace").decode()
    return "".join(character if character.isprintable() else " " for character in safe).strip()
