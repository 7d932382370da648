"""Signed requests to the application's URL, with limits of time, number and size, and a circuit breaker."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
import structlog

from auth.core.clock import Clock
from auth.core.errors import InvalidRequest, Unavailable
from auth.crypto.webhook_signatures import WebhookSecret, signed_headers
from auth.platform.circuit_breaker import CircuitBreaker
from auth.platform.http_client import SECONDS, HttpClient, Reply
from auth.platform.metrics import Metrics

# Requests at once from this node, and as many connections.
MOST_POSTS = 100
MAX_ANSWER_BYTES = 256 * 1024
# Shorter than the 5 s of Node.js and uvicorn: a connection that the backend is closing would lose an event.
KEEP_ALIVE_SECONDS = 4.0
# RFC 9110, 15.6.3 to 15.6.5: what a proxy answers for a backend that does not.
NOT_REACHED = frozenset({502, 503, 504})
UNAVAILABLE = "unavailable"

log = structlog.get_logger()


class Posts:
    """Posts JSON to one URL. `only_public`: not to private addresses."""

    def __init__(
        self, url: str, secrets: Sequence[WebhookSecret], *, only_public: bool, metrics: Metrics, clock: Clock
    ) -> None:
        self._url = url
        self._secrets = tuple(secrets)
        self._seconds = metrics.application_seconds
        for outcome in ("2xx", "3xx", "4xx", "5xx", UNAVAILABLE):
            self._seconds.labels(outcome)
        self._clock = clock
        self._web = HttpClient(
            only_public=only_public,
            per_host=MOST_POSTS,
            keep_alive_seconds=KEEP_ALIVE_SECONDS,
            max_bytes=MAX_ANSWER_BYTES,
        )
        self._breaker = CircuitBreaker(trial_seconds=SECONDS)
        self._at_once = asyncio.Semaphore(MOST_POSTS)

    async def post(self, message_id: str, content: dict[str, Any]) -> Reply:
        """Post, and return the answer, whatever its status.

        Raises `Unavailable` if there is none within 5 s, if a proxy says so, while the breaker is open, or after
        5 s in which too many others were in flight; `InvalidRequest` for a client's binary data.
        """
        try:
            body = orjson.dumps(content)
        except TypeError:
            raise InvalidRequest("The payload must be JSON, without binary data.") from None
        try:
            # Waiting for others says nothing about the backend, so it does not count for the breaker.
            async with asyncio.timeout(SECONDS):
                await self._at_once.acquire()
        except TimeoutError:
            raise Unavailable from None
        try:
            return await self._breaker.call(lambda: self._post(message_id, body))
        finally:
            self._at_once.release()

    async def close(self) -> None:
        """Close the connections."""
        await self._web.close()

    async def _post(self, message_id: str, body: bytes) -> Reply:
        headers = signed_headers(self._secrets, message_id=message_id, now=self._clock(), body=body)
        begun, outcome = time.perf_counter(), UNAVAILABLE
        try:
            reply = await self._web.post_json(self._url, body=body, headers=headers)
            outcome = f"{reply.status // 100}xx"
        finally:
            self._seconds.labels(outcome).observe(time.perf_counter() - begun)
        if reply.status in NOT_REACHED:
            log.warning("application_unavailable", status=reply.status)
            raise Unavailable
        return reply
