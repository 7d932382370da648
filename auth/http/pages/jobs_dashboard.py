"""Serves SAQ's dashboard of the job queue on a separate port, reachable only from this machine.

The page has no login: any user of the machine can see the queue, retry jobs and abort them. Remote access is
blocked: a Host other than localhost (DNS rebinding), a POST from a page of another origin, and requests forwarded
by a proxy on this machine are rejected. Jobs contain only the id of a mail, so the page shows no addresses, texts
or links. Opening the page and acting on it are audited without a user; its polling every two seconds is not.
"""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from saq.queue.redis import RedisQueue
from saq.web.aiohttp import create_app

from auth.audit import AuditLog
from auth.http.context import read_client
from auth.http.edge.loopback_only import is_forwarded
from auth.http.origin_check import SAFE_METHODS
from auth.platform.settings.settings import AdministrationSettings

HOST = "127.0.0.1"
OWN_NAMES = frozenset({HOST, "localhost"})

log = structlog.get_logger()


class JobsDashboard:
    """The dashboard's HTTP server."""

    def __init__(self, settings: AdministrationSettings, audit: AuditLog) -> None:
        self._port = settings.jobs_dashboard_port
        self._audit = audit
        self._runner: web.AppRunner | None = None

    async def open(self, queue: RedisQueue) -> None:
        """Serve the dashboard of `queue`; closing the dashboard closes the queue.

        Logs a warning if the port is taken, as it is when another worker on this machine serves the dashboard.
        """
        app = create_app([queue])
        app.middlewares[:0] = [_local_only(self._port), self._audited]
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self._port, shutdown_timeout=0.5).start()
        except OSError as error:
            await runner.cleanup()
            log.warning("jobs_dashboard_not_opened", port=self._port, error=error.strerror)
            return
        self._runner = runner
        log.info("jobs_dashboard_open", port=self._port)

    @property
    def _audited(self) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            acts = request.method not in SAFE_METHODS
            if acts or response.content_type == "text/html":
                await self._audit.record(
                    "jobs_page_acted" if acts else "jobs_page_opened",
                    user_id=None,
                    client=read_client(request, ()),
                    details={"path": request.path},
                )
            return response

        return middleware

    async def close(self) -> None:
        """Stop serving the dashboard."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def dashboard_url(port: int) -> str | None:
    """Return the dashboard's URL on the node's machine; None if `port` is 0."""
    return f"http://{HOST}:{port}/" if port else None


def _local_only(port: int) -> Middleware:
    hosts = {f"{name}:{port}" for name in OWN_NAMES}
    origins = {f"http://{host}" for host in hosts}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host not in hosts or is_forwarded(request.headers):
            return web.Response(status=421, text="This page is available only on this machine.")
        if request.method not in SAFE_METHODS and request.headers.get("Origin") not in origins:
            return web.Response(status=403, text="Requests from other pages are not allowed.")
        response = await handler(request)
        response.headers["X-Frame-Options"] = "DENY"
        return response

    return middleware
