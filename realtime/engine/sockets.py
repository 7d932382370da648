"""Socket.IO (protocol v5): connect, events, acks, disconnect, for whoever the gate lets in.

A client's packet never reaches a lifecycle handler, whatever its event is called; the packets of one socket are
taken one after the other; one that makes no sense ends the connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import socketio
from aiohttp import web

from auth.metrics import Metrics
from realtime.engine.connection import EngineSocket
from realtime.engine.packets import (
    ACK,
    BINARY_ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    Incoming,
    Json,
    Malformed,
    encode,
)
from realtime.engine.rooms import Member, Rooms, for_bus, from_bus
from realtime.engine.server import EngineServer
from realtime.engine.timers import Timer
from realtime.engine.websocket import POLICY

NAMESPACE = "/"
# Room for a payload of 64 KiB and for an honest mistake above it, which is answered instead of cut off.
# A packet and its attachments together are held to it, too.
MAX_MESSAGE_BYTES = 1_000_000
# A connection that has not authenticated by then is closed.
AUTHENTICATE_SECONDS = 5.0
# The reference implementation's defaults: a peer that vanished is found out within 45 s.
PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS = 25.0, 20.0


class Received:
    """One event as a client sent it. `size` is that of the arguments in bytes, as they came."""

    __slots__ = ("_member", "_number", "arguments", "event", "size")

    def __init__(self, member: Member, packet: Incoming) -> None:
        self._member = member
        self._number = packet.number
        self.event: str = packet.data[0]
        self.arguments: list[Any] = packet.data[1:]
        # What stands around the arguments does not count: the name, its comma and the brackets.
        self.size = packet.size - len(self.event.encode()) - len('["",]')

    @property
    def wants_answer(self) -> bool:
        """Whether an ack was asked for."""
        return self._number is not None

    def answer(self, *values: Any) -> None:
        """Send the ack; does nothing where none was asked for, or when the socket is gone."""
        if self._number is not None and self._member.is_connected:
            self._member.send(encode(ACK, self._member.namespace, self._number, list(values)))


class Gate(Protocol):
    """Who decides about sockets: the gateway."""

    def note(self, request: web.BaseRequest) -> Any:
        """What is to be known later of the request that opens a connection, which is not kept."""

    async def admit(self, socket_id: str, noted: Any, auth: Any) -> None:
        """Let a socket in, or raise `Refused`; `noted` is what `note` returned."""

    def admitted(self, socket_id: str) -> None:
        """The socket has been told that it is in."""

    def receive(self, socket_id: str, received: Received) -> None:
        """Take an event."""

    def left(self, socket_id: str) -> None:
        """A socket that was admitted, or was about to be, is gone."""


class Refused(Exception):
    """The handshake is refused; `data` becomes the `connect_error`'s data."""

    def __init__(self, message: str, data: dict[str, Any]) -> None:
        super().__init__(message)
        self.data = data


