"""Engine.IO over HTTP (protocol v4): open a connection, poll, post, upgrade."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from engineio.async_server import AsyncServer

from auth.metrics import Metrics
from realtime.engine import frames
from realtime.engine.connection import BadRequest, EngineSocket
from realtime.engine.packets import Json, Malformed, read_payload
from realtime.engine.timers import Timer, Timers
from realtime.engine.websocket import GOING_AWAY, POLICY, Upgraded, WebSocket, upgrade_key

PROTOCOL = "4"
# A megabyte takes a slow phone some seconds.
BODY_SECONDS = 10.0

# The reference implementation's numbers and words; clients show them.
REFUSALS = {
    "transport": (0, "Transport unknown"),
    "sid": (1, "Session ID unknown"),
    "method": (2, "Bad handshake method"),
    "request": (3, "Bad request"),
    "protocol": (5, "Unsupported protocol version"),
}


class EngineServer(AsyncServer):  # type: ignore[misc] # the library has no types
    """The Engine.IO server. Handlers are the library's: `connect`, `message` and `disconnect`.

    They may return an awaitable: a `message` handler's is awaited before the connection's next message is taken.
    `metrics` counts; `refuses` may turn a new connection away, telling after how many seconds to come back, and
    `turned_away` hears when one was.
    """

    sockets: dict[str, EngineSocket]

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"json": Json, "logger": False, "http_compression": False} | options))
        self.timers = Timers()
        self.metrics: Metrics
        self.refuses: Callable[[web.BaseRequest], float | None] = _refuses_nobody
        self.turned_away: Callable[[], None] = _tells_nobody
        self._target: str | None = None
        self._last_words: dict[str, tuple[EngineSocket, Timer]] = {}
        self._opening = orjson.dumps(
            {
                "pingInterval": round(self.ping_interval * 1000),
                "pingTimeout": round(self.ping_timeout * 1000),
                "maxPayload": self.max_http_buffer_size,
            }
        )

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve on `app` under `/<engineio_path>/`, whatever the method: what makes no sense gets a 400."""
        path = f"/{engineio_path.strip('/')}/"
        app.router.add_route("*", path, self.handle_request)
        self._target = f"{path}?"

    def generate_id(self) -> str:
        """192 random bits: a polling connection's id is all that guards it."""
        return secrets.token_urlsafe(24)

    def create_queue(self, *_: Any, **__: Any) -> None:
        """None: a connection writes to its transport, which has a buffer."""

    # What Socket.IO asks for

    def deliver(self, socket: EngineSocket, data: str | bytes) -> Awaitable[Any] | None:
        """Hand a message to its handler."""
        outcome: Awaitable[Any] | None = self.handlers["message"](socket.sid, data)
        return outcome

    def forget(self, socket: EngineSocket, reason: str) -> None:
        """A connection ended."""
        try:
            if "disconnect" in self.handlers:
                outcome = self.handlers["disconnect"](socket.sid, reason)
                if outcome is not None:
                    self.start_background_task(_wait_for, outcome)
        finally:
            self.sockets.pop(socket.sid, None)

    def keep_last_words(self, socket: EngineSocket, seconds: float) -> None:
        """A connection ended before its peer polled for the reason: keep that for a while."""
        timer = self.timers.after(seconds, lambda: self.forget_last_words(socket))
        self._last_words[socket.sid] = (socket, timer)

    def forget_last_words(self, socket: EngineSocket) -> None:
        """They were said, or nobody came for them."""
        kept = self._last_words.pop(socket.sid, None)
        if kept is not None:
            kept[1].cancel()

    async def shutdown(self) -> None:
        """End every connection: those by WebSocket with a close frame that says so."""
        for socket in list(self.sockets.values()):
            socket.end(self.reason.SERVER_DISCONNECT, code=GOING_AWAY, why="the server stops")

    def close(self) -> None:
        """Forget every deadline; the last act."""
        self._last_words.clear()
        self.timers.close()

    # HTTP

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        if request.method == "OPTIONS":
            return self._answer(request, b"", status=204)
        query = request.query
        transport, socket_id = query.get("transport", ""), query.get("sid")
        if transport not in self.transports or "j" in query:  # JSONP is of protocol 3
            return self._refuse(request, "transport")
        if query.get("EIO") != PROTOCOL:
            return self._refuse(request, "protocol")
        if socket_id is None:
            return await self._open(request, transport)
        socket = self._find(socket_id)
        if socket is None:
            return self._refuse(request, "sid")
        if transport == "websocket":
            return await self._upgrade(request, socket)
        if socket.is_websocket:
            return self._refuse(request, "request")
        try:
            if request.method == "GET":
                return self._answer(request, await socket.polled(request))
            if request.method == "POST":
                return await self._post(request, socket)
        except BadRequest:
            pass
        return self._refuse(request, "request")

    def _find(self, socket_id: str) -> EngineSocket | None:
        socket = self.sockets.get(socket_id)
        if socket is None and socket_id in self._last_words:
            socket = self._last_words[socket_id][0]
        return socket

    async def _open(self, request: web.Request, transport: str) -> web.StreamResponse:
        if request.method != "GET":
            return self._refuse(request, "method")
        key = upgrade_key(request) if transport == "websocket" else None
        if transport == "websocket" and key is None:
            return self._refuse(request, "request")
        wait = self.refuses(request)
        if wait is not None:
            self.turned_away()
            headers = {"Retry-After": str(max(1, round(wait)))}
            return self._answer(request, b"too many connections", status=429, headers=headers)
        if key is not None:
            return await self._open_websocket(request, key)
        socket, outcome = self._begin(request)
        if outcome is not None:
            await outcome
        socket.by_polling()
        socket.send_text(self._hello(socket, upgrades="websocket" in self.transports and self.allow_upgrades))
        return self._answer(request, await socket.polled(request))

    def open_at_once(self, request: web.BaseRequest) -> bool:
        """Open a WebSocket within this call, when that is what a request with no body asks for, and rightly.

        For an edge that has not yet begun to serve the request's connection (`auth/http/runner.py`): the way
        through a task, the router and the middlewares costs as much as all else that opens a connection. False:
        nothing was done, and the request is to go that way, where what is wrong with it gets its answer.
        """
        if self._target is None or not request.raw_path.startswith(self._target) or "Expect" in request.headers:
            return False
        query = request.query
        if query.get("transport") != "websocket" or query.get("EIO") != PROTOCOL or "sid" in query or "j" in query:
            return False
        key = upgrade_key(request) if "websocket" in self.transports else None
        # A window that is full stays so until it ends: who is counted here and on the usual way is not worse off.
        if key is None or self.refuses(request) is not None:
            return False
        socket, outcome = self._begin(request)
        if outcome is None:
            self._greet(socket, request, key)
        else:
            self.start_background_task(self._greet_after, outcome, socket, request, key)
        return True

    async def _greet_after(
        self, outcome: Awaitable[Any], socket: EngineSocket, request: web.BaseRequest, key: str
    ) -> None:
        await outcome
        self._greet(socket, request, key)

    async def _open_websocket(self, request: web.Request, key: str) -> web.StreamResponse:
        socket, outcome = self._begin(request)
        if outcome is not None:
            await outcome
        return Upgraded() if self._greet(socket, request, key) else self._refuse(request, "request")

    def _greet(self, socket: EngineSocket, request: web.BaseRequest, key: str) -> bool:
        """Answer the upgrade and say hello, in one write; False when the peer has gone."""
        websocket = WebSocket(self.timers, max_size=self.max_http_buffer_size)
        hello = frames.frame(frames.TEXT, self._hello(socket, upgrades=False))
        try:
            websocket.take_over(request, key, greeting=hello)
        except ConnectionError:
            socket.end(self.reason.TRANSPORT_CLOSE)
            return False
        websocket.peer = socket
        socket.by_websocket(websocket)
        websocket.listen(request)
        return True

    def _begin(self, request: web.BaseRequest) -> tuple[EngineSocket, Awaitable[Any] | None]:
        """A new connection; and what is to be awaited before it is greeted, if anything."""
        socket = EngineSocket(self, self.generate_id())
        self.sockets[socket.sid] = socket
        connect = self.handlers.get("connect")
        return socket, None if connect is None else connect(socket.sid, request)

    def _hello(self, socket: EngineSocket, *, upgrades: bool) -> bytes:
        ways = b'["websocket"]' if upgrades else b"[]"
        return b'0{"sid":"%s","upgrades":%s,%s' % (socket.sid.encode(), ways, self._opening[1:])

    async def _post(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        if (request.content_length or 0) > self.max_http_buffer_size:
            return self._too_large(request, socket)
        try:
            await socket.posted(lambda: self._read(request))
        except Malformed as error:
            socket.fail(str(error))
            raise BadRequest from None
        except web.HTTPRequestEntityTooLarge:
            return self._too_large(request, socket)
        except (TimeoutError, OSError):
            # Cut off in the middle, or held back.
            socket.end(self.reason.TRANSPORT_ERROR)
            raise
        return self._answer(request, b"ok")

    async def _read(self, request: web.Request) -> list[str | bytes]:
        async with asyncio.timeout(BODY_SECONDS):
            return read_payload(await request.clone(client_max_size=self.max_http_buffer_size).read())

    def _too_large(self, request: web.Request, socket: EngineSocket) -> web.Response:
        socket.end(self.reason.TRANSPORT_ERROR)
        return self._answer(request, b"", status=413)

    async def _upgrade(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        key = upgrade_key(request)
        if key is None or socket.closed or not self.allow_upgrades:
            return self._refuse(request, "request")
        websocket = WebSocket(self.timers, max_size=self.max_http_buffer_size)
        try:
            websocket.take_over(request, key)
        except ConnectionError:
            return self._refuse(request, "request")
        if socket.closed or socket.is_websocket or socket.is_upgrading:
            # "A client MUST NOT open more than one WebSocket connection per session" (protocol v4, "Upgrade").
            websocket.close(POLICY, "this connection has a WebSocket already")
        else:
            socket.try_websocket(websocket)
        websocket.listen(request)
        return Upgraded()

    def _refuse(self, request: web.BaseRequest, why: str) -> web.Response:
        number, message = REFUSALS[why]
        body = orjson.dumps({"code": number, "message": message})
        return self._answer(request, body, status=400, content_type="application/json")

    def _answer(
        self,
        request: web.BaseRequest,
        body: bytes,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = "text/plain",
    ) -> web.Response:
        response = web.Response(body=body, status=status, content_type=content_type, headers=headers)
        if body:
            response.charset = "utf-8"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        self._allow_origin(request, response)
        return response

    def _allow_origin(self, request: web.BaseRequest, response: web.Response) -> None:
        origin = request.headers.get("Origin")
        if origin is None or self.cors_allowed_origins != "*":
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers["Access-Control-Allow-Headers"] = "Content-Type"

    def _get_socket(self, socket_id: str) -> EngineSocket:
        socket = self.sockets.get(socket_id)
        if socket is None or socket.closed:
            raise KeyError(socket_id)
        return socket

    async def send_packet(self, sid: str, pkt: Any) -> None:
        """Send a packet of the library's; one for a connection that is gone is dropped."""
        socket = self.sockets.get(sid)
        if socket is not None:
            await socket.send(pkt)


def _refuses_nobody(_: web.BaseRequest) -> None:
    return None


def _tells_nobody() -> None:
    return None


async def _wait_for(outcome: Awaitable[Any]) -> None:
    await outcome
