"""The receiving side of direct.py: serves a backend's message to the sockets of this node, and reports."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from auth.core.errors import InvalidRequest
from auth.core.tasks import Background
from realtime.broker.seal import Message as BusMessage
from realtime.delivery.revocation_acks import Endings, Receipt
from realtime.delivery.room_catch_up import data_for_place
from realtime.delivery.room_places import RoomPlaces
from realtime.delivery.watches import Watches
from realtime.engine.emitter import Emitter
from realtime.hub import Connection, Connections, SocketState
from realtime.protocol.messages import EMIT_ACK_SECONDS, Closing

# Sends a receipt to a node; the second argument selects the channel.
Report = Callable[[str, str, BusMessage], Awaitable[None]]


class DirectDelivery:
    """Takes messages of `DirectMessages` of any node."""

    def __init__(
        self,
        connections: Connections,
        emitter: Emitter,
        places: RoomPlaces,
        watches: Watches,
        endings: Endings,
        *,
        node_id: str,
        report: Report,
    ) -> None:
        self._connections = connections
        self._emitter = emitter
        self._places = places
        self._watches = watches
        self._endings = endings
        self._node_id = node_id
        self._report = report
        self._reporting = Background()

    async def take(self, message: BusMessage) -> None:
        """Serve a message to the sockets it is for, and report to the node that counts, if any."""
        receipt = Receipt(request=message["request"], node=self._node_id)

        async def report() -> None:
            if not message["node"]:
                return
            await self._report(message["node"], message["name"], receipt.message())

        connections = self._sockets(message)
        if message["act"] == "move":
            receipt.sockets = receipt.notified = self._move(message)
        elif message["act"] == "watch":
            receipt.sockets = len(connections)
            receipt.notified = sum(self._watch(each, message) for each in connections)
        elif message["act"] == "disconnect":
            closing = Closing(reason=message["reason"], retryable=message["retryable"])
            for connection in connections:
                self._endings.disconnect(connection, closing, receipt, report)
        else:
            skipped = message.get("except")
            sockets = [each.socket_id for each in connections if each.socket_id != skipped]
            receipt.sockets = receipt.notified = len(sockets)
            self._emit(sockets, message, receipt, report)
        await report()

    async def take_of_room(self, frame: BusMessage) -> None:
        """Serve an event of a room's log, and report as `take` does."""
        node, _, request = frame["o"].partition(":")
        payload = frame["d"]
        receipt = Receipt(request=request, node=self._node_id)

        async def report() -> None:
            if node:
                await self._report(node, frame["r"], receipt.message())

        # Taken also for sockets whose handshake is not over.
        told = self._places.advance(frame)
        message = {"kind": "room", "name": frame["r"], "event": frame["e"], "ack": payload.get("ack")}
        sockets = [each.socket_id for each in self._sockets(message) if each.socket_id != payload.get("except")]
        others = [each for each in sockets if each not in told]
        data = payload["data"] | {"historyId": frame["i"]}
        self._emit(others, message | {"data": data}, receipt, report)
        placed = [each for each in sockets if told.get(each)]
        if placed:
            self._emit(placed, message | {"data": data_for_place(frame)}, receipt, report)
        receipt.sockets = receipt.notified = len(others) + len(placed)
        await report()

    def _move(self, message: BusMessage) -> int:
        """Let live sockets enter or leave a room; return how many are in it now, or were in it."""
        of = self._connections.of_user if message["kind"] == "user" else self._connections.of_session
        room, enter = message["room"], message["enter"]
        moved = 0
        for connection in of(message["name"]):
            if connection.state is SocketState.CONNECTING:
                connection.rooms_at_ready = (connection.rooms_at_ready or {}) | {room: enter}
            elif connection.state is not SocketState.CLOSING:
                if enter:
                    self._places.enter(connection, room, from_now=True)
                    moved += 1
                else:
                    moved += self._places.leave(connection, room)
        return moved

    def _watch(self, connection: Connection, message: BusMessage) -> bool:
        """Let a socket watch users, or no longer; False if they are too many."""
        try:
            (self._watches.watch if message["begin"] else self._watches.unwatch)(connection, message["users"])
        except InvalidRequest:
            return False
        return True

    def _emit(
        self,
        sockets: Sequence[str],
        message: BusMessage,
        receipt: Receipt,
        report: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Send an event. With `ack`, `report` is called once more, when no further ack can come."""
        if not message.get("ack"):
            self._emitter.emit_to_sockets(sockets, message["event"], message["data"])
            return
        waiting = len(sockets)

        def settled(acknowledged: bool) -> None:
            nonlocal waiting
            waiting -= 1
            receipt.acknowledged += acknowledged
            if not waiting:
                self._reporting.spawn(report())

        for socket_id in sockets:
            self._emitter.emit_with_ack(
                socket_id, message["event"], message["data"], seconds=EMIT_ACK_SECONDS, settled=settled
            )

    def _sockets(self, message: BusMessage) -> Sequence[Connection]:
        """The live sockets of this node that a message is for."""
        name = message["name"]
        match message["kind"]:
            case "user":
                found: Sequence[Connection | None] = self._connections.of_user(name)
            case "session":
                found = self._connections.of_session(name)
            case "socket":
                found = (self._connections.get(name),)
            case _:
                found = [self._connections.get(each) for each in self._emitter.members(name)]
        unserved = {SocketState.CONNECTING, SocketState.CLOSING}
        return [each for each in found if each is not None and each.state not in unserved]
