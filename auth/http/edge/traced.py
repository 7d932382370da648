"""The middleware that gives each request a span."""

from aiohttp import web
from aiohttp.typedefs import Middleware

from auth.http.edge.middleware import KNOWN_METHODS, POLLED_PATHS, SOCKET_PATH, Handler, route_of
from auth.platform.logs import extend_log_context
from auth.platform.tracing import Tracing, fail


def trace_requests(tracing: Tracing) -> Middleware:
    """Continue the caller's trace, and name the trace in the request's log lines. Runs inside of `observe`."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith((SOCKET_PATH, *POLLED_PATHS)):
            return await handler(request)
        method = request.method if request.method in KNOWN_METHODS else "_OTHER"
        route = route_of(request)
        names = {"http.request.method": method, "http.route": route, "url.scheme": request.scheme}
        parent = tracing.parent_in(request.headers)
        with tracing.entry("request", f"{method} {route}", parent, **names) as span:
            extend_log_context(**tracing.ids_of(span))
            response = await handler(request)
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 500:
                fail(span, str(response.status))
            return response

    return middleware
