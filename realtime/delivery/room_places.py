"""The places of sockets in the histories of their rooms: each durable event once, in order, and none missing.

Only for clients that keep their place: they name it at the handshake (`rooms`), and get it again in `ready` and
`room-history`. A socket that enters a room is sent what came after its place. If a node has missed an event, its
sockets are sent it from the log as soon as that shows: with the next event, or when the node listens again.

Threat: a client that names an earlier place, to read what was said before it was let in. A place counts only with
the proof that the server gave to the same user when a socket of that user entered, and not before that moment.
"""

import asyncio
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

import structlog

from auth.core.errors import Unavailable
from auth.core.shards import shard_of
from auth.core.tasks import end
from auth.crypto.root_secret import RootSecret, is_tag
from realtime.broker.room_log import Missed, RoomLog
from realtime.broker.seal import Message
from realtime.engine.emitter import Emitter
from realtime.hub import Connection, Place, SocketState
from realtime.protocol.messages import NamedPlace, RoomHistory, RoomLeft, RoomPlace, ServerEvent

# What a socket is sent at once of what it has missed, below what it may have queued (engine/websocket.py).
MOST_MISSED_BYTES = 512 * 1024
# Events held back while the log is read; further ones are read from the log again.
MAX_HELD_BACK = 64
# Rooms read concurrently, and the delay after a failure.
BATCH = 20
RETRY_SECONDS = 1.0

log = structlog.get_logger()


class PlaceProofs:
    """Makes and checks proofs that a user has been in a room since an event of its history."""

    def __init__(self, root: RootSecret) -> None:
        purpose = "places in rooms"
        self._keys = root.derive(purpose), root.derive_second(purpose)

    def make(self, user_id: str, room: str, since: int) -> str:
        """Return a proof: the id of the last event before, and a tag."""
        return f"{since}.{_tag(self._keys[0], user_id, room, since).hex()}"

    def read(self, user_id: str, room: str, proof: str) -> int | None:
        """The id in a proof; None if it is not genuine."""
        since, _, tag = proof.partition(".")
        try:
            given, number = bytes.fromhex(tag), int(since)
            is_genuine = is_tag(given, lambda key: _tag(key, user_id, room, number), self._keys)
        except ValueError:  # a client can also name a room that is not Unicode
            return None
        return number if is_genuine else None


