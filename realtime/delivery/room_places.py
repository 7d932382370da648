"""The places of sockets in the histories of their rooms: each durable event once, in order, and none missing.

Only for clients that keep their place: they name it at the handshake (`rooms`), and get it again in `ready` and
`room-history`. A socket that enters a room is sent what came after its place. If a node has missed an event, its
sockets are sent it from the log as soon as that shows: with the next event, or when the node listens again.
"""

from collections.abc import Collection, Mapping

from auth.core.shards import shard_of
from realtime.broker.seal import Message
from realtime.delivery.place_proofs import PlaceProofs
from realtime.delivery.room_catch_up import RoomCatchUp, hold
from realtime.engine.emitter import Emitter
from realtime.hub import Connection, Place
from realtime.protocol.messages import ServerEvent
from realtime.protocol.room_messages import NamedPlace, RoomLeft, RoomPlace


class RoomPlaces:
    """Lets sockets of this node enter and leave rooms, and keeps their places."""

    def __init__(self, catch_up: RoomCatchUp, proofs: PlaceProofs, emitter: Emitter) -> None:
        self._catch_up = catch_up
        self._proofs = proofs
        self._emitter = emitter
        self._of_room: dict[str, dict[str, Place]] = {}

    # Handshakes

    def claim(self, connection: Connection, named: Mapping[str, NamedPlace]) -> None:
        """Take the places that a client names; those without a genuine proof are ignored."""
        connection.places = {}
        for room, place in named.items():
            since = self._proofs.read(connection.user_id, room, place.proof)
            if since is not None:
                connection.places[room] = Place(connection, room, max(place.history_id, since), since)

    async def prepare(self, connection: Connection, since: Mapping[str, int]) -> None:
        """Read what a new socket has missed in rooms that it is going to enter; `since`: by room, the last event
        before its user was made a member. Raises `Unavailable`.
        """
        if connection.places is None:
            return
        # Registered before the logs are read: what is appended from now on is held back.
        await self._catch_up.read_for_handshakes(
            [self._register(connection, room, not_before=last) for room, last in since.items()]
        )

    def opening(self, connection: Connection) -> tuple[dict[str, RoomPlace], tuple[str, ...]]:
        """The places of a socket that becomes live, and the rooms of which it has missed something for good."""
        entered = [place for place in (connection.places or {}).values() if place.is_entered]
        named = {each.room: self._catch_up.named(each) for each in entered if each.cursor is not None}
        return named, tuple(each.room for each in entered if each.is_unrecovered)

    def begin(self, connection: Connection) -> None:
        """Send a socket what `prepare` has read, and what was appended meanwhile."""
        for place in tuple((connection.places or {}).values()):
            if place.is_entered and place.is_prepared:
                place.is_prepared = False
                missed, place.missed = place.missed, ()
                for frame in missed:
                    self._catch_up.send([place], frame)
                self._catch_up.release(place)

    # Rooms

    def enter(self, connection: Connection, room: str, *, from_now: bool = False) -> None:
        """Let a socket enter a room. One that keeps its place gets `room-history`, then what it has missed.

        `from_now`: the user became a member now, so what came before was not missed.
        """
        self._emitter.enter_here(connection.socket_id, room)
        if connection.places is None:
            return
        place = connection.places.get(room)
        if place is not None and place.is_entered:
            return
        if from_now:
            connection.places.pop(room, None)
        place = self._register(connection, room)
        place.is_prepared, place.is_new = False, True
        self._catch_up.read_soon(place)

    def leave(self, connection: Connection, room: str) -> bool:
        """Let a socket leave a room; whether it was in it. One that keeps its place gets `room-left`."""
        was_member = self._emitter.leave_here(connection.socket_id, room)
        place = (connection.places or {}).pop(room, None)
        if place is not None and place.is_entered:
            self._unregister(place)
            left = RoomLeft(room=room)
            self._emitter.emit_here(connection.socket_id, ServerEvent.ROOM_LEFT, left.to_wire())
        return was_member

    def forget(self, connection: Connection, room: str) -> None:
        """Do not let a socket enter a room for which it was prepared."""
        place = (connection.places or {}).pop(room, None)
        if place is not None:
            self._unregister(place)

    def gone(self, connection: Connection) -> None:
        """Forget a socket that has disconnected."""
        for place in (connection.places or {}).values():
            self._unregister(place)

    def advance(self, frame: Message) -> dict[str, bool]:
        """Take an event of a room's log: for each socket that keeps its place, whether it is to be sent it now.

        Otherwise the socket has it, or will be sent it in order.
        """
        told = {}
        for socket_id, place in self._of_room.get(frame["r"], {}).items():
            if place.cursor is not None and place.held is None:
                if frame["i"] <= place.cursor:
                    told[socket_id] = False
                    continue
                if frame["p"] <= place.cursor:
                    place.cursor = frame["i"]
                    told[socket_id] = True
                    continue
                self._catch_up.read_soon(place)
            told[socket_id] = False
            hold(place, frame)
        return told

    def read_again(self, shards: Collection[int]) -> None:
        """Send what may not have reached this node about rooms of these shards."""
        for room, places in self._of_room.items():
            if shard_of(room) in shards:
                for place in places.values():
                    if not place.is_prepared:
                        self._catch_up.read_soon(place)

    def _register(self, connection: Connection, room: str, *, not_before: int = 0) -> Place:
        assert connection.places is not None
        place = connection.places.setdefault(room, Place(connection, room, None, 0))
        if place.cursor is not None:
            place.cursor = max(place.cursor, not_before)
        place.is_entered = place.is_prepared = True
        place.held = []
        self._of_room.setdefault(room, {})[connection.socket_id] = place
        return place

    def _unregister(self, place: Place) -> None:
        self._catch_up.forget(place)
        place.is_entered = False
        places = self._of_room.get(place.room, {})
        if places.get(place.connection.socket_id) is place:
            del places[place.connection.socket_id]
            if not places:
                del self._of_room[place.room]
