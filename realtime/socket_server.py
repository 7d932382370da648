"""Socket.IO under Vigil: python-socketio's server with its own dispatch of what clients send.

A client's packet never reaches a lifecycle handler, whatever its event is called; handlers run one after the
other for one socket; a packet that makes no sense closes the connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import socketio
import structlog
from socketio import packet as socket_packet
from socketio.exceptions import ConnectionRefusedError as SocketConnectionRefused

from auth.metrics import Metrics
from realtime.engine import EngineServer
from realtime.messages import REVOCATION_ACK_SECONDS

NAMESPACE = "/"
# Room for a payload of 64 KiB and for an honest mistake above it, which is answered instead of cut off.
# A packet and its attachments together are held to it, too.
MAX_MESSAGE_BYTES = 1_000_000
MAX_ATTACHMENTS = 10
# A connection that has not authenticated by then is closed.
AUTHENTICATE_SECONDS = 5.0

log = structlog.get_logger()


class Json:
    """orjson in the shape that python-socketio expects. It refuses NaN, lone surrogates and deep nesting."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """`value` as JSON text."""
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """The value of a JSON text; raises `ValueError`."""
        return orjson.loads(text)


@dataclass(frozen=True, slots=True)
class Received:
    """One event as a client sent it; `answer` sends the ack, and does nothing where none was asked for.

    `size` is that of the arguments in bytes, as they came.
    """

    event: str
    arguments: list[Any]
    size: int
    answer: Callable[[dict[str, Any]], Awaitable[None]]


class Gate(Protocol):
    """Who decides about sockets: the gateway."""

    async def admit(self, socket_id: str, environ: dict[str, Any], auth: Any) -> None:
        """Let a socket in, or raise `Refused`."""

    async def admitted(self, socket_id: str) -> None:
        """The socket has been told that it is in."""

    async def receive(self, socket_id: str, received: Received) -> None:
        """Take an event."""

    async def left(self, socket_id: str) -> None:
        """A socket that was admitted, or was about to be, is gone."""


class Refused(Exception):
    """The handshake is refused; `data` becomes the `connect_error`'s data."""

    def __init__(self, message: str, data: dict[str, Any]) -> None:
        super().__init__(message)
        self.data = data


