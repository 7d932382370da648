"""What a request carries through the middlewares: its id, its caller, and cookies for its answer.

Cookies are collected here and not set on an answer, so that they also travel with a refusal: a request
whose tokens were rotated on the way must not lose them because the thing it asked for was not found.
"""

import re
import secrets
from collections.abc import Iterable, Sequence

from aiohttp import web

from auth.http.client_ip import Network, client_of
from auth.http.cookies import CSRF_COOKIE, CSRF_HEADER, SetCookie, cleared_cookies
from auth.models import Client, Principal

REQUEST_ID = web.RequestKey("request_id", str)
CLIENT = web.RequestKey("client", Client)
PRINCIPAL = web.RequestKey("principal", Principal)
COOKIES = web.RequestKey("cookies", dict[str, SetCookie])

SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def request_id_of(request: web.Request) -> str:
    """The caller's own id if it is short and harmless in a log, else a new one."""
    claimed = request.headers.get("X-Request-Id", "")
    return claimed if SAFE_REQUEST_ID.fullmatch(claimed) else secrets.token_hex(12)


def read_client(request: web.BaseRequest, trusted: Sequence[Network]) -> Client:
    """Who is calling, behind the trusted proxies."""
    return client_of(
        peer=request.remote,
        forwarded_for=request.headers.getall("X-Forwarded-For", []),
        headers=request.headers,
        trusted=trusted,
    )


def set_cookies(request: web.Request, cookies: Iterable[SetCookie]) -> None:
    """Send `cookies` with whatever the answer will be; a removal only of what the caller has."""
    pending = request.setdefault(COOKIES, {})
    for cookie in cookies:
        if cookie.max_age > 0 or cookie.name in request.cookies or cookie.name in pending:
            pending[cookie.name] = cookie


def clear_cookies(request: web.Request) -> None:
    """Remove every cookie of ours that the caller has or was about to get."""
    set_cookies(request, cleared_cookies())


def apply_cookies(request: web.Request, response: web.StreamResponse) -> None:
    """Put the collected cookies on the answer.

    The CSRF token goes into a header as well: a page on another allowed origin cannot read our cookies.
    """
    for cookie in request.get(COOKIES, {}).values():
        response.headers.add("Set-Cookie", cookie.header)
        if cookie.name == CSRF_COOKIE and cookie.max_age > 0:
            response.headers[CSRF_HEADER] = cookie.value