class SocketServer(socketio.AsyncServer):  # type: ignore[misc] # the library has no types
    """The Socket.IO server, and the way out to one socket (`push.Emitter`).

    `cors_allowed_origins` is `"*"` for any, otherwise nobody: whom the live socket of Vigil talks to the gateway
    judges, which can say why. `authenticate_seconds` is how long a connection may be in no namespace.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        metrics: Metrics,
        namespaces: Sequence[str] = (NAMESPACE,),
        authenticate_seconds: float = AUTHENTICATE_SECONDS,
        ping_interval: float = PING_INTERVAL_SECONDS,
        ping_timeout: float = PING_TIMEOUT_SECONDS,
        cors_allowed_origins: Any = (),
        transports: Sequence[str] = ("polling", "websocket"),
    ) -> None:
        super().__init__(
            async_mode="aiohttp",
            client_manager=Rooms(),
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
        )
        self.eio.metrics = metrics
        self._engines: EngineServer = self.eio
        self._rooms: Rooms = self.manager
        self._gate = gate
        self._authenticate_seconds = authenticate_seconds
        self._waiting: dict[str, Timer] = {}
        self._binary: dict[str, Incoming] = {}

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    @property
    def engines(self) -> EngineServer:
        """The Engine.IO server beneath."""
        return self._engines

    # Out

    def emit_here(self, socket_id: str, event: str, *values: Any) -> None:
        """Send an event to a socket of this node; never waits for the peer."""
        member = self._rooms.get(socket_id)
        if member is not None:
            member.send(encode(EVENT, member.namespace, None, [event, *values]))

    async def emit_acknowledged(
        self, socket_id: str, event: str, payload: dict[str, Any], *, seconds: float
    ) -> bool:
        """Send an event to a socket of this node and wait for its ack, at most `seconds`; whether it came."""
        member = self._rooms.get(socket_id)
        if member is None:
            return False
        acknowledged: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def settle(came: bool) -> None:
            if not acknowledged.done():
                acknowledged.set_result(came)

        number = member.expect_ack(lambda *_: settle(True))
        member.send(encode(EVENT, member.namespace, number, [event, payload]))
        timer = self._engines.timers.after(seconds, lambda: settle(False))
        try:
            return await acknowledged
        finally:
            timer.cancel()
            member.forget_ack(number)

    def emit_asking(
        self,
        socket_id: str,
        event: str,
        payload: dict[str, Any],
        *,
        seconds: float,
        settled: Callable[[bool], None],
    ) -> None:
        """Send an event to a socket of this node now; `settled` is told once whether its ack came in `seconds`."""
        member = self._rooms.get(socket_id)
        if member is None:
            settled(False)
            return

        def acknowledged(*_: Any) -> None:
            timer.cancel()
            settled(True)

        def too_late() -> None:
            member.forget_ack(number)
            settled(False)

        number = member.expect_ack(acknowledged)
        timer = self._engines.timers.after(seconds, too_late)
        member.send(encode(EVENT, member.namespace, number, [event, payload]))

    def emit_to_room(self, event: str, data: Any, room: str) -> list[str]:
        """Send an event to a room of this node; what `room_event` of another node takes, to do the same there."""
        encoded = encode(EVENT, NAMESPACE, None, [event, data])
        self._rooms.send_to_room(encoded, NAMESPACE, room)
        return for_bus(encoded)

    def room_event(self, texts: Sequence[str], room: str) -> None:
        """Send what another node's `emit_to_room` returned to a room of this node."""
        self._rooms.send_to_room(from_bus(texts), NAMESPACE, room)

    def enter_here(self, socket_id: str, room: str) -> None:
        """Put a socket of this node into a room."""
        member = self._rooms.get(socket_id)
        if member is not None:
            self._rooms.enter(member, room)

    def leave_here(self, socket_id: str, room: str) -> None:
        """Take a socket of this node out of a room."""
        member = self._rooms.get(socket_id)
        if member is not None:
            self._rooms.leave(member, room)

    def leave_rooms(self, socket_id: str) -> None:
        """Take a socket out of every room: from now on it hears only what is meant for it alone."""
        member = self._rooms.get(socket_id)
        if member is not None:
            for room in tuple(member.rooms):
                self._rooms.leave(member, room)

    def close(self, socket_id: str) -> None:
        """Disconnect a socket of this node, and end its connection: nothing else could use it."""
        member = self._rooms.get(socket_id)
        if member is not None:
            member.send(encode(DISCONNECT, member.namespace, None, None))
            self._remove(member)
            member.engine.end(self.reason.SERVER_DISCONNECT)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:  # noqa: ARG002
        """The library's own way to disconnect a socket; its connection stays."""
        member = self._rooms.get(sid)
        if member is not None and member.namespace == (namespace or NAMESPACE):
            member.send(encode(DISCONNECT, member.namespace, None, None))
            self._remove(member)
            self._wait_again(member.engine)

    async def shutdown(self) -> None:
        """End every connection with a close frame, and forget every deadline."""
        await self._engines.shutdown()
        self._engines.close()

    # In

    def _handle_eio_connect(self, engine_id: str, request: web.BaseRequest) -> None:
        engine = self._engines.sockets[engine_id]
        engine.noted = self._gate.note(request)
        self._wait_for(engine)

    def _handle_eio_disconnect(self, engine_id: str, _: str) -> None:
        self._stop_waiting(engine_id)
        self._binary.pop(engine_id, None)
        for member in tuple(self._engines.sockets[engine_id].members):
            self._remove(member)

    def _handle_eio_message(self, engine_id: str, data: str | bytes) -> Awaitable[None] | None:
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
        """The packet that a message makes up; None while attachments are still to come."""
        pending = self._binary.get(engine_id)
        if pending is not None:
            if not isinstance(data, bytes):
                raise Malformed("an attachment was due")
            if not pending.add(data, limit=MAX_MESSAGE_BYTES):
                return None
            return self._binary.pop(engine_id)
        if not isinstance(data, str):
            raise Malformed("no attachment was due")
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
            self._wait_again(engine)
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
            raise Malformed("connected already")
        member = self._rooms.add(engine, namespace)
        try:
            await self._gate.admit(member.socket_id, engine.noted, packet.data)
        except Refused as refusal:
            self._rooms.remove(member)
            error = {"message": str(refusal), "data": refusal.data}
            engine.send_text(encode(CONNECT_ERROR, namespace, None, error)[0])
            return
        if engine.closed:
            # The peer went while it was let in, when there was nobody yet to be disconnected.
            self._rooms.remove(member)
            self._gate.left(member.socket_id)
            return
        self._stop_waiting(engine.sid)
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

    # The time to authenticate

    def _wait_for(self, engine: EngineSocket) -> None:
        self._waiting[engine.sid] = self._engines.timers.after(
            self._authenticate_seconds, lambda: self._not_authenticated(engine)
        )

    def _wait_again(self, engine: EngineSocket) -> None:
        if not engine.members and not engine.closed:
            self._wait_for(engine)

    def _not_authenticated(self, engine: EngineSocket) -> None:
        self._waiting.pop(engine.sid, None)
        engine.end(self.reason.SERVER_DISCONNECT, code=POLICY, why="not authenticated in time")

    def _stop_waiting(self, engine_id: str) -> None:
        timer = self._waiting.pop(engine_id, None)
        if timer is not None:
            timer.cancel()
