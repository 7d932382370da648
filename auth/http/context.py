"""Per-request state shared by the middlewares: client, principal, arrival time, and cookies to set.

Cookies are collected here and applied to the final response, so error responses carry them too: a request whose
tokens were rotated on the way keeps the new ones even if it ends in a 404.
"""

import time
from collections.abc import Iterable, Sequence

from aiohttp import web

from auth.clients.address import Network, client_of, seconds_since
from auth.core.models import Client, Principal
from auth.core.server_keys import ServerKey
from auth.http.cookies import CSRF_COOKIE, SetCookie, cleared_cookies, sent_values
from auth.http.origin_check import CSRF_HEADER

CLIENT = web.RequestKey("client", Client)
# Arrival time of the request, on the clock of `auth.platform.suspension`.
ARRIVED = web.RequestKey("arrived", float)
PRINCIPAL = web.RequestKey("principal", Principal)
SERVER_KEY = web.RequestKey("server_key", ServerKey)
COOKIES = web.RequestKey("cookies", dict[str, SetCookie])
CLEARS = web.RequestKey("clears", str)

# "cache": the Back button shows nothing. "storage": this origin's storage. Not "cookies": it covers the whole
# registrable domain, so it would delete other applications' cookies and the known-device cookie
# (W3C Clear Site Data, section 3.1).
CLEAR_SITE_DATA = '"cache", "storage"'


def read_client(request: web.BaseRequest, trusted: Sequence[Network]) -> Client:
    """Return the client, resolved through the trusted proxies."""
    return client_of(
        peer=request.remote,
        forwarded_for=request.headers.getall("X-Forwarded-For", []),
        headers=request.headers,
        trusted=trusted,
    )


def seconds_in_front(request: web.BaseRequest, trusted: Sequence[Network]) -> float:
    """Seconds the request spent in a trusted proxy, from its `X-Request-Start`; 0 without that header."""
    started = request.headers.get("X-Request-Start")
    if started is None:
        return 0.0
    return seconds_since(started, peer=request.remote, trusted=trusted, now=time.time())


def is_disconnected(request: web.BaseRequest) -> bool:
    """Whether the client has disconnected."""
    transport = request.transport
    return transport is None or transport.is_closing()


def set_cookies(request: web.Request, cookies: Iterable[SetCookie]) -> None:
    """Set `cookies` on the response. A removal is sent only if the client has, or was to get, that cookie."""
    pending = request.setdefault(COOKIES, {})
    for cookie in cookies:
        if cookie.max_age > 0 or cookie.name in pending or sent_values(request.headers, cookie.name):
            pending[cookie.name] = cookie


def clear_cookies(request: web.Request) -> None:
    """Remove every authentication cookie that the client has or was to get."""
    set_cookies(request, cleared_cookies())


def clear_browser_data(request: web.Request) -> None:
    """Clear this session's cookies and the origin's cache and storage in the browser (ASVS 5.0, 14.3.1)."""
    clear_cookies(request)
    request[CLEARS] = CLEAR_SITE_DATA


def apply_cookies(request: web.Request, response: web.StreamResponse, *, cross_site: bool) -> None:
    """Add the collected cookies and, on success, Clear-Site-Data to the response.

    The CSRF token is also sent as a header, because a page on another allowed origin cannot read our cookies. If
    the request had the same cookie twice, both forms are removed first: after `cross_site` was changed, browsers
    keep a Partitioned and an unpartitioned cookie side by side, and duplicates are ignored.
    """
    for cookie in request.get(COOKIES, {}).values():
        if len(sent_values(request.headers, cookie.name)) > 1:
            for form in (True, False):
                response.headers.add("Set-Cookie", SetCookie(cookie.name, "", 0).header(cross_site=form))
        response.headers.add("Set-Cookie", cookie.header(cross_site=cross_site))
        if cookie.name == CSRF_COOKIE and cookie.max_age > 0:
            response.headers[CSRF_HEADER] = cookie.value
    if CLEARS in request and response.status < 400:
        # Browsers obey it only in secure contexts: https or localhost.
        response.headers["Clear-Site-Data"] = request[CLEARS]
