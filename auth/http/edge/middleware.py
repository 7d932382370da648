"""Middlewares: request id, log line and metrics, errors as JSON, security headers, rate limits.

Requests for the Socket.IO path pass through unchanged.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import Counter, Histogram

from auth.clients.address import UNIX_SOCKET_PEER, Network
from auth.core.errors import (
    AuthError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    Unavailable,
)
from auth.http.context import (
    ARRIVED,
    CLIENT,
    apply_cookies,
    read_client,
    seconds_in_front,
)
from auth.http.edge.request_id import REQUEST_ID, REQUEST_ID_HEADER, request_id_of
from auth.http.json import failure
from auth.http.origin_check import allow_origin, is_preflight, preflight
from auth.platform.logs import log_context
from auth.platform.metrics import Metrics
from auth.platform.open_connections import LIMIT, RETRY_SECONDS, OpenConnections
from auth.platform.rate_limits import RateLimits
from auth.platform.settings.origins import origin_of
from auth.platform.suspension import SuspensionWatch

log = structlog.get_logger()
is_enabled = logging.getLogger(__name__).isEnabledFor

_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SOCKET_PATH = "/socket.io/"
# Polled every few seconds by monitoring; logged at level debug only.
POLLED_PATHS = ("/health/", "/metrics")
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})

ONE_YEAR = 31_536_000

API_CSP = "default-src 'none'; frame-ancestors 'none'"

PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"


def page_csp(public_url: str, app_url: str | None = None) -> str:
    """Return the Content-Security-Policy of our pages.

    It names the socket's URL explicitly, since older browsers do not match ws: with 'self'. `form-action` includes
    the application's page, because our forms may redirect there and Chromium applies the directive to redirects.
    """
    forms = "'self'" if app_url is None else f"'self' {origin_of(app_url)}"
    parts = urlsplit(public_url)
    socket = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {socket}; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
    )


def observe(metrics: Metrics, trusted: Sequence[Network], suspension: SuspensionWatch) -> Middleware:
    """Set request id, client and arrival time; log and count the request. Queries carry tokens: not logged."""
    tally = AnswerCounter(metrics)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(SOCKET_PATH):
            return await handler(request)
        request_id = request[REQUEST_ID] = request_id_of(request)
        request[CLIENT] = read_client(request, trusted)
        request[ARRIVED] = suspension.arrival() - seconds_in_front(request, trusted)
        started = time.perf_counter()
        # Requests of one connection share a context; do not log the previous request's user.
        with log_context(request_id=request_id):
            response = await handler(request)
            response.headers[REQUEST_ID_HEADER] = request_id
            seconds = time.perf_counter() - started
            _log_request(request, response.status, seconds)
        tally.count(request.method, route_of(request), response.status, seconds)
        return response

    return middleware


class AnswerCounter:
    """Counts responses. Caches Prometheus children, whose lookup by labels takes about 2 µs under a lock."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response. Unknown methods count as `other`, so that clients cannot create series."""
        key = (method if method in KNOWN_METHODS else "other", route, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._metrics.requests.labels(key[0], route, str(status))
        if route not in self._seconds:
            self._seconds[route] = self._metrics.request_seconds.labels(route)
        counter.inc()
        self._seconds[route].observe(seconds)


def secure(*, public_url: str, allowed_origins: Collection[str], app_url: str | None = None) -> Middleware:
    """Add the security headers and the CORS headers."""
    policy = page_csp(public_url, app_url)
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
        allow_origin(request.headers.get("Origin"), headers, allowed_origins)
        return response

    return middleware


def refuse(*, allowed_origins: Collection[str], cross_site_cookies: bool = False) -> Middleware:
    """Turn exceptions into the JSON errors of docs/protocol.md, section 1, and set the collected cookies."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(SOCKET_PATH):
            return await handler(request)
        response = await _answer(request, handler, allowed_origins)
        apply_cookies(request, response, cross_site=cross_site_cookies)
        return response

    return middleware


def limit(limits: RateLimits, prefix: str) -> Middleware:
    """Count every request under `prefix` against the rate limit of its address."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(prefix):
            await limits.hit("api", request[CLIENT].ip)
        return await handler(request)

    return middleware


def count_in_flight(counted: OpenConnections) -> Middleware:
    """Limit concurrent requests per address behind a trusted proxy. Direct connections are counted on opening."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # The gateway counts connections of the Socket.IO path.
        if request.path.startswith(SOCKET_PATH) or not counted.is_proxy(request.remote or UNIX_SOCKET_PEER):
            return await handler(request)
        address = request[CLIENT].ip
        if not counted.enter(address):
            counted.refused()
            log.info("rate_limited", limit=LIMIT)
            raise RateLimited(retry_after_seconds=RETRY_SECONDS)
        try:
            return await handler(request)
        finally:
            counted.leave(address)

    return middleware


async def _answer(request: web.Request, handler: Handler, allowed_origins: Collection[str]) -> web.StreamResponse:
    try:
        missing = request.match_info.http_exception
        if isinstance(missing, web.HTTPMethodNotAllowed) and is_preflight(request):
            return preflight(request, missing.allowed_methods, allowed_origins)
        return await handler(request)
    except AuthError as error:
        if isinstance(error, Unavailable):
            log.warning("unavailable", cause=repr(error.__cause__))
        return failure(error, request[REQUEST_ID])
    except web.HTTPException as error:
        return _of_http_exception(error, request[REQUEST_ID])
    except ConnectionError:
        raise  # the client has disconnected
    except Exception:  # a bug fails only this request
        log.exception("request_failed")
        return failure(InternalError(), request[REQUEST_ID])


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
    refusal = InvalidRequest() if error.status < 500 else InternalError()
    return failure(refusal, request_id)


def _log_request(request: web.Request, status: int, seconds: float) -> None:
    level = logging.DEBUG if request.path.startswith(POLLED_PATHS) else logging.INFO
    if not is_enabled(level):  # saves about 10 µs for a discarded line
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


def route_of(request: web.Request) -> str:
    """The pattern of the request's path, or `none`: paths can contain ids, and strangers choose unknown ones."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"
