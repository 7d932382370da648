"""Engine.IO over HTTP (protocol v4): open a connection, poll, post, upgrade."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from auth.platform.fair_turns import FairTurns
from auth.platform.metrics import Metrics
from realtime.engine import frames
from realtime.engine.connection import BadRequest, EngineSocket
from realtime.engine.library_private import EngineFrame
from realtime.engine.opening import VERSION, VERSION_HEADER, Upgraded, upgrade_key
from realtime.engine.packets import Json, Malformed, read_payload
from realtime.engine.timers import Timer, Timers
from realtime.engine.traffic_budget import TrafficBudget
from realtime.engine.websocket import GOING_AWAY, POLICY, WebSocket

PROTOCOL = "4"
SHUTTING_DOWN = "the server is shutting down"
# Time limit for receiving a post; 1 MB takes a slow phone several seconds.
BODY_SECONDS = 10.0

# How long a browser may cache a CORS preflight response.
PREFLIGHT_SECONDS = 600

# Codes and messages of the reference implementation; clients show them.
REFUSALS = {
    "transport": (0, "Transport unknown"),
    "sid": (1, "Session ID unknown"),
    "method": (2, "Bad handshake method"),
    "request": (3, "Bad request"),
    "protocol": (5, "Unsupported protocol version"),
}


class EngineServer(EngineFrame):
    """The Engine.IO server, with the library's handlers `connect`, `message` and `disconnect`.

    Handlers may return an awaitable; that of `message` is awaited before the connection's next message is handled.
    `allowance`: traffic budget of each connection. `refuses` returns seconds to wait if a new connection is
    refused, else None; `count_refused` is called for each refused one.
    """

    sockets: dict[str, EngineSocket]

    def __init__(
        self,
        *,
        metrics: Metrics,
        timers: Timers | None = None,
        allowance: TrafficBudget | None = None,
        refuses: Callable[[web.BaseRequest], float | None] = lambda _: None,
        count_refused: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> None:
        super().__init__(**({"json": Json, "logger": False, "http_compression": False} | options))
        self.timers = timers or Timers()
        self.turns = FairTurns()
        self.allowance = allowance or TrafficBudget()
        self.metrics = metrics
        self._refuses = refuses
        self._count_refused = count_refused
        self._is_draining = False
        self._final_packets: dict[str, tuple[EngineSocket, Timer]] = {}
        self._opening = orjson.dumps(
            {
                "pingInterval": round(self.ping_interval * 1000),
                "pingTimeout": round(self.ping_timeout * 1000),
                "maxPayload": self.max_http_buffer_size,
            }
        )

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve all methods on `app` under `/<engineio_path>/`; invalid requests get a 400."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)

    def generate_id(self) -> str:
        """192 random bits: the id is all that authenticates a long-polling connection's requests."""
        return secrets.token_urlsafe(24)

    # Used by Socket.IO

    def deliver(self, socket: EngineSocket, data: str | bytes) -> Awaitable[Any] | None:
        """Part of `connection.Host`: pass a message to its handler."""
        outcome: Awaitable[Any] | None = self.handlers["message"](socket.sid, data)
        return outcome

    def forget(self, socket: EngineSocket, reason: str) -> None:
        """Part of `connection.Host`: remove an ended connection."""
        try:
            if "disconnect" in self.handlers:
                outcome = self.handlers["disconnect"](socket.sid, reason)
                if outcome is not None:
                    self.start_background_task(_wait_for, outcome)
        finally:
            self.sockets.pop(socket.sid, None)

    def keep_final_packets(self, socket: EngineSocket, seconds: float) -> None:
        """Part of `connection.Host`: keep an ended connection for its peer's next poll, at most `seconds`."""
        timer = self.timers.after(seconds, lambda: self.forget_final_packets(socket))
        self._final_packets[socket.sid] = (socket, timer)

    def forget_final_packets(self, socket: EngineSocket) -> None:
        """Part of `connection.Host`: the final packets were polled, or their time is over."""
        kept = self._final_packets.pop(socket.sid, None)
        if kept is not None:
            kept[1].cancel()

    def refuse_new_connections(self) -> None:
        """Refuse new connections with 503 from now on, because this node is shutting down."""
        self._is_draining = True

    async def shutdown(self) -> None:
        """End all connections; WebSockets get a close frame with code 1001."""
        for socket in list(self.sockets.values()):
            socket.end(self.reason.SERVER_DISCONNECT, code=GOING_AWAY, why=SHUTTING_DOWN, notify=False)

    def close(self) -> None:
        """Cancel all timers; call last."""
        self._final_packets.clear()
        self.timers.close()

    # HTTP

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        if request.method == "OPTIONS":
            return self._answer(request, b"", status=204)
        query = request.query
        transport, socket_id = query.get("transport", ""), query.get("sid")
        if transport not in self.transports or "j" in query:  # JSONP was dropped in protocol 4
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
        if socket is None and socket_id in self._final_packets:
            socket = self._final_packets[socket_id][0]
        return socket

    async def _open(self, request: web.Request, transport: str) -> web.StreamResponse:
        if request.method != "GET":
            return self._refuse(request, "method")
        key = upgrade_key(request) if transport == "websocket" else None
        if transport == "websocket" and key is None:
            return self._refuse_upgrade(request)
        if self._is_draining:
            return self._answer(request, SHUTTING_DOWN.encode(), status=503, headers={"Retry-After": "1"})
        wait = self._refuses(request)
        if wait is not None:
            self._count_refused()
            headers = {"Retry-After": str(max(1, round(wait)))}
            return self._answer(request, b"too many connections", status=429, headers=headers)
        if key is not None:
            return await self._open_websocket(request, key)
        socket, outcome = self._begin(request)
        if outcome is not None:
            await outcome
        socket.by_polling()
        can_upgrade = "websocket" in self.transports and self.allow_upgrades
        socket.send_text(self._open_packet(socket, can_upgrade=can_upgrade))
        return self._answer(request, await socket.polled(request))

    async def _open_websocket(self, request: web.Request, key: str) -> web.StreamResponse:
        socket, outcome = self._begin(request)
        if outcome is not None:
            await outcome
        websocket = self._websocket(socket)
        open_packet = frames.frame(frames.TEXT, self._open_packet(socket, can_upgrade=False))
        try:
            # Response and packet in one write: each costs about 10 µs.
            websocket.take_over(request, key, first_frame=open_packet)
        except ConnectionError:
            socket.end(self.reason.TRANSPORT_CLOSE)
            return self._refuse(request, "request")
        websocket.peer = socket
        socket.by_websocket(websocket)
        websocket.listen(request)
        return Upgraded()

    def _websocket(self, socket: EngineSocket) -> WebSocket:
        return WebSocket(self.timers, self.turns, socket.spending, max_size=self.max_http_buffer_size)

    def _begin(self, request: web.BaseRequest) -> tuple[EngineSocket, Awaitable[Any] | None]:
        """Create a connection; also returns the `connect` handler's awaitable, if any."""
        socket = EngineSocket(self, self.generate_id())
        self.sockets[socket.sid] = socket
        connect = self.handlers.get("connect")
        return socket, None if connect is None else connect(socket.sid, request)

    def _open_packet(self, socket: EngineSocket, *, can_upgrade: bool) -> bytes:
        upgrades = b'["websocket"]' if can_upgrade else b"[]"
        return b'0{"sid":"%s","upgrades":%s,%s' % (socket.sid.encode(), upgrades, self._opening[1:])

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
            # The peer disconnected during the post, or sent it too slowly.
            socket.end(self.reason.TRANSPORT_ERROR)
            raise
        return self._answer(request, b"ok")

    async def _read(self, request: web.Request) -> tuple[list[str | bytes], int]:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.clone(client_max_size=self.max_http_buffer_size).read()
        return read_payload(body), len(body)

    def _too_large(self, request: web.Request, socket: EngineSocket) -> web.Response:
        socket.end(self.reason.TRANSPORT_ERROR)
        return self._answer(request, b"", status=413)

    async def _upgrade(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        key = upgrade_key(request)
        if key is None or socket.closed or not self.allow_upgrades:
            return self._refuse_upgrade(request)
        websocket = self._websocket(socket)
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

    def _refuse_upgrade(self, request: web.BaseRequest) -> web.Response:
        """Refuse an upgrade; name the supported version if the request has another (RFC 6455, section 4.4)."""
        response = self._refuse(request, "request")
        if request.headers.get(VERSION_HEADER) != VERSION:
            response.headers[VERSION_HEADER] = VERSION
        return response

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
        """Add CORS headers for allowed origins, also to refusals; `"*"` allows any."""
        response.headers["Vary"] = "Origin"
        origin = request.headers.get("Origin")
        if origin is None:
            return
        if self.cors_allowed_origins != "*" and origin.lower() not in self.cors_allowed_origins:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        if request.method == "OPTIONS":
            asked = request.headers.get("Access-Control-Request-Headers", "Content-Type")
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers["Access-Control-Allow-Headers"] = asked
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)

    def socket_of(self, socket_id: str) -> EngineSocket:
        """Part of `EngineFrame`."""
        socket = self.sockets.get(socket_id)
        if socket is None or socket.closed:
            raise KeyError(socket_id)
        return socket

    async def send_packet(self, sid: str, pkt: Any) -> None:
        """Send a packet of the library; dropped if the connection has ended."""
        socket = self.sockets.get(sid)
        if socket is not None:
            await socket.send(pkt)


async def _wait_for(outcome: Awaitable[Any]) -> None:
    await outcome
