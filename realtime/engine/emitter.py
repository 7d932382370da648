"""Sends events to this node's sockets and rooms, and closes connections."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from realtime.engine.packets import DISCONNECT, EVENT, encode
from realtime.engine.rooms import Rooms, for_bus, from_bus, send_to_all
from realtime.engine.timers import Timers
from realtime.engine.websocket import GOING_AWAY

NAMESPACE = "/"


class Emitter:
    """Sends to sockets of this node by id, without waiting for peers; ignores sockets that are not connected.

    Created before the Socket.IO server, which shares its `rooms` and `timers`.
    """

    def __init__(self) -> None:
        self.rooms = Rooms()
        self.timers = Timers()

    def emit_here(self, socket_id: str, event: str, *values: Any) -> None:
        """Send an event to a socket of this node."""
        member = self.rooms.get(socket_id)
        if member is not None:
            member.send(encode(EVENT, member.namespace, None, [event, *values]))

    async def emit_acknowledged(
        self, socket_id: str, event: str, payload: dict[str, Any], *, seconds: float
    ) -> bool:
        """Send an event to a socket of this node and wait at most `seconds` for its ack; whether it arrived."""
        acknowledged: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def settle(came: bool) -> None:
            if not acknowledged.done():
                acknowledged.set_result(came)

        self.emit_with_ack(socket_id, event, payload, seconds=seconds, settled=settle)
        return await acknowledged

    def emit_with_ack(
        self,
        socket_id: str,
        event: str,
        payload: dict[str, Any],
        *,
        seconds: float,
        settled: Callable[[bool], None],
    ) -> None:
        """Send an event to a socket of this node; call `settled` once, with whether its ack came in `seconds`."""
        member = self.rooms.get(socket_id)
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
        timer = self.timers.after(seconds, too_late)
        member.send(encode(EVENT, member.namespace, number, [event, payload]))

    def emit_to_sockets(self, socket_ids: Sequence[str], event: str, data: Any) -> None:
        """Send an event to sockets of this node, encoded and framed once."""
        members = [member for each in socket_ids if (member := self.rooms.get(each)) is not None]
        send_to_all(encode(EVENT, NAMESPACE, None, [event, data]), members)

    def emit_to_room(self, event: str, data: Any, room: str, *, except_socket_id: str | None = None) -> list[str]:
        """Send to a room of this node, except one socket; returns the event encoded for `room_event` elsewhere."""
        encoded = encode(EVENT, NAMESPACE, None, [event, data])
        self.rooms.send_to_room(encoded, NAMESPACE, room, except_socket_id=except_socket_id)
        return for_bus(encoded)

    def room_event(self, texts: Sequence[str], room: str) -> None:
        """Send the result of another node's `emit_to_room` to a room of this node."""
        self.rooms.send_to_room(from_bus(texts), NAMESPACE, room)

    def enter_here(self, socket_id: str, room: str) -> None:
        """Add a socket of this node to a room."""
        member = self.rooms.get(socket_id)
        if member is not None:
            self.rooms.enter(member, room)

    def leave_here(self, socket_id: str, room: str) -> bool:
        """Remove a socket of this node from a room; whether it was in it."""
        member = self.rooms.get(socket_id)
        if member is None or room not in member.rooms:
            return False
        self.rooms.leave(member, room)
        return True

    def is_in(self, socket_id: str, room: str) -> bool:
        """Whether a socket of this node is in a room."""
        member = self.rooms.get(socket_id)
        return member is not None and room in member.rooms

    def leave_rooms(self, socket_id: str) -> None:
        """Remove a socket from all its rooms."""
        member = self.rooms.get(socket_id)
        if member is not None:
            for room in tuple(member.rooms):
                self.rooms.leave(member, room)

    def members(self, room: str) -> list[str]:
        """The sockets of this node in a room."""
        return self.rooms.members_of(NAMESPACE, room)

    def close(self, socket_id: str) -> None:
        """Disconnect a socket of this node, and end its connection.

        Clients do not reconnect automatically after this (`io server disconnect`); see `drop`.
        """
        member = self.rooms.get(socket_id)
        if member is not None:
            member.send(encode(DISCONNECT, member.namespace, None, None))
            member.engine.end(member.engine.server.reason.SERVER_DISCONNECT)

    def drop(self, socket_id: str, why: str, *, code: int = GOING_AWAY) -> None:
        """End the connection of a socket of this node so that its client reconnects; `why` is sent to it.

        Sends no disconnect packet of Socket.IO or Engine.IO, because python-socketio's client does not reconnect
        after either.
        """
        member = self.rooms.get(socket_id)
        if member is not None:
            reason = member.engine.server.reason.SERVER_DISCONNECT
            member.engine.end(reason, code=code, why=why, notify=False)
