"""Socket.IO (protocol v5): connect, events, acks and disconnect, for sockets that the gate admits.

A client's event never reaches a lifecycle handler, whatever its name. The packets of one socket are handled one at
a time, and an invalid one ends the connection.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from aiohttp import web

from auth.platform.metrics import Metrics
from realtime.engine.connection import EngineSocket
from realtime.engine.emitter import NAMESPACE, Emitter
from realtime.engine.library_private import SocketFrame
from realtime.engine.packets import (
    ACK,
    BINARY_ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    Incoming,
    Json,
    Malformed,
    encode,
)
from realtime.engine.rooms import Member
from realtime.engine.server import SHUTTING_DOWN, EngineServer
from realtime.engine.timers import Timer
from realtime.engine.traffic_budget import REFUSED_EVENT_FRAMES, TrafficBudget
from realtime.engine.websocket import GOING_AWAY, POLICY

# Well above the payload limit of 64 KiB, so that a payload slightly over it is refused with an ack instead of
# ending the connection. Also the limit for a packet with all its attachments.
MAX_MESSAGE_BYTES = 1_000_000
# A connection that has not connected to a namespace by then is closed.
AUTHENTICATE_SECONDS = 5.0
# The reference implementation's defaults: a vanished peer is detected within 45 s.
PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS = 25.0, 20.0


class Received:
    """One event from a client. `size`: the size of its arguments in bytes, as received."""

    __slots__ = ("_member", "_number", "arguments", "event", "since", "size")

    def __init__(self, member: Member, packet: Incoming) -> None:
        self._member = member
        self._number = packet.number
        self.event: str = packet.data[0]
        self.arguments: list[Any] = packet.data[1:]
        # Without the event's name, its comma and the brackets.
        self.size = packet.size - len(self.event.encode()) - len('["",]')
        # Time of arrival, set by the gate.
        self.since = 0.0

    @property
    def wants_answer(self) -> bool:
        """Whether the client requested an ack."""
        return self._number is not None

    def refuse(self, answer: dict[str, Any]) -> None:
        """Send the ack to an event beyond the rate limit; it counts as several frames of the traffic budget."""
        self._member.engine.spending.add_frames(REFUSED_EVENT_FRAMES - 1)
        self.answer(answer)

    def answer(self, *values: Any) -> None:
        """Send the ack; does nothing if none was requested or the socket has disconnected."""
        if self._number is not None and self._member.is_connected:
            self._member.send(encode(ACK, self._member.namespace, self._number, list(values)))

    def when_received(self, act: Callable[[], None]) -> None:
        """Call `act` once the client has received the ack; not called if the socket disconnects before."""
        if self._number is not None and self._member.is_connected:
            self._member.engine.when_received(act)

    @property
    def is_gone(self) -> bool:
        """Whether the socket has disconnected, so that an ack cannot be delivered."""
        return not self._member.is_connected or self._member.engine.closed


class Gate(Protocol):
    """Decides which sockets are admitted, and receives their events. Implemented by the gateway."""

    def refuses(self, request: web.BaseRequest) -> float | None:
        """Seconds until the request's sender may open a connection; None if it may now."""

    def count_refused(self) -> None:
        """Count a connection refused by `refuses`."""

    def note(self, request: web.BaseRequest) -> Any:
        """Data to keep from the request that opens a connection."""

    def gone(self, noted: Any) -> None:
        """The connection has ended for which `note` returned `noted`."""

    async def admit(self, socket_id: str, noted: Any, auth: Any) -> None:
        """Admit a socket, or raise `Refused` or `NodeDraining`. `noted` is the result of `note`."""

    def admitted(self, socket_id: str) -> None:
        """The socket has been sent the confirmation of its connect."""

    def receive(self, socket_id: str, received: Received) -> None:
        """Handle an event."""

    def left(self, socket_id: str) -> None:
        """A socket that was admitted has disconnected."""


class NodeDraining(Exception):
    """This node admits no more sockets: the connection ends, and its client should try another node."""


class Refused(Exception):
    """The handshake is refused; `data` is sent with `connect_error`."""

    def __init__(self, message: str, data: dict[str, Any]) -> None:
        super().__init__(message)
        self.data = data


