"""Which IP addresses are of the public internet: others may be this machine, its network or a cloud's metadata."""

import ipaddress

# RFC 6052, 2.1: a translator (NAT64) sends these to the IPv4 address in their last 32 bits.
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def is_address(host: str) -> bool:
    """Whether `host` is an IP address rather than a name."""
    return _read(host) is not None


def is_public(host: str) -> bool:
    """Whether `host` is an IP address of the public internet. An IPv6 address with an IPv4 one in it is judged by
    that, if packets go there, and refused if it belongs to a tunnel (6to4, Teredo).
    """
    address = _read(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None or address.teredo is not None:
            return False
        translated = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in TRANSLATED else None
        address = address.ipv4_mapped or translated or address
    return address is not None and address.is_global and not address.is_multicast and not address.is_reserved


def _read(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        # Without a zone: `fe80::1%eth0`.
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
