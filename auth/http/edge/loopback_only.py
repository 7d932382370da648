"""Restricts development pages to direct requests from this machine.

Listening on a loopback address is not enough: a local proxy also connects from this machine, and so does a browser
whose page has rebound its own name to 127.0.0.1 (DNS rebinding).
"""

from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDictProxy

from auth.core.errors import NotFound
from auth.platform.hosts import names_this_machine

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Headers, besides `X-Forwarded-…`, that proxies, load balancers and CDNs add to forwarded requests.
FORWARDING_HEADERS = frozenset(
    {
        "forwarded", "via", "cdn-loop", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-host",
        "x-original-forwarded-for", "x-original-url", "x-proxyuser-ip", "true-client-ip", "cf-connecting-ip",
        "cf-ray", "fly-client-ip", "fastly-client-ip", "x-azure-clientip", "x-envoy-external-address",
        "x-appengine-user-ip", "x-amzn-trace-id", "x-arr-log-id",
    }
)  # fmt: skip


def is_forwarded(names: Iterable[str]) -> bool:
    """Whether these header names show that a proxy forwarded the request."""
    return any(name in FORWARDING_HEADERS or name.startswith("x-forwarded") for name in map(str.lower, names))


def is_local_request(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a request was not forwarded and its Host names this machine."""
    hosts = headers.getall("Host", [])
    try:
        (host,) = hosts
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return names_this_machine(name) and not is_forwarded(headers)


def local_only(show: Page) -> Page:
    """Wrap a page so that it raises `NotFound` for requests from elsewhere."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if not is_local_request(request.headers):
            raise NotFound
        return await show(request)

    return handler
