"""Which domain passkeys may belong to: that of every page that asks for them, or a parent of all of them. Pure.

W3C Web Authentication level 3, sections 5.1.2 and 5.1.4.1: a browser refuses a ceremony whose RP ID is not the
page's own domain, nor a registrable suffix of it. It says so on the page of a user; a server that checks it at its
start says so to its operator, before the first passkey is made.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

LOCALHOST = "localhost"


def is_address(host: str) -> bool:
    """Whether a host is an IP address: passkeys know none."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def trouble_with(rp_id: str, pages: Iterable[str]) -> str | None:
    """Why passkeys of `rp_id` could not be used on one of `pages` (origins or URLs); None when on all.

    A loopback address beside `localhost` is let pass: it is the same machine's other name, for development.
    Whether a parent of several labels is a registry's own, as `co.uk` is, the browser knows and we do not.
    """
    if is_address(rp_id):
        return f"{rp_id} is an address, and passkeys belong to a domain"
    for page in pages:
        host = urlsplit(page).hostname or ""
        if host == rp_id or (rp_id == LOCALHOST and is_address(host) and ipaddress.ip_address(host).is_loopback):
            continue
        if not host.endswith(f".{rp_id}"):
            return f"{page} is not on {rp_id}, so that no passkey would work there"
        if "." not in rp_id:
            return f"{rp_id} is not a domain of anybody's own"
    return None
