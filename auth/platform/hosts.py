"""Where a host leads by its own words: to this machine, into a private network, or to the public internet."""

import ipaddress
import re
from urllib.parse import urlsplit

# RFC 6052, 2.1: a translator (NAT64) sends these to the IPv4 address in their last 32 bits.
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")

# The URL Standard, "ends in a number": `127.1`, `2130706433` and `0x7f000001` are IPv4 addresses, which the
# operating system reads, and no names.
OLD_FORM = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?", re.ASCII | re.IGNORECASE)


def is_address(host: str) -> bool:
    """Whether `host` is an IP address rather than a name, in whatever form."""
    return ":" in host or OLD_FORM.fullmatch(host) is not None


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address."""
    address = _read(host)
    return host == "localhost" if address is None else address.is_loopback


def names_this_machine(host: str) -> bool:
    """Whether `host` always resolves to the local machine: `is_loopback`, or a name under `localhost` (RFC
    6761, 6.3).
    """
    return is_loopback(host) or host.endswith(".localhost")


def is_public(host: str) -> bool:
    """Whether `host` is an IP address of the public internet, in its usual form: others may be this machine, its
    network or a cloud's metadata. An IPv6 address with an IPv4 one in it is judged by that, if packets go there,
    and refused if it belongs to a tunnel (6to4, Teredo).
    """
    address = _read(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None or address.teredo is not None:
            return False
        translated = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in TRANSLATED else None
        address = address.ipv4_mapped or translated or address
    return address is not None and address.is_global and not address.is_multicast and not address.is_reserved


def is_private(host: str) -> bool:
    """Whether `host` is a name of this machine, or an IP address that is not public.

    Other names are not resolved here, so they can lead to a private address too: a client that is `only_public`
    (http_client.py) examines the address to which it connects.
    """
    return names_this_machine(host) or (is_address(host) and not is_public(host))


def public_url_problem(url: str, *, switch: str) -> str | None:
    """Why requests to a URL would leave the public internet, or could be read on the way; None if neither.

    `switch`: the setting that allows both.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return f"it must begin with https://; {switch}=on allows http://"
    if is_private(parts.hostname or ""):
        return f"it is a private address; {switch}=on allows those"
    return None


def _read(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
