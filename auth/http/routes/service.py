"""Health and metrics endpoints."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from auth.core.errors import FieldError, Unavailable
from auth.http.edge.request_id import REQUEST_ID
from auth.http.json import failure, json_response
from auth.platform.metrics import Metrics

log = structlog.get_logger()

READINESS_SECONDS = 5

# For checks whose name does not say what to do.
MESSAGES = {"clock": "The clock of this machine differs from those of MongoDB and Redis: synchronise them (NTP)."}

Readiness = Callable[[], Awaitable[Mapping[str, bool]]]


class ServiceRoutes:
    """Endpoints outside the API."""

    def __init__(
        self,
        *,
        readiness: Readiness,
        metrics: Metrics,
    ) -> None:
        self._readiness = readiness
        self._metrics = metrics

    async def live(self, _request: web.Request) -> web.Response:
        """Liveness: the process runs and its event loop responds."""
        return json_response({"success": True, "data": {"status": "alive"}})

    async def ready(self, request: web.Request) -> web.Response:
        """Readiness: whether this node should get traffic; names the failed checks."""
        try:
            async with asyncio.timeout(READINESS_SECONDS):
                checks = dict(await self._readiness())
        except TimeoutError:
            checks = {"readiness": False}
        if all(checks.values()):
            return json_response({"success": True, "data": {"checks": checks}})
        failed = [
            FieldError(name, MESSAGES.get(name, "This check failed."))
            for name, passed in checks.items()
            if not passed
        ]
        log.warning("not_ready", failed=[error.field for error in failed])
        return failure(NotReady(failed), request[REQUEST_ID])

    async def metrics(self, _request: web.Request) -> web.Response:
        """Metrics in Prometheus text format. Rendered in a thread, since several workers share them in files."""
        body = await asyncio.to_thread(self._metrics.render)
        return web.Response(body=body, headers={"Content-Type": self._metrics.content_type})


class NotReady(Unavailable):
    """This node should not get traffic."""

    default_message = "This node is not ready."

    def __init__(self, failed: list[FieldError]) -> None:
        super().__init__()
        self.errors = tuple(failed)
