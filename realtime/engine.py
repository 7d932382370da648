"""Engine.IO under Vigil: python-engineio's own classes, guarded where a peer could hurt them.

Three guards: a peer that does not read is dropped when its queue is full, malformed input closes the
connection instead of raising through it, and a closed connection is really gone: its frames are flushed and
the WebSocket ends, whether the peer plays along or not.
"""

import secrets
from typing import Any

import structlog
from aiohttp import web
from engineio import packet as engine_packet
from engineio.async_server import AsyncServer as EngineAsyncServer
from engineio.async_socket import AsyncSocket as EngineAsyncSocket
from engineio.exceptions import EngineIOError, UnknownPacketError

from auth.metrics import Metrics

# A peer that does not read: beyond either limit it is dropped.
MAX_QUEUED_PACKETS = 1024
MAX_QUEUED_BYTES = 1_000_000

log = structlog.get_logger()


class EngineSocket(EngineAsyncSocket):  # type: ignore[misc] # the library has no types
    """One connection."""

    def __init__(self, server: "EngineServer", socket_id: str) -> None:
        super().__init__(server, socket_id)
        self._queued_bytes = 0
        self._transport: Any = None

    async def send(self, packet: engine_packet.Packet) -> None:
        """Queue a packet; a peer that lets too much pile up is dropped."""
        if self.closed:
            return
        self._queued_bytes += _size(packet)
        if self.queue.qsize() >= MAX_QUEUED_PACKETS or self._queued_bytes > MAX_QUEUED_BYTES:
            await self._drop()
            return
        await super().send(packet)

    async def receive(self, packet: engine_packet.Packet) -> None:
        """Take a packet; one of no known type is passed over, which the library would do with a traceback."""
        if packet.packet_type >= len(engine_packet.packet_names):
            raise UnknownPacketError
        await super().receive(packet)

    async def poll(self) -> list[engine_packet.Packet]:
        """Packets for the peer, who is taking them now."""
        packets: list[engine_packet.Packet] = await super().poll()
        self._queued_bytes -= sum(map(_size, packets))
        return packets

    async def close(
        self,
        wait: bool = True,  # noqa: ARG002 - part of the library's signature
        abort: bool = False,
        reason: str | None = None,
    ) -> None:
        """End the connection after what is queued; never waits for the peer to read it."""
        await super().close(wait=False, abort=abort, reason=reason)
        self.queue.put_nowait(None)

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take what a polling peer sends; malformed input ends the connection."""
        try:
            await super().handle_post_request(environ)
        except Exception as error:  # noqa: BLE001 - whatever a malformed packet raises ends its own connection only
            log.info("socket_bad_packet", engine_id=self.sid, error=type(error).__name__)
            await self.close(wait=False, reason=self.server.reason.TRANSPORT_ERROR)
            if self.sid in self.server.sockets:
                raise EngineIOError from None  # answered with 400

    @property
    def has_rest(self) -> bool:
        """Whether a polling peer has still to fetch what was said before the connection was closed."""
        return not self.upgraded and self.queue.qsize() > 1  # the last is None, the end

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> Any:
        self._transport = environ["aiohttp.request"].transport
        return await super()._upgrade_websocket(environ)

    async def _websocket_handler(self, ws: Any) -> None:
        try:
            await super()._websocket_handler(ws)
        except Exception as error:  # noqa: BLE001 - whatever a malformed packet raises ends its own connection only
            log.info("socket_bad_packet", engine_id=self.sid, error=type(error).__name__)
            await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)
            await ws.close()

    async def _drop(self) -> None:
        self.server.metrics.slow_readers.inc()
        log.info("socket_slow_reader", engine_id=self.sid, queued=self.queue.qsize())
        while not self.queue.empty():
            self.queue.get_nowait()
            self.queue.task_done()
        await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)
        if self._transport is not None:
            self._transport.abort()


class EngineServer(EngineAsyncServer):  # type: ignore[misc] # the library has no types
    """The Engine.IO server; makes `EngineSocket`s."""

    metrics: Metrics
    start_service_task: bool

    def generate_id(self) -> str:
        """192 random bits: a polling socket's id is all that guards it."""
        return secrets.token_urlsafe(24)

    def _get_socket(self, socket_id: str) -> EngineSocket:
        # The library's own forgets a closed connection at once, and with it the last words to a polling peer.
        socket: EngineSocket | None = self.sockets.get(socket_id)
        if socket is None or not (socket.closed and socket.has_rest):
            socket = super()._get_socket(socket_id)
        return socket

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer a request; one for a connection that has just ended, or is upgraded already, gets a 400."""
        try:
            answer: web.StreamResponse = await super().handle_request(request)
        except (KeyError, OSError) as error:
            log.info("socket_bad_request", error=type(error).__name__)
            return web.Response(status=400)
        return answer

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        # As the library's own, but for the class of the socket, cookies and JSONP.
        if self.start_service_task:
            self.start_service_task = False
            self.service_task_handle = self.start_background_task(self._service_task)
        socket_id = self.generate_id()
        socket = self.sockets[socket_id] = EngineSocket(self, socket_id)
        await socket.send(engine_packet.Packet(engine_packet.OPEN, self._open_data(socket_id, transport)))
        await self._trigger_event("connect", socket_id, environ, run_async=False)
        socket.schedule_ping()
        if transport == "websocket":
            answer = await socket.handle_get_request(environ)
            if not isinstance(answer, web.StreamResponse):
                # An `Upgrade` header without `Connection: upgrade` asks for nothing.
                await socket.close(wait=False, abort=True, reason=self.reason.TRANSPORT_ERROR)
                answer = self._bad_request("Invalid websocket upgrade")
            if socket.closed:
                self.sockets.pop(socket_id, None)
            return answer
        socket.connected = True
        return self._ok(await socket.poll(), jsonp_index=jsonp_index)

    def _open_data(self, socket_id: str, transport: str) -> dict[str, Any]:
        return {
            "sid": socket_id,
            "upgrades": self._upgrades(socket_id, transport),
            "pingTimeout": int(self.ping_timeout * 1000),
            "pingInterval": int(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }


def _size(packet: engine_packet.Packet | None) -> int:
    data = packet.data if packet is not None else None
    return len(data) if isinstance(data, str | bytes) else 0
