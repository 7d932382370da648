"""A gateway that gives handshakes and events spans."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from opentelemetry.context import Context

from auth.core.errors import InternalError, Unavailable
from auth.platform.event_limits import EventBudget
from auth.platform.logs import log_context
from auth.platform.tracing import Tracing, fail
from realtime.engine.sockets import Received, Refused
from realtime.event_queue import EventQueue
from realtime.gateway.gateway import Gateway
from realtime.gateway.handlers import Counted
from realtime.gateway.handshake import OpeningRequest


@dataclass(frozen=True, slots=True)
class TracedOpening(OpeningRequest):
    """The request that opened a connection, and the caller's trace."""

    parent: Context


class TracedGateway(Gateway):
    """A `Gateway` whose spans belong to the trace of the request that opened the connection, if it named one.

    Otherwise each event begins a trace of its own: a socket lives for days.
    """

    def __init__(self, tracing: Tracing, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self._tracing = tracing
        self._parents: dict[str, Context] = {}

    def note(self, request: web.BaseRequest) -> TracedOpening:
        """See `Gateway.note`."""
        noted = super().note(request)
        parent = self._tracing.parent_in(request.headers)
        return TracedOpening(noted.client, noted.origin, noted.access_cookie, parent)

    async def admit(self, socket_id: str, noted: OpeningRequest, auth: Any) -> None:
        """See `Gateway.admit`."""
        assert isinstance(noted, TracedOpening)
        entry = self._tracing.entry("event", "socket connect", noted.parent)
        refusal: Refused | None = None
        with entry as span, log_context(**self._tracing.ids_of(span)):
            try:
                await super().admit(socket_id, noted, auth)
            except Refused as error:
                # Most often an expired token: no failure of the server.
                refusal = error
                span.set_attribute("vigil.outcome", str(error.data["code"]))
        if refusal is not None:
            raise refusal
        if noted.parent:
            self._parents[socket_id] = noted.parent

    def left(self, socket_id: str) -> None:
        """See `Gateway.left`."""
        self._parents.pop(socket_id, None)
        super().left(socket_id)

    def _queue(
        self, inbox: EventQueue, events: EventBudget, received: Received, job: Callable[[], Awaitable[Counted]]
    ) -> None:
        async def traced() -> Counted:
            parent = self._parents.get(inbox.socket_id, Context())
            with (
                self._tracing.entry("event", "socket event", parent) as span,
                log_context(**self._tracing.ids_of(span)),
            ):
                counted = await job()
                span.update_name(f"socket {counted.event}")
                span.set_attribute("vigil.outcome", counted.outcome)
                if counted.outcome in {InternalError.code, Unavailable.code}:
                    fail(span, counted.outcome)
                return counted

        super()._queue(inbox, events, received, traced)
