"""SAQ's own page for the job queue, on a port of its own that only this machine can reach.

The page asks for no login: whoever is on the machine may see the queue, try jobs again and abort them. Two ways
lead there from elsewhere, through a browser that runs on the machine, and both are closed: a name that is made to
mean 127.0.0.1 (DNS rebinding) is not one of ours, and a page of another origin may not send a POST. Jobs carry
the id of a mail and nothing else, so the page shows no address, text or link.
"""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from saq.queue.redis import RedisQueue
from saq.web.aiohttp import create_app

from auth.http.cookies import SAFE_METHODS

HOST = "127.0.0.1"
OWN_NAMES = frozenset({HOST, "localhost"})

log = structlog.get_logger()


class JobsDashboard:
    """The page, while it is open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._runner: web.AppRunner | None = None

    async def open(self, queue: RedisQueue) -> None:
        """Serve the page of `queue`, which is closed with it.

        Another process of this machine may have the port, as one of several workers does: then it is that one's.
        """
        app = create_app([queue])
        app.middlewares.insert(0, _only_from_here(self._port))
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

    async def close(self) -> None:
        """Stop serving it."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def dashboard_url(port: int) -> str | None:
    """Where the page is, on the machine of the node; None when there is none."""
    return f"http://{HOST}:{port}/" if port else None


def _only_from_here(port: int) -> Middleware:
    hosts = {f"{name}:{port}" for name in OWN_NAMES}
    origins = {f"http://{host}" for host in hosts}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host not in hosts:
            return web.Response(status=421, text="This page is for this machine alone.")
        if request.method not in SAFE_METHODS and request.headers.get("Origin") not in origins:
            return web.Response(status=403, text="Not from another page.")
        response = await handler(request)
        response.headers["X-Frame-Options"] = "DENY"
        return response

    return middleware
