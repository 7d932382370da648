"""The HTTP server: aiohttp with JSON errors for malformed requests, size limits and timeouts.

aiohttp answers unparsable bytes itself, before any middleware, in plain text that echoes them. It also waits
without limit for a request to arrive and for a response to be read; see time_limits.py.
"""

import asyncio
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.typedefs import Handler

from auth.core.errors import AuthError, ExpectationFailed, HeadersTooLarge
from auth.http.edge.aiohttp_private import ConnectionFactory, FactoryRunner, HttpConnection
from auth.http.edge.connection_limits import PIECE_BYTES, LimitedConnection
from auth.http.edge.refusals import (
    MAX_ADDRESS_BYTES,
    MAX_PARSED_ADDRESS_BYTES,
    MAX_PARSED_FIELD_BYTES,
    MAX_PART_BYTES,
    Refused,
    refusal_of,
    too_large,
)
from auth.http.edge.request_id import REQUEST_ID_HEADER, new_request_id
from auth.http.edge.time_limits import IDLE_SECONDS, TimeLimits
from auth.http.json import failure
from auth.http.origin_check import allow_origin
from auth.platform.fair_turns import FairTurns
from auth.platform.open_connections import OpenConnections
from auth.platform.slow_readers import drop, unread_bytes

EMPTY: Mapping[str, Handler] = MappingProxyType({})

# Request key of a callback for a peer that disconnects before the response is sent. realtime/engine/polling.py
# sets the same key, and may not import this module.
ON_DISCONNECT = "vigil.on_gone"