class SocketServer(SocketFrame):
    """The Socket.IO server: connects sockets and receives their events; `emitter` sends to them.

    `cors_allowed_origins`: origins, in lower case, whose pages may read responses to polls; `"*"` for any. It does
    not restrict handshakes: the gateway checks their origin and reports why it refuses. `authenticate_seconds`:
    how long a connection may be in no namespace.
    """

    engine_class = EngineServer

    def __init__(
        self,
        gate: Gate,
        emitter: Emitter,
        *,
        metrics: Metrics,
        allowance: TrafficBudget | None = None,
        namespaces: Sequence[str] = (NAMESPACE,),
        authenticate_seconds: float = AUTHENTICATE_SECONDS,
        ping_interval: float = PING_INTERVAL_SECONDS,
        ping_timeout: float = PING_TIMEOUT_SECONDS,
        cors_allowed_origins: Any = (),
        transports: Sequence[str] = ("polling", "websocket"),
    ) -> None:
        super().__init__(
            async_mode="aiohttp",
            client_manager=emitter.rooms,
            namespaces=list(namespaces),
            cors_allowed_origins=cors_allowed_origins,
            cors_credentials=False,
            json=Json,
            max_http_buffer_size=MAX_MESSAGE_BYTES,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            transports=list(transports),
            async_handlers=False,
            logger=False,
            engineio_logger=False,
            timers=emitter.timers,
            metrics=metrics,
            allowance=allowance or TrafficBudget(),
            refuses=gate.refuses,
            count_refused=gate.count_refused,
        )
        self.emitter = emitter
        # Replace the library's own handlers.
        self.eio.on("connect", self._connection_opened)
        self.eio.on("message", self._message_received)
        self.eio.on("disconnect", self._connection_ended)
        self._engines: EngineServer = self.eio
        self._rooms = emitter.rooms
        self._gate = gate
        self._authenticate_seconds = authenticate_seconds
        self._deadlines: dict[str, Timer] = {}
        self._binary: dict[str, Incoming] = {}

    @property
    def engines(self) -> EngineServer:
        """The Engine.IO server beneath."""
        return self._engines

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:  # noqa: ARG002
        """Disconnect a socket but keep its connection; part of the library's API."""
        member = self._rooms.get(sid)
        if member is not None and member.namespace == (namespace or NAMESPACE):
            member.send(encode(DISCONNECT, member.namespace, None, None))
            self._remove(member)
            self._restart_deadline(member.engine)

    async def shutdown(self) -> None:
        """End all connections with a close frame, and cancel all timers."""
        await self._engines.shutdown()
        self._engines.close()

    # Receiving

    def _connection_opened(self, engine_id: str, request: web.BaseRequest) -> None:
        engine = self._engines.sockets[engine_id]
        engine.noted = self._gate.note(request)
        self._start_deadline(engine)

    def _connection_ended(self, engine_id: str, _: str) -> None:
        self._cancel_deadline(engine_id)
        self._binary.pop(engine_id, None)
        engine = self._engines.sockets[engine_id]
        for member in tuple(engine.members):
            self._remove(member)
        if engine.noted is not None:
            self._gate.gone(engine.noted)

    def _message_received(self, engine_id: str, data: str | bytes) -> Awaitable[None] | None:
        engine = self._engines.sockets.get(engine_id)
        if engine is None:
            return None
        packet = self._assemble(engine_id, data)
        if packet is None:
            return None
        if packet.kind == CONNECT:
            return self._connect(engine, packet)
        self._dispatch(engine, packet)
        return None

    def _assemble(self, engine_id: str, data: str | bytes) -> Incoming | None:
        """The packet that a message completes; None while attachments are missing."""
        pending = self._binary.get(engine_id)
        if pending is not None:
            if not isinstance(data, bytes):
                raise Malformed("an attachment was expected")
            if not pending.add(data, limit=MAX_MESSAGE_BYTES):
                return None
            return self._binary.pop(engine_id)
        if not isinstance(data, str):
            raise Malformed("an unexpected attachment")
        packet = Incoming(data)
        if packet.is_whole:
            return packet
        engine = self._engines.sockets[engine_id]
        if self._rooms.of_engine(engine, packet.namespace) is None:
            raise Malformed("attachments before the handshake")
        self._binary[engine_id] = packet
        return None

    def _dispatch(self, engine: EngineSocket, packet: Incoming) -> None:
        member = self._rooms.of_engine(engine, packet.namespace)
        if member is None or not member.is_connected:
            raise Malformed("not connected to that namespace")
        if packet.kind == DISCONNECT:
            self._remove(member)
            self._restart_deadline(engine)
        elif packet.kind in (ACK, BINARY_ACK):
            member.acknowledged(packet.number or 0, packet.data)
        else:
            self._gate.receive(member.socket_id, Received(member, packet))

    async def _connect(self, engine: EngineSocket, packet: Incoming) -> None:
        namespace = packet.namespace
        if namespace not in self.namespaces:
            engine.send_text(encode(CONNECT_ERROR, namespace, None, {"message": "Invalid namespace"})[0])
            return
        if self._rooms.of_engine(engine, namespace) is not None:
            raise Malformed("already connected to that namespace")
        member = self._rooms.add(engine, namespace)
        try:
            await self._gate.admit(member.socket_id, engine.noted, packet.data)
        except NodeDraining:
            self._rooms.remove(member)
            engine.end(self.reason.SERVER_DISCONNECT, code=GOING_AWAY, why=SHUTTING_DOWN, notify=False)
            return
        except Refused as refusal:
            self._rooms.remove(member)
            error = {"message": str(refusal), "data": refusal.data}
            engine.send_text(encode(CONNECT_ERROR, namespace, None, error)[0])
            return
        if engine.closed:
            # The peer disconnected during `admit`, when the member was not connected yet.
            self._rooms.remove(member)
            self._gate.left(member.socket_id)
            return
        self._cancel_deadline(engine.sid)
        member.is_connected = True
        engine.hold()
        try:
            member.send(encode(CONNECT, namespace, None, {"sid": member.socket_id}))
            self._gate.admitted(member.socket_id)
        finally:
            engine.release()

    def _remove(self, member: Member) -> None:
        was_connected = member.is_connected
        if self._rooms.remove(member) and was_connected:
            self._gate.left(member.socket_id)

    # Deadline for authentication

    def _start_deadline(self, engine: EngineSocket) -> None:
        self._deadlines[engine.sid] = self._engines.timers.after(
            self._authenticate_seconds, lambda: self._not_authenticated(engine)
        )

    def _restart_deadline(self, engine: EngineSocket) -> None:
        if not engine.members and not engine.closed:
            self._start_deadline(engine)

    def _not_authenticated(self, engine: EngineSocket) -> None:
        self._deadlines.pop(engine.sid, None)
        engine.end(
            self.reason.SERVER_DISCONNECT,
            code=POLICY,
            why="not authenticated in time",
            is_patient=False,
        )

    def _cancel_deadline(self, engine_id: str) -> None:
        timer = self._deadlines.pop(engine_id, None)
        if timer is not None:
            timer.cancel()
