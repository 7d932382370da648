"""The server's edge below the application: what is not even HTTP is refused in the contract's form too.

aiohttp answers bytes that it cannot parse by itself, before any middleware, in plain text that repeats them.
And it waits for a request for as long as a peer likes to send it, a byte at a time (slowloris): here its headers
must arrive within 10 s, and so must its body after them.

A connection that begins with the upgrade to a WebSocket, as those of most live sockets do, is offered to whoever
opens them before anything is made for serving it: parsed by aiohttp, but with no task, router or middleware.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from auth.errors import AuthError, InvalidRequest
from auth.http.answers import failure

# How long a peer may take to send a request's headers, and then its body.
REQUEST_SECONDS = 10.0
# How long a connection may stay open between two requests; a proxy in front should close its own earlier.
IDLE_SECONDS = 75.0
# How late a connection may be closed: under attack many are, in one go.
SWEEP_SECONDS = 0.5

# The key of a request under which a call may be left for when its peer hangs up before it was answered.
ON_GONE = "vigil.on_gone"

# Opens a WebSocket for a request at once, and then the connection is its own; or does nothing and returns False.
OnUpgrade = Callable[[web.BaseRequest], bool]

log = structlog.get_logger()


class Arrivals:
    """The connections that owe us the rest of a request, the longest waiting first.

    Every one has the same time, so their order is that of their deadlines: one timer serves them all, and a
    request that comes in one piece, as nearly all do, costs none.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._deadlines: OrderedDict[Protocol, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def begin(self, connection: "Protocol") -> None:
        """The connection owes us something from now on."""
        self._deadlines.pop(connection, None)
        self._deadlines[connection] = deadline = self._loop.time() + REQUEST_SECONDS
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._sweep)

    def end(self, connection: "Protocol") -> None:
        """What it owed has come, or it is gone."""
        self._deadlines.pop(connection, None)

    def __contains__(self, connection: "Protocol") -> bool:
        return connection in self._deadlines

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = 0
        while self._deadlines:
            connection, deadline = next(iter(self._deadlines.items()))
            if deadline > now:
                self._timer = self._loop.call_at(max(deadline, now + SWEEP_SECONDS), self._sweep)
                break
            del self._deadlines[connection]
            connection.cut()
            late += 1
        if late:
            log.info("slow_requests_closed", connections=late)


class Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ("_arrivals", "_body", "_heads", "_is_served", "_on_upgrade")

    def __init__(self, manager: "Server", *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._arrivals = manager.arrivals
        self._on_upgrade = manager.on_upgrade
        self._heads = 0
        self._body: StreamReader | None = None
        self._is_served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has come: it owes us a request.

        In place of aiohttp's, which begins to serve at once; here the first request begins that. Left out besides,
        for they would change nothing: its timer for a peer that stays silent, who has the request's deadline;
        TCP_NODELAY, which the event loop has set; and TCP's keep-alive, which first asks after two hours, when
        every deadline of ours has long passed.
        """
        self.transport = cast("asyncio.Transport", transport)
        assert self._manager is not None
        self._manager.connection_made(self, self.transport)
        self._arrivals.begin(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The peer is gone: whoever holds its request back is told, under `ON_GONE`."""
        self._arrivals.end(self)
        request = self._current_request
        on_gone = None if request is None else request.get(ON_GONE)
        super().connection_lost(exc)
        if on_gone is not None:
            on_gone()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and note what is still owed behind them."""
        super().data_received(data)
        if self._payload_parser is None:
            self._take_stock(data)
        if self._messages and not self._is_served:
            self._is_served = True
            if not self._is_taken_up():
                self._task_handler = self._loop.create_task(self.start())

    def _is_taken_up(self) -> bool:
        """Whether the connection's first request, an upgrade, was taken up, and nothing is left to serve here."""
        message, payload = self._messages[0]
        if self._on_upgrade is None or not self._upgraded or len(self._messages) > 1:
            return False
        if payload is not EMPTY_PAYLOAD or not isinstance(message, RawRequestMessage):
            return False
        writer = StreamWriter(self, self._loop)
        # It has no task, for which only its reading of a body and its cancelling would ask.
        request = web.BaseRequest(message, payload, self, writer, cast("asyncio.Task[None]", None), self._loop)
        try:
            is_taken = self._on_upgrade(request)
        except Exception:  # a defect of ours ends this connection alone
            log.exception("upgrade_failed")
            self.cut()
            return True
        if is_taken:
            self._messages.clear()
        return is_taken

    def _take_stock(self, data: bytes) -> None:
        if self._request_count != self._heads:
            self._heads = self._request_count
            self._body = self._messages[-1][1] if self._messages else None
            if self._body is not None and not self._body.is_eof():
                self._arrivals.begin(self)
                return
            self._body = None
            self._arrivals.end(self)
        elif self._body is not None:
            if self._body.is_eof():
                self._body = None
                self._arrivals.end(self)
        elif data and not self._upgraded and self not in self._arrivals:
            # The first bytes of another request. One that is taken up as a WebSocket owes nothing more.
            self._arrivals.begin(self)

    def cut(self) -> None:
        """Drop the peer, whatever still waits for it to read."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words repeat what was sent
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, or whose handler failed outside our middlewares."""
        if isinstance(exc, ConnectionError) and self.transport is None:
            raise exc  # the peer hung up, or was cut off, before its body had come: nobody to answer, no failure
        self.log_exception("Error handling request", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        error = InvalidRequest("This is not a valid HTTP request.") if status < 500 else AuthError()
        request_id = secrets.token_hex(12)
        response = failure(error, request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = "vigil"
        response.force_close()
        return response


class Server(web.Server):
    """Makes a `Protocol` for each connection."""

    def __init__(self, *arguments: Any, on_upgrade: OnUpgrade | None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.arrivals = Arrivals(self._loop)
        self.on_upgrade = on_upgrade

    def __call__(self) -> web.RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)


class HttpRunner(web.AppRunner):
    """aiohttp's runner, with our answers to what is not HTTP and without its access log.

    aiohttp has no public hook for the former; a test holds it to what this relies on. `on_upgrade` is offered each
    connection that begins with the upgrade to a WebSocket.
    """

    def __init__(
        self, app: web.Application, *, on_upgrade: OnUpgrade | None = None, shutdown_timeout: float = 5
    ) -> None:
        self._on_upgrade = on_upgrade
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_timeout, keepalive_timeout=IDLE_SECONDS)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            on_upgrade=self._on_upgrade,
            **made._kwargs,
        )