class Protocol(HttpConnection):
    """One HTTP connection: deadlines, head size limits and JSON errors."""

    __slots__ = (
        "_allowed_origins",
        "_body",
        "_heads",
        "_is_refused",
        "_is_served",
        "_limits",
        "_part",
        "_sent",
        "_tail",
        "_taken",
        "_writer",
        "has_failed",
    )

    def __init__(self, manager: "Server", *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._allowed_origins: Collection[str] = manager.allowed_origins
        self._limits = manager.time_limits
        self._heads = 0
        # Bytes received since, and in the same read as, the last complete request head.
        self._part = 0
        self._body: StreamReader | None = None
        self._is_served = False
        self._is_refused = False
        # Whether an error that ends the connection is the current response.
        self.has_failed: bool = False
        # Bytes after an upgrade request that may still be declined.
        self._tail = b""
        # Bytes of earlier responses; the writer of the current one; bytes the peer had read at the last check.
        self._sent = 0
        self._writer: AbstractStreamWriter | None = None
        self._taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the request deadline. The serving task starts with the first request; a silent peer costs none."""
        self.register(cast("asyncio.Transport", transport))
        self._limits.requests.begin(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the deadlines, and call the request's `ON_DISCONNECT` callback."""
        self._limits.requests.end(self)
        self._limits.answers.end(self)
        request = self.served_request
        on_disconnect = None if request is None else request.get(ON_DISCONNECT)
        super().connection_lost(exc)
        if on_disconnect is not None:
            on_disconnect()

    def data_received(self, data: bytes) -> None:
        """Parse bytes and update the request deadline."""
        if self._is_refused:
            return
        super().data_received(data)
        self._update_deadline(data)
        if self.waiting and not self._is_served:
            self._is_served = True
            self.begin_serving()

    @property
    def is_body_broken(self) -> bool:
        """Whether the body being received cannot be parsed."""
        return self._body is not None and self._body.exception() is not None

    def _update_deadline(self, data: bytes) -> None:
        self._tail = self.bytes_after_upgrade
        if self.heads_parsed != self._heads:
            self._heads = self.heads_parsed
            if self.waiting and not isinstance(self.waiting[-1][0], RawRequestMessage):
                # Malformed: answered with an error, and nothing after it is parsed.
                self._is_refused = True
                self._limits.requests.end(self)
                return
            self._part += len(data)
            # The previous read may contain the beginning of this head, after another request.
            if self._part > MAX_ADDRESS_BYTES - PIECE_BYTES:
                self._refuse_large_heads()
            # The next request may have begun in this read; the parser does not tell where.
            self._part = len(data)
            self._body = self.waiting[-1][1] if self.waiting else None
            if self._body is not None and not self._body.is_eof():
                self._limits.requests.begin(self)
                return
            self._body = None
            self._limits.requests.end(self)
        elif self._body is not None:
            if self._body.is_eof():
                self._body = None
                self._limits.requests.end(self)
        elif data and not self.is_upgrade_pending:
            # First bytes of the next request. An accepted WebSocket has no request deadline.
            self._part += len(data)
            if self._part > MAX_PART_BYTES:
                self._refuse(Refused(HeadersTooLarge()))
            elif self not in self._limits.requests:
                self._limits.requests.begin(self)

    def _refuse_large_heads(self) -> None:
        """Reject the first waiting request with a too large target or headers, and drop all after it."""
        for place, (message, _) in enumerate(self.waiting):
            if isinstance(message, RawRequestMessage) and (error := too_large(message)) is not None:
                while len(self.waiting) > place:
                    self.waiting.pop()
                self._refuse(Refused(error, message.headers.get("Origin")))
                return

    def _refuse(self, refused: Refused) -> None:
        """Answer with an error as for malformed HTTP, then end the connection."""
        self._is_refused = True
        self._limits.requests.end(self)
        self.refuse_next(refused.error.status, refused, refused.error.message)

    def cut(self) -> None:
        """Abort the connection, discarding unsent data."""
        transport = self.transport
        # The handler, which may have been woken just now, must not read on without a connection.
        self.fail_served_request(ConnectionResetError("cut off"))
        self.force_close()
        if transport is not None:
            transport.abort()

    def check_reading(self) -> bool:
        """Abort the connection, and return True, if data waits and the peer read none since the last check."""
        transport = self.transport
        if transport is None:
            return False
        unread = unread_bytes(transport)
        if not unread:
            return False
        taken = self._sent + (self._writer.output_size if self._writer is not None else 0) - unread
        if taken <= self._taken:
            drop(transport)
            self.cut()
            return True
        self._taken = taken
        self._limits.answers.begin(self)
        return False

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response and start the deadline for reading it.

        If the response declines an upgrade, aiohttp parses the bytes after that request, so the request deadline
        is updated for them.
        """
        if self.transport is None:  # upgraded or disconnected
            return await super().finish_response(request, resp, start_time)
        # aiohttp's default would reveal its version and Python's on responses that bypass our middlewares.
        resp.headers.setdefault("Server", "vigil")
        self._writer = request.writer
        if self not in self._limits.answers:
            self._taken = self._sent
            self._limits.answers.begin(self)
        if request.content.exception() is not None:
            # The rest of a body that cannot be parsed cannot be told from a next request.
            resp.force_close()
            self.has_failed = True
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._sent += self._writer.output_size
            self._writer = None
            if self._tail and self.transport is not None:
                self._part = 0
                self._update_deadline(self._tail)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's message echoes the input
    ) -> web.StreamResponse:
        """Build the response to an unparsable request, or after a failure outside our middlewares."""
        if isinstance(exc, ConnectionError) and self.transport is None:
            raise exc  # the connection ended before the body was complete
        origin = request.headers.get("Origin")
        if isinstance(exc, Refused):
            origin, exc = exc.origin, exc.error
        self.log_exception("Error handling request", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the response has already begun")
        response = _refusal(refusal_of(status, exc), origin, self._allowed_origins)
        response.force_close()
        self.has_failed = True
        return response


def _refusal(error: AuthError, origin: str | None, allowed_origins: Collection[str]) -> web.Response:
    """Build the response to a request that does not reach the middlewares."""
    request_id = new_request_id()
    response = failure(error, request_id)
    allow_origin(origin, response.headers, allowed_origins)
    response.headers[REQUEST_ID_HEADER] = request_id
    response.headers["Server"] = "vigil"
    return response


class Connection(LimitedConnection, Protocol):
    """One HTTP connection with all limits."""


class Server(ConnectionFactory):
    """Creates a `Connection` for each peer."""

    connection_class = Connection

    def __init__(
        self, *arguments: Any, open_connections: OpenConnections, allowed_origins: Collection[str], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.allowed_origins = allowed_origins
        self.open_connections = open_connections
        self.turns = FairTurns()
        self.time_limits = TimeLimits()


class HttpRunner(FactoryRunner):
    """aiohttp's runner with `Server` and without the access log.

    `open_connections`: counts connections. `allowed_origins`: origins whose pages may read responses. `ahead`:
    handlers by path that run before the application's router and middlewares.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        open_connections: OpenConnections,
        allowed_origins: Collection[str] = (),
        ahead: Mapping[str, Handler] = EMPTY,
        shutdown_timeout: float = 5,
    ) -> None:
        self._open_connections = open_connections
        self._allowed_origins = allowed_origins
        self._ahead = ahead
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=shutdown_timeout,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=MAX_PARSED_ADDRESS_BYTES,
            max_field_size=MAX_PARSED_FIELD_BYTES,
        )

    def make_server(self, handler: Handler, **options: Any) -> Server:
        """Implements `FactoryRunner`."""

        async def handle(request: web.Request) -> web.StreamResponse:
            # The application handles the Expect header.
            ahead = None if "Expect" in request.headers else self._ahead.get(request.path)
            try:
                return await (ahead or handler)(request)
            except web.HTTPExpectationFailed:  # raised before the middlewares; aiohttp's text echoes the header
                return _refusal(ExpectationFailed(), request.headers.get("Origin"), self._allowed_origins)

        return Server(
            handle,
            open_connections=self._open_connections,
            allowed_origins=self._allowed_origins,
            **options,
        )
