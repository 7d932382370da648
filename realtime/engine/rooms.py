"""Rooms and their members, and sending to them.

The library's manager searches all rooms of the server when a socket leaves, and creates a task per recipient of an
event. Here each socket knows its rooms, and an event is encoded and framed once for all recipients.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from realtime.engine import frames
from realtime.engine.connection import EngineSocket
from realtime.engine.library_private import RoomsFrame
from realtime.engine.packets import EVENT, encode

Packets = list[bytes]


class Member:
    """One Socket.IO socket: the membership of an Engine.IO connection in a namespace."""

    __slots__ = ("_acks", "_last_ack", "engine", "is_connected", "namespace", "rooms", "socket_id")

    def __init__(self, socket_id: str, namespace: str, engine: EngineSocket) -> None:
        self.socket_id = socket_id
        self.namespace = namespace
        self.engine = engine
        self.is_connected = False
        self.rooms: list[str] = []
        self._acks: dict[int, Callable[..., object]] | None = None
        self._last_ack = 0

    def send(self, packets: Packets) -> None:
        """Send encoded packets without waiting."""
        self.engine.send_text(packets[0])
        for attachment in packets[1:]:
            self.engine.send_binary(attachment)

    def expect_ack(self, callback: Callable[..., object]) -> int:
        """Register `callback` for one ack; returns the ack id to send."""
        self._last_ack += 1
        if self._acks is None:
            self._acks = {}
        self._acks[self._last_ack] = callback
        return self._last_ack

    def forget_ack(self, number: int) -> None:
        """Ignore an ack that has not arrived in time."""
        if self._acks is not None:
            self._acks.pop(number, None)

    def acknowledged(self, number: int, values: Sequence[Any]) -> None:
        """Handle an ack; ignores unexpected ones."""
        callback = self._acks.pop(number, None) if self._acks is not None else None
        if callback is not None:
            callback(*values)


class Rooms(RoomsFrame):
    """This node's sockets and rooms. A room belongs to one namespace."""

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[str, Member] = {}
        self._rooms: dict[tuple[str, str], set[Member]] = {}

    # Members

    def add(self, engine: EngineSocket, namespace: str) -> Member:
        """Create a member that is not connected yet."""
        member = Member(self.server.eio.generate_id(), namespace, engine)
        self.members[member.socket_id] = member
        engine.members.append(member)
        return member

    def remove(self, member: Member) -> bool:
        """Remove a member and leave all its rooms; False if it was already removed."""
        member.is_connected = False
        if self.members.pop(member.socket_id, None) is None:
            return False
        for room in tuple(member.rooms):
            self.leave(member, room)
        if member in member.engine.members:
            member.engine.members.remove(member)
        return True

    def of_engine(self, engine: EngineSocket, namespace: str) -> Member | None:
        """A connection's member in a namespace."""
        for member in engine.members:
            if member.namespace == namespace:
                found: Member = member
                return found
        return None

    def get(self, socket_id: str) -> Member | None:
        """The connected member of that id."""
        member = self.members.get(socket_id)
        return member if member is not None and member.is_connected else None

    # Rooms

    def enter(self, member: Member, room: str) -> None:
        """Add a member to a room."""
        if room not in member.rooms:
            member.rooms.append(room)
            self._rooms.setdefault((member.namespace, room), set()).add(member)

    def leave(self, member: Member, room: str) -> None:
        """Remove a member from a room."""
        if room not in member.rooms:
            return
        member.rooms.remove(room)
        key = (member.namespace, room)
        others = self._rooms[key]
        others.discard(member)
        if not others:
            del self._rooms[key]

    def send_to_room(
        self, packets: Packets, namespace: str, room: str, *, except_socket_id: str | None = None
    ) -> None:
        """Send encoded packets to all members of a room on this node, but one, framed once."""
        members: Iterable[Member] = self._rooms.get((namespace, room), ())
        if except_socket_id is not None:
            members = [member for member in members if member.socket_id != except_socket_id]
        if members:
            send_to_all(packets, members)

    def members_of(self, namespace: str, room: str) -> list[str]:
        """The socket ids of a room's members on this node."""
        return [member.socket_id for member in self._rooms.get((namespace, room), ())]

    # Called by the library

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """Socket and connection ids in a room, several rooms, or the whole namespace."""
        for member in self._in(namespace, room):
            yield member.socket_id, member.engine.sid

    def _in(self, namespace: str, room: Any) -> Iterable[Member]:
        if room is None:
            return [member for member in self.members.values() if member.namespace == namespace]
        names = [room] if isinstance(room, str) else room
        found: dict[Member, None] = {}
        for name in names:
            member = self.get(name)
            if member is not None and member.namespace == namespace:
                found[member] = None
            found.update(dict.fromkeys(self._rooms.get((namespace, name), ())))
        return list(found)

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Callable[..., object] | None = None,
        to: Any = None,
        **_: Any,
    ) -> None:
        """Send an event to a socket, a room, several rooms or a namespace of this node."""
        skipped = {skip_sid} if isinstance(skip_sid, str) else set(skip_sid or ())
        members = [m for m in self._in(namespace, to or room) if m.is_connected and m.socket_id not in skipped]
        values = [event, *(data if isinstance(data, tuple) else () if data is None else (data,))]
        if callback is None:
            send_to_all(encode(EVENT, namespace, None, values), members)
            return
        for member in members:
            member.send(encode(EVENT, namespace, member.expect_ack(callback), values))

    def is_connected(self, sid: str, namespace: str) -> bool:
        """Whether a socket is connected to a namespace."""
        member = self.get(sid)
        return member is not None and member.namespace == namespace

    async def can_disconnect(self, sid: str, namespace: str) -> bool:
        """Whether the socket is connected."""
        return self.is_connected(sid, namespace)

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        """The socket id of a connection in a namespace."""
        engine = self.server.eio.sockets.get(eio_sid)
        member = self.of_engine(engine, namespace) if engine is not None else None
        return member.socket_id if member is not None else None

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        """The connection id of a socket."""
        member = self.members.get(sid)
        return member.engine.sid if member is not None and member.namespace == namespace else None

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        """The rooms of a socket, including its own, named by its id."""
        member = self.members.get(sid)
        return [sid, *member.rooms] if member is not None and member.namespace == namespace else []

    async def enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:  # noqa: ARG002
        """Add a socket to a room. Raises `ValueError` if it is not connected, or for another socket's own room."""
        member = self.get(sid)
        if member is None or member.namespace != namespace or room in self.members:
            raise ValueError("no such socket, or not a room")
        self.enter(member, room)

    async def leave_room(self, sid: str, namespace: str, room: str) -> None:
        """Remove a socket from a room."""
        member = self.members.get(sid)
        if member is not None and member.namespace == namespace:
            self.leave(member, room)

    async def close_room(self, room: str, namespace: str) -> None:
        """Remove all members from a room."""
        for member in tuple(self._rooms.get((namespace, room), ())):
            self.leave(member, room)


def send_to_all(packets: Packets, members: Iterable[Member]) -> None:
    """Send encoded packets to each of `members`, framed once."""
    framed = frames.frame(frames.TEXT, packets[0])
    pairs = [(packets[0], False)]
    for attachment in packets[1:]:
        framed += frames.frame(frames.BINARY, attachment)
        pairs.append((attachment, True))
    # Copied, because a send can end a connection and so remove its member from the room.
    for member in tuple(members):
        member.engine.send_framed(framed, pairs)


def for_bus(packets: Packets) -> list[str]:
    """Convert encoded packets to text, for other nodes."""
    return [packets[0].decode(), *(base64.b64encode(attachment).decode() for attachment in packets[1:])]


def from_bus(texts: Sequence[str]) -> Packets:
    """The inverse of `for_bus`."""
    return [texts[0].encode(), *map(base64.b64decode, texts[1:])]