class RoomPlaces:
    """Lets sockets of this node enter and leave rooms, and keeps their places."""

    def __init__(self, room_log: RoomLog, proofs: PlaceProofs, emitter: Emitter) -> None:
        self._log = room_log
        self._proofs = proofs
        self._emitter = emitter
        self._of_room: dict[str, dict[str, Place]] = {}
        # Places whose log is to be read.
        self._due: dict[Place, None] = {}
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop reading. Clients name their places at their next node."""
        await end(self._task)

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
        before its user was made a member. More than `MOST_MISSED_BYTES` are not recovered. Raises `Unavailable`.
        """
        if connection.places is None:
            return
        # Registered before the logs are read: what is appended from now on is held back.
        places = [self._register(connection, room, not_before=last) for room, last in since.items()]
        found = await asyncio.gather(
            *(self._log.missed(each.room, after=each.cursor, most_bytes=0) for each in places)
        )
        left = MOST_MISSED_BYTES
        for place, missed in zip(places, found, strict=True):
            read = missed
            if place.cursor is not None and place.cursor < missed.last:
                read = await self._log.missed(place.room, after=place.cursor, most_bytes=left)
                left -= read.size
            place.is_unrecovered = place.cursor is not None and not read.recovered
            self._settle(place, read)
            place.missed = read.frames

    def opening(self, connection: Connection) -> tuple[dict[str, RoomPlace], tuple[str, ...]]:
        """The places of a socket that becomes live, and the rooms of which it has missed something for good."""
        entered = [place for place in (connection.places or {}).values() if place.is_entered]
        named = {each.room: self._named(each) for each in entered if each.cursor is not None}
        return named, tuple(each.room for each in entered if each.is_unrecovered)

    def begin(self, connection: Connection) -> None:
        """Send a socket what `prepare` has read, and what was appended meanwhile."""
        for place in tuple((connection.places or {}).values()):
            if place.is_entered and place.is_prepared:
                place.is_prepared = False
                missed, place.missed = place.missed, ()
                for frame in missed:
                    self._send([place], frame)
                self._release(place)

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
        self._read_soon(place)

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
                self._read_soon(place)
            told[socket_id] = False
            _hold(place, frame)
        return told

    def read_again(self, shards: Collection[int]) -> None:
        """Send what may not have reached this node about rooms of these shards."""
        for room, places in self._of_room.items():
            if shard_of(room) in shards:
                for place in places.values():
                    if not place.is_prepared:
                        self._read_soon(place)

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
        self._due.pop(place, None)
        place.is_entered = False
        places = self._of_room.get(place.room, {})
        if places.get(place.connection.socket_id) is place:
            del places[place.connection.socket_id]
            if not places:
                del self._of_room[place.room]

    # Reading

    def _read_soon(self, place: Place) -> None:
        if place.held is None:
            place.held = []
        self._due[place] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._due:
            groups: dict[tuple[str, int | None], list[Place]] = {}
            for place in self._due:
                groups.setdefault((place.room, place.cursor), []).append(place)
            batch = list(islice(groups.items(), BATCH))
            for _, places in batch:
                for place in places:
                    self._due.pop(place, None)
            found = await asyncio.gather(*(self._read(*group) for group, _ in batch))
            for (_, places), missed in zip(batch, found, strict=True):
                # Without some that were unregistered meanwhile.
                waiting = [place for place in places if place.is_entered]
                if missed is None:
                    self._due |= dict.fromkeys(waiting)
                else:
                    self._catch_up(waiting, missed)
            if None in found:
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, room: str, cursor: int | None) -> Missed | None:
        try:
            return await self._log.missed(room, after=cursor, most_bytes=MOST_MISSED_BYTES)
        except Unavailable:
            return None
        except Exception:  # tried again
            log.exception("room_not_read", room=room)
            return None

    def _catch_up(self, places: Sequence[Place], missed: Missed) -> None:
        """Send sockets with the same place what they have missed."""
        for place in places:
            self._settle(place, missed)
            if place.is_new or not missed.recovered:
                place.is_new = False
                named = self._named(place)
                history = RoomHistory(
                    room=place.room,
                    history_id=named.history_id,
                    proof=named.proof,
                    recovered=missed.recovered,
                )
                self._emitter.emit_here(place.connection.socket_id, ServerEvent.ROOM_HISTORY, history.to_wire())
        for frame in missed.frames:
            self._send(places, frame)
        for place in places:
            self._release(place)

    def _settle(self, place: Place, missed: Missed) -> None:
        """Move a place to the end of what was read."""
        place.since = missed.last if place.cursor is None else min(place.since, missed.last)
        place.cursor = missed.last

    def _release(self, place: Place) -> None:
        """Send what was held back, as far as nothing is missing before it."""
        held, place.held = place.held or [], None
        for frame in held:
            if place.cursor is None or frame["p"] > place.cursor:
                self._read_soon(place)
                return
            if frame["i"] > place.cursor:
                place.cursor = frame["i"]
                self._send([place], frame)
        if len(held) >= MAX_HELD_BACK:
            self._read_soon(place)

    def _send(self, places: Iterable[Place], frame: Message) -> None:
        sockets = [
            place.connection.socket_id
            for place in places
            if place.connection.state not in {SocketState.CONNECTING, SocketState.CLOSING}
        ]
        self._emitter.emit_to_sockets(sockets, frame["e"], data_for_place(frame))

    def _named(self, place: Place) -> RoomPlace:
        proof = self._proofs.make(place.connection.user_id, place.room, place.since)
        return RoomPlace(history_id=place.cursor or 0, proof=proof)


def data_for_place(frame: Message) -> dict[str, object]:
    """The data of a durable event of a room, for a client that keeps its place."""
    return {**frame["d"]["data"], "historyId": frame["i"], "historyRoom": frame["r"]}


def _hold(place: Place, frame: Message) -> None:
    if place.held is None:
        place.held = []
    if len(place.held) < MAX_HELD_BACK:
        place.held.append(frame)


def _tag(key: bytes, user_id: str, room: str, since: int) -> bytes:
    return hmac.digest(key, b"\0".join((user_id.encode(), room.encode(), str(since).encode())), "sha256")[:16]
