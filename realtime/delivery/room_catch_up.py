"""Reads the histories of rooms for sockets that have missed something, and sends it to them in order."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice

import structlog

from auth.core.errors import Unavailable
from auth.core.tasks import end
from realtime.broker.room_log import Missed, RoomLog
from realtime.broker.seal import Message
from realtime.delivery.place_proofs import PlaceProofs
from realtime.engine.emitter import Emitter
from realtime.hub import Place, SocketState
from realtime.protocol.messages import ServerEvent
from realtime.protocol.room_messages import RoomHistoryPlace, RoomPlace

# What a socket is sent at once of what it has missed, below what it may have queued (engine/websocket.py).
MOST_MISSED_BYTES = 512 * 1024
# Events held back while the log is read; further ones are read from the log again.
MAX_HELD_BACK = 64
# Rooms read concurrently, and the delay after a failure.
BATCH = 20
RETRY_SECONDS = 1.0

log = structlog.get_logger()


class RoomCatchUp:
    """Moves places forward."""

    def __init__(self, room_log: RoomLog, proofs: PlaceProofs, emitter: Emitter) -> None:
        self._log = room_log
        self._proofs = proofs
        self._emitter = emitter
        # Places whose log is to be read.
        self._due: dict[Place, None] = {}
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop. Clients name their places at their next node."""
        await end(self._task)

    def forget(self, place: Place) -> None:
        """Read nothing for this place any more."""
        self._due.pop(place, None)

    async def read_for_handshakes(self, places: Sequence[Place]) -> None:
        """Read what new sockets have missed, to be sent after `ready`, and move their places behind it.

        More than `MOST_MISSED_BYTES` together are not recovered. Raises `Unavailable`.
        """
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
            self.settle(place, read)
            place.missed = read.frames

    def read_soon(self, place: Place) -> None:
        """Send a socket what follows its place, and hold back newer events until then."""
        if place.held is None:
            place.held = []
        self._due[place] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._due:
            # Places that become due from now on are grouped in the next round: each round groups each place once.
            due, self._due = self._due, {}
            groups: dict[tuple[str, int | None], list[Place]] = {}
            for place in due:
                groups.setdefault((place.room, place.cursor), []).append(place)
            # Not for sockets that leave meanwhile.
            rest = (group for group in groups.items() if any(place.is_entered for place in group[1]))
            while batch := list(islice(rest, BATCH)):
                await self._read_batch(batch)

    async def _read_batch(self, batch: Sequence[tuple[tuple[str, int | None], list[Place]]]) -> None:
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
            self.settle(place, missed)
            if place.is_new or not missed.recovered:
                place.is_new = False
                here = self.named(place)
                news = RoomHistoryPlace(
                    room=place.room,
                    history_id=here.history_id,
                    proof=here.proof,
                    recovered=missed.recovered,
                )
                self._emitter.emit_here(place.connection.socket_id, ServerEvent.ROOM_HISTORY, news.to_wire())
        for frame in missed.frames:
            self.send(places, frame)
        for place in places:
            self.release(place)

    def settle(self, place: Place, missed: Missed) -> None:
        """Move a place to the end of what was read."""
        place.since = missed.last if place.cursor is None else min(place.since, missed.last)
        place.cursor = missed.last

    def release(self, place: Place) -> None:
        """Send what was held back, as far as nothing is missing before it."""
        held, place.held = place.held or [], None
        for frame in held:
            if place.cursor is None or frame["p"] > place.cursor:
                self.read_soon(place)
                return
            if frame["i"] > place.cursor:
                place.cursor = frame["i"]
                self.send([place], frame)
        if len(held) >= MAX_HELD_BACK:
            self.read_soon(place)

    def send(self, places: Iterable[Place], frame: Message) -> None:
        """Send an event to the sockets of these places."""
        sockets = [
            place.connection.socket_id
            for place in places
            if place.connection.state not in {SocketState.CONNECTING, SocketState.CLOSING}
        ]
        self._emitter.emit_to_sockets(sockets, frame["e"], data_for_place(frame))

    def named(self, place: Place) -> RoomPlace:
        """A place as its client keeps it."""
        proof = self._proofs.make(place.connection.user_id, place.room, place.since)
        return RoomPlace(history_id=place.cursor or 0, proof=proof)


def data_for_place(frame: Message) -> dict[str, object]:
    """The data of a durable event of a room, for a client that keeps its place."""
    return {**frame["d"]["data"], "historyId": frame["i"], "historyRoom": frame["r"]}


def hold(place: Place, frame: Message) -> None:
    """Hold an event back, if there is room for it; otherwise it is read from the log."""
    if place.held is None:
        place.held = []
    if len(place.held) < MAX_HELD_BACK:
        place.held.append(frame)
