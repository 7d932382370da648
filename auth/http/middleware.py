"""What happens around every request: its id and log line, refusals as JSON, headers, limits.

The live socket's path belongs to Socket.IO and passes through untouched.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from multidict import CIMultiDict
from prometheus_client import Counter, Histogram

from auth.errors import (
    AuthError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    PayloadTooLarge,
    Unavailable,
)
from auth.http.answers import failure
from auth.http.client_ip import Network
from auth.http.context import CLIENT, REQUEST_ID, apply_cookies, read_client, request_id_of
from auth.http.cookies import CSRF_HEADER
from auth.logs import about
from auth.metrics import Metrics
from auth.rate_limits import RateLimits

log = structlog.get_logger()
is_enabled = logging.getLogger(__name__).isEnabledFor

_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SOCKET_PATH = "/socket.io/"
# Asked every few seconds by machines: their log lines would bury the others.
MONOTONOUS_PATHS = ("/health/", "/metrics")
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})

PREFLIGHT_SECONDS = 600
CORS_REQUEST_HEADERS = f"Authorization, Content-Type, {CSRF_HEADER}, X-Request-Id"
CORS_ANSWER_HEADERS = f"X-Request-Id, Retry-After, {CSRF_HEADER}"

ONE_YEAR = 31_536_000

API_CSP = "default-src 'none'; frame-ancestors 'none'"

PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"


def page_csp(public_url: str) -> str:
    """The Content-Security-Policy of our pages; older browsers need the socket's URL spelt out."""
    parts = urlsplit(public_url)
    socket = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {socket}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def observe(metrics: Metrics, trusted: Sequence[Network]) -> Middleware:
    """Give the request an id, log it, count it. Never logs a query: links carry tokens there."""
    tally = Tally(metrics)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(SOCKET_PATH):
            return await handler(request)
        request_id = request[REQUEST_ID] = request_id_of(request)
        request[CLIENT] = read_client(request, trusted)
        started = time.perf_counter()
        # A connection's requests share one context: the last one's user must not be on this one's lines.
        with about(request_id=request_id):
            response = await handler(request)
            response.headers["X-Request-Id"] = request_id
            seconds = time.perf_counter() - started
            _log_request(request, response.status, seconds)
        tally.count(request.method, _route_of(request), response.status, seconds)
        return response

    return middleware


class Tally:
    """Counts answers. Prometheus looks a child up by its labels in some 2 µs, under a lock: here once each."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; of methods nobody knows as `other`, so that a stranger makes no new series."""
        key = (method if method in KNOWN_METHODS else "other", route, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._metrics.requests.labels(key[0], route, str(status))
        if route not in self._seconds:
            self._seconds[route] = self._metrics.request_seconds.labels(route)
        counter.inc()
        self._seconds[route].observe(seconds)


def secure(*, public_url: str, allowed_origins: Collection[str]) -> Middleware:
    """Headers that tell browsers what not to do, and which other origins may read answers (CORS)."""
    policy = page_csp(public_url)
    always = {
        "Server": "vigil",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": PERMISSIONS_POLICY,
    }
    if urlsplit(public_url).scheme == "https":
        always["Strict-Transport-Security"] = f"max-age={ONE_YEAR}"

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(SOCKET_PATH):
            return await handler(request)
        response = await handler(request)
        headers = response.headers
        if "Content-Security-Policy" not in headers:
            headers["Content-Security-Policy"] = policy if response.content_type == "text/html" else API_CSP
        headers.update(always)
        headers.setdefault("Cache-Control", "no-store")
        _allow_origin(request, headers, allowed_origins)
        return response

    return middleware


def refuse(*, allowed_origins: Collection[str]) -> Middleware:
    """Turn every refusal and every failure into the JSON of docs/protocol.md, section 1."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(SOCKET_PATH):
            return await handler(request)
        response = await _answer(request, handler, allowed_origins)
        apply_cookies(request, response)
        return response

    return middleware


def limit(limits: RateLimits, prefix: str) -> Middleware:
    """Count every request under `prefix` against its address."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(prefix):
            await limits.hit("api", request[CLIENT].ip)
        return await handler(request)

    return middleware


async def _answer(request: web.Request, handler: Handler, allowed_origins: Collection[str]) -> web.StreamResponse:
    try:
        missing = request.match_info.http_exception
        if isinstance(missing, web.HTTPMethodNotAllowed) and _is_preflight(request):
            return _preflight(request, missing.allowed_methods, allowed_origins)
        return await handler(request)
    except AuthError as error:
        if isinstance(error, Unavailable):
            log.warning("unavailable", cause=repr(error.__cause__))
        return failure(error, request[REQUEST_ID])
    except web.HTTPException as error:
        return _of_http_exception(error, request[REQUEST_ID])
    except ConnectionError:
        raise  # the client is gone: nobody to answer
    except Exception:  # a defect of ours is answered like one, and ends nothing but this request
        log.exception("request_failed")
        return failure(AuthError(), request[REQUEST_ID])


def _of_http_exception(error: web.HTTPException, request_id: str) -> web.StreamResponse:
    if isinstance(error, web.HTTPMethodNotAllowed):
        response = failure(MethodNotAllowed(), request_id)
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    if isinstance(error, web.HTTPNotFound):
        return failure(NotFound(), request_id)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return failure(PayloadTooLarge(), request_id)
    if error.status < 400:
        return web.Response(status=error.status, headers={"Location": error.headers.get("Location", "/")})
    refusal = InvalidRequest() if error.status < 500 else AuthError()
    return failure(refusal, request_id)


def _is_preflight(request: web.Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def _preflight(
    request: web.Request, methods: Collection[str], allowed_origins: Collection[str]
) -> web.StreamResponse:
    if request.headers.get("Origin", "").lower() not in allowed_origins:
        raise OriginNotAllowed
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": CORS_REQUEST_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )


def _allow_origin(request: web.Request, headers: CIMultiDict[str], allowed: Collection[str]) -> None:
    headers.add("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() in allowed:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
        headers["Access-Control-Expose-Headers"] = CORS_ANSWER_HEADERS


def _log_request(request: web.Request, status: int, seconds: float) -> None:
    level = logging.DEBUG if request.path.startswith(MONOTONOUS_PATHS) else logging.INFO
    if not is_enabled(level):  # asked first: a line that nobody reads would cost 10 µs
        return
    log.log(
        level,
        "request",
        method=request.method[:16],
        path=_printable(request.path[:256]),
        status=status,
        ms=round(seconds * 1000, 1),
        ip=request[CLIENT].ip,
    )


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"