class SocketServer(socketio.AsyncServer):  # type: ignore[misc] # the library has no types
    """The Socket.IO server, and the way out to one socket (`push.Emitter`)."""

    def __init__(self, gate: Gate, *, metrics: Metrics, **options: Any) -> None:
        super().__init__(
            async_mode="aiohttp",
            # Origins are judged by the gateway, which can say why; no CORS header is sent.
            cors_allowed_origins=[],
            cors_credentials=False,
            json=Json,
            max_http_buffer_size=MAX_MESSAGE_BYTES,
            http_compression=False,
            # This server and its queue of events per socket see to the order; nothing runs beside it.
            async_handlers=False,
            logger=False,
            engineio_logger=False,
            **options,
        )
        self.eio.metrics = metrics
        self._gate = gate
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self.on("connect", self._on_connect)
        self.on("disconnect", self._on_disconnect)

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    async def emit_here(self, socket_id: str, event: str, payload: dict[str, Any]) -> None:
        """Send an event to a socket of this node; never waits for the peer."""
        await self.emit(event, payload, to=socket_id, namespace=NAMESPACE, ignore_queue=True)

    async def emit_acknowledged(self, socket_id: str, event: str, payload: dict[str, Any]) -> bool:
        """Send an event to a socket of this node and wait for its ack, at most 1 s; whether it came."""
        acknowledged = asyncio.get_running_loop().create_future()

        def on_ack(*_: Any) -> None:
            if not acknowledged.done():
                acknowledged.set_result(True)

        await self.emit(event, payload, to=socket_id, namespace=NAMESPACE, callback=on_ack, ignore_queue=True)
        try:
            return bool(await asyncio.wait_for(acknowledged, timeout=REVOCATION_ACK_SECONDS))
        except TimeoutError:
            return False

    async def leave_rooms(self, socket_id: str) -> None:
        """Take a socket out of every room but its own: from now on it hears only what is meant for it alone."""
        for room in self.rooms(socket_id, namespace=NAMESPACE):
            if room != socket_id:
                await self.leave_room(socket_id, room, namespace=NAMESPACE)

    async def close(self, socket_id: str) -> None:
        """Disconnect a socket of this node, and end its connection: nothing else could use it."""
        engine_id = self.manager.eio_sid_from_sid(socket_id, NAMESPACE)
        await self.disconnect(socket_id, namespace=NAMESPACE, ignore_queue=True)
        await self._end(engine_id)

    async def _end(self, engine_id: str | None) -> None:
        connection = self.eio.sockets.get(engine_id)
        if connection is not None:
            await connection.close(wait=False)

    async def _on_connect(self, socket_id: str, environ: dict[str, Any], auth: Any) -> None:
        try:
            await self._gate.admit(socket_id, environ, auth)
        except Refused as refusal:
            raise SocketConnectionRefused(str(refusal), refusal.data) from None

    async def _on_disconnect(self, socket_id: str, _reason: str) -> None:
        await self._gate.left(socket_id)

    async def _handle_eio_connect(self, engine_id: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(engine_id, environ)
        self._waiting[engine_id] = asyncio.get_running_loop().call_later(
            AUTHENTICATE_SECONDS, self._not_authenticated, engine_id
        )

    async def _handle_eio_disconnect(self, engine_id: str, reason: str) -> None:
        self._stop_waiting(engine_id)
        self._binary_packet.pop(engine_id, None)
        await super()._handle_eio_disconnect(engine_id, reason)

    async def _handle_connect(self, engine_id: str, namespace: str | None, data: Any) -> None:
        if (namespace or NAMESPACE) != NAMESPACE:
            namespace = (namespace or "")[:64]
        await super()._handle_connect(engine_id, namespace, data)
        socket_id = self.manager.sid_from_eio_sid(engine_id, NAMESPACE)
        if (namespace or NAMESPACE) != NAMESPACE or not self.manager.is_connected(socket_id, NAMESPACE):
            return
        self._stop_waiting(engine_id)
        await self._gate.admitted(socket_id)
        connection = self.eio.sockets.get(engine_id)
        if connection is None or connection.closed:
            # The peer went while it was let in, when there was nobody yet to be disconnected.
            await self._handle_disconnect(engine_id, NAMESPACE, self.reason.TRANSPORT_CLOSE)

    async def _handle_eio_message(self, engine_id: str, data: Any) -> None:
        if engine_id not in self.environ:
            # The connection was closed and this came after: it could only leave something behind.
            return
        try:
            packet = self._assemble(engine_id, data)
            if packet is not None:
                await self._dispatch(engine_id, packet)
        except Exception as error:  # noqa: BLE001 - whatever hostile input raises in the decoder ends its connection only
            log.info("socket_bad_packet", engine_id=engine_id, error=type(error).__name__)
            await self._end(engine_id)

    def _assemble(self, engine_id: str, data: Any) -> socket_packet.Packet | None:
        """The packet that `data` completes, with its `size` in bytes; None while attachments are missing."""
        pending = self._binary_packet.get(engine_id)
        if pending is not None:
            if not isinstance(data, bytes):
                raise ValueError("an attachment was due")
            pending.size += len(data)
            if pending.size > MAX_MESSAGE_BYTES:
                raise ValueError("the attachments are too large")
            if not pending.add_attachment(data):
                return None
            return self._binary_packet.pop(engine_id)
        if not isinstance(data, str):
            raise ValueError("no attachment was due")  # noqa: TRY004 - the peer's mistake, not a type error of ours
        packet = self.packet_class(encoded_packet=data)
        packet.size = len(data.encode())
        if packet.packet_type not in (socket_packet.BINARY_EVENT, socket_packet.BINARY_ACK):
            return packet
        if not 0 < packet.attachment_count <= MAX_ATTACHMENTS:
            raise ValueError("too many attachments")
        if self.manager.sid_from_eio_sid(engine_id, NAMESPACE) is None:
            raise ValueError("attachments before the handshake")
        self._binary_packet[engine_id] = packet
        return None

    async def _dispatch(self, engine_id: str, packet: socket_packet.Packet) -> None:
        kind, namespace = packet.packet_type, packet.namespace or NAMESPACE
        if kind == socket_packet.CONNECT:
            if self.manager.sid_from_eio_sid(engine_id, namespace) is not None:
                raise ValueError("connected already")
            await self._handle_connect(engine_id, packet.namespace, packet.data)
        elif kind == socket_packet.DISCONNECT:
            await self._handle_disconnect(engine_id, packet.namespace, self.reason.CLIENT_DISCONNECT)
            await self._end(engine_id)
        elif kind in (socket_packet.EVENT, socket_packet.BINARY_EVENT):
            arguments = packet.data
            if not isinstance(arguments, list) or not arguments or not isinstance(arguments[0], str):
                raise ValueError("an event without a name")
            await self._receive(engine_id, namespace, arguments, packet)
        elif kind in (socket_packet.ACK, socket_packet.BINARY_ACK):
            if not isinstance(packet.data, list) or not packet.id:
                # We count from 1, and the library keeps its counter under 0.
                raise ValueError("an ack of nothing")
            await self._handle_ack(engine_id, packet.namespace, packet.id, packet.data)
        else:
            raise ValueError("a packet that clients do not send")

    async def _receive(
        self, engine_id: str, namespace: str, arguments: list[Any], packet: socket_packet.Packet
    ) -> None:
        socket_id = self.manager.sid_from_eio_sid(engine_id, namespace)
        if namespace != NAMESPACE or not self.manager.is_connected(socket_id, namespace):
            return

        async def answer(ack: dict[str, Any]) -> None:
            if packet.id is not None and self.manager.is_connected(socket_id, namespace):
                await self._send_packet(
                    engine_id,
                    self.packet_class(socket_packet.ACK, namespace=namespace, id=packet.id, data=[ack]),
                )

        name = arguments[0]
        # What stands around the arguments does not count: type, attachments, ack id, name and brackets.
        around = len(f"2{packet.id or ''}[,]") + len(Json.dumps(name).encode())
        await self._gate.receive(socket_id, Received(name, arguments[1:], packet.size - around, answer))

    def _not_authenticated(self, engine_id: str) -> None:
        self._waiting.pop(engine_id, None)
        self.start_background_task(self._end, engine_id)

    def _stop_waiting(self, engine_id: str) -> None:
        timer = self._waiting.pop(engine_id, None)
        if timer is not None:
            timer.cancel()
