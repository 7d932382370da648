"""Validation of the passkey domain (RP ID): it must be the domain of every page that uses passkeys, or a
parent. Pure.

Browsers reject a ceremony whose RP ID is neither the page's domain nor a registrable suffix of it (W3C Web
Authentication level 3, sections 5.1.2 and 5.1.4.1). Checking it at start reports the error to the operator
before any passkey is created, instead of to a user.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from auth.platform.hosts import is_address, is_loopback

LOCALHOST = "localhost"


def rp_id_problem(rp_id: str, pages: Iterable[str]) -> str | None:
    """Why passkeys of `rp_id` would not work on one of `pages` (origins or URLs); None if they work on all.

    A loopback address together with the RP ID `localhost` is accepted, for development. Public suffixes such as
    `co.uk` are not detected here; browsers reject them.
    """
    if is_address(rp_id):
        return f"{rp_id} is an IP address; passkeys need a domain name"
    for page in pages:
        host = urlsplit(page).hostname or ""
        if host == rp_id or (rp_id == LOCALHOST and is_loopback(host)):
            continue
        if not host.endswith(f".{rp_id}"):
            return f"{page} is not on {rp_id}, so passkeys would not work there"
        if "." not in rp_id:
            return f"{rp_id} is a single label, not a registrable domain"
    return None
