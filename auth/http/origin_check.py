"""Origin checks, CSRF tokens and CORS.

Browsers attach cookies to any request. So a request authenticated by cookie must show, by Origin or
Sec-Fetch-Site, that one of our pages sent it, and, by the CSRF token, that this page could read our responses.
Each check is sufficient alone.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from auth.core.errors import CsrfFailed, OriginNotAllowed
from auth.crypto.root_secret import is_tag
from auth.http.edge.request_id import REQUEST_ID_HEADER

CSRF_HEADER = "X-CSRF-Token"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# `same-site` is excluded: a sibling subdomain is not trusted. Allowed sibling origins send an Origin header.
TRUSTED_FETCH_SITES = frozenset({"same-origin", "none"})

PREFLIGHT_SECONDS = 600
CORS_REQUEST_HEADERS = f"Authorization, Content-Type, {CSRF_HEADER}, {REQUEST_ID_HEADER}"
CORS_ANSWER_HEADERS = f"{REQUEST_ID_HEADER}, Retry-After, {CSRF_HEADER}"


def csrf_token(key: bytes, session_id: str) -> str:
    """Return a session's CSRF token, an HMAC with `key`."""
    tag = hmac.digest(key, b"csrf\0" + session_id.encode(), "sha256")
    return urlsafe_b64encode(tag).rstrip(b"=").decode()


def check_csrf(*, keys: Sequence[bytes], session_id: str, presented: str | None) -> None:
    """Raise `CsrfFailed` unless `presented` is the session's CSRF token under one of `keys`."""
    given = (presented or "").encode("utf-8", "replace")
    if not is_tag(given, lambda key: csrf_token(key, session_id).encode(), keys):
        raise CsrfFailed


def check_origin(*, origin: str | None, fetch_site: str | None, allowed: Collection[str]) -> None:
    """Raise `OriginNotAllowed` unless a request authenticated by cookie comes from an allowed origin.

    Browsers send Origin with every unsafe method and every WebSocket handshake. Without Origin, Sec-Fetch-Site
    decides. Without both, the client is not a browser, so CSRF is not possible.
    """
    if origin is not None:
        if origin.lower() not in allowed:
            raise OriginNotAllowed
    elif fetch_site is not None and fetch_site.lower() not in TRUSTED_FETCH_SITES:
        raise OriginNotAllowed


def check_own_page(request: web.Request) -> None:
    """Raise `OriginNotAllowed` unless a form was submitted from a page of this server."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        check_origin(origin=None, fetch_site=site, allowed=())
    # Our pages send no referrer, so browsers send `Origin: null` with their forms (Fetch, "append a request
    # `Origin` header").
    elif origin not in {None, "null"} and urlsplit(origin).netloc != request.host:
        raise OriginNotAllowed


def allow_origin(origin: str | None, headers: CIMultiDict[str], allowed: Collection[str]) -> None:
    """Add the CORS headers that let an allowed origin read this response."""
    headers.add("Vary", "Origin")
    if origin is not None and origin.lower() in allowed:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
        headers["Access-Control-Expose-Headers"] = CORS_ANSWER_HEADERS


def is_preflight(request: web.Request) -> bool:
    """Whether the request is a CORS preflight (Fetch, "CORS-preflight request")."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def preflight(request: web.Request, methods: Collection[str], allowed: Collection[str]) -> web.Response:
    """Build the response to a preflight. Raises `OriginNotAllowed`.

    Every header is allowed: monitoring in the page (Sentry, OpenTelemetry, Datadog) adds its own to each request.
    """
    if request.headers.get("Origin", "").lower() not in allowed:
        raise OriginNotAllowed
    asked = request.headers.get("Access-Control-Request-Headers", CORS_REQUEST_HEADERS)
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": asked,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )
