"""What machines ask: health, metrics, keys, documents."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog
from aiohttp import web

from auth.errors import FieldError, Unavailable
from auth.http.answers import JSON_TYPE, failure, json_response
from auth.http.context import REQUEST_ID
from auth.metrics import Metrics

log = structlog.get_logger()

# The next key is published long before it signs: five minutes are soon enough to hear of it.
KEYS_MAX_AGE = 300
DOCUMENTS_MAX_AGE = 60
READINESS_SECONDS = 5

Readiness = Callable[[], Awaitable[Mapping[str, bool]]]


class ServiceRoutes:
    """Endpoints outside the API."""

    def __init__(
        self,
        *,
        readiness: Readiness,
        metrics: Metrics,
        jwks: Callable[[], Mapping[str, Any]],
        documents: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._jwks = jwks
        self._documents = {path: orjson.dumps(document) for path, document in documents.items()}

    async def live(self, _request: web.Request) -> web.Response:
        """The process runs and its loop turns."""
        return json_response({"success": True, "data": {"status": "alive"}})

    async def ready(self, request: web.Request) -> web.Response:
        """Whether this node should be given traffic; names what failed."""
        try:
            async with asyncio.timeout(READINESS_SECONDS):
                checks = dict(await self._readiness())
        except TimeoutError:
            checks = {"readiness": False}
        if all(checks.values()):
            return json_response({"success": True, "data": {"checks": checks}})
        failed = [FieldError(name, "This check failed.") for name, passed in checks.items() if not passed]
        log.warning("not_ready", failed=[error.field for error in failed])
        return failure(NotReady(failed), request[REQUEST_ID])

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus' text format."""
        return web.Response(body=self._metrics.render(), headers={"Content-Type": self._metrics.content_type})

    async def jwks(self, _request: web.Request) -> web.Response:
        """The public keys of access tokens, for whoever verifies them."""
        return _public(json_response(dict(self._jwks())), KEYS_MAX_AGE)

    async def document(self, request: web.Request) -> web.Response:
        """The OpenAPI or the AsyncAPI document."""
        body = self._documents[request.path]
        return _public(web.Response(body=body, content_type=JSON_TYPE), DOCUMENTS_MAX_AGE)


class NotReady(Unavailable):
    """This node should not be given traffic."""

    default_message = "This node is not ready."

    def __init__(self, failed: list[FieldError]) -> None:
        super().__init__()
        self.errors = tuple(failed)


def _public(response: web.Response, max_age: int) -> web.Response:
    response.headers["Cache-Control"] = f"public, max-age={max_age}"
    return response
