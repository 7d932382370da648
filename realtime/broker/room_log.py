"""The log of a room in Redis: durable events, bounded by number, bytes and age.

Its ids are no event ids of a user's log, whose cursor clients send back: clients get them as `historyId`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from auth.backends.live import RoomEvent, RoomHistory
from auth.core.clock import Clock
from auth.core.shards import shard_of
from auth.platform.redis.link import RedisLink
from realtime.broker.leases import NodeLeases
from realtime.broker.redis_keys import Keys
from realtime.broker.scripts import load
from realtime.broker.seal import Message, MessageSeal
from realtime.broker.user_log import Published

# A longer page ends before the event that exceeds this, so that reading it does not hold up the node.
MAX_PAGE_BYTES = 1024 * 1024
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RoomLogLimits:
    """The number of events that a room's log keeps, and for how long."""

    events: int
    life: timedelta


@dataclass(frozen=True, slots=True)
class Missed:
    """What a socket has missed of a room: its last id, and the frames up to it, oldest first, with their bytes.

    Not `recovered`: they are not known (any more), and there are no frames.
    """

    last: int
    recovered: bool
    frames: tuple[Message, ...] = ()
    size: int = 0


class RoomLog:
    """Appends to logs of rooms and reads them; each call is one atomic step on the log."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        leases: NodeLeases,
        *,
        node_id: str,
        seal: MessageSeal,
        limits: RoomLogLimits,
        clock: Clock,
    ) -> None:
        self._link = link
        self._keys = keys
        self._leases = leases
        self._node_id = node_id
        self._seal = seal
        self._limits = limits
        self._life_ms = round(limits.life.total_seconds() * 1000)
        self._clock = clock
        self._append = load(link, "room")
        self._missed = load(link, "room_missed")

    async def publish(
        self, room: str, event: str, payload: bytes, *, origin: str, once: str | None = None
    ) -> Published:
        """Append an event and publish it to every node, this one included. Raises `Unavailable`.

        The result has the living ones. With `once`, a call with the same text within ten minutes has no effect:
        the result has no node, and the id of the first.
        """
        keys = [self._keys.room(room), self._keys.room_last(room)]
        if once is not None:
            keys.append(self._keys.room_once(room, once))
        alive = {self._node_id, *await self._leases.alive()}
        arguments: list[str | bytes | int] = [
            room,
            origin,
            event,
            # A room is nobody's; no user has an empty id.
            self._seal.mark("", event, room, payload),
            self._limits.events,
            self._life_ms,
            MOST_BYTES,
            self._keys.channels(shard_of(room)),
            *alive.union(self._leases.alive_lately),
        ]
        event_id, is_new = await self._append(keys=keys, args=arguments)
        # How many sockets of the room they have is not known before they report.
        return Published(dict.fromkeys(alive, 0) if is_new else {}, int(event_id))

    async def missed(self, room: str, *, after: int | None, most_bytes: int) -> Missed:
        """What follows the event `after`; None for a socket without one. More than `most_bytes` are not recovered.

        Raises `Unavailable`.
        """
        keys = [self._keys.room(room), self._keys.room_last(room), self._keys.denied(shard_of(room))]
        arguments = [-1 if after is None else after, self._life_ms, most_bytes]
        last, recovered, frames = await self._missed(keys=keys, args=arguments)
        # What is not genuine is not sent.
        read = (self._seal.read(frame) for frame in frames)
        genuine = tuple(frame for frame in read if frame is not None)
        return Missed(int(last), bool(recovered), genuine, sum(map(len, frames)))

    async def read(self, room: str, *, after: int | None, limit: int) -> RoomHistory:
        """See `LiveControl.history`."""
        oldest = (self._clock() - self._limits.life).timestamp()
        start = max(after or 0, int(oldest * 1_000_000))
        # One more than asked for to find the event `after` itself, and one to see whether there is a next page.
        entries = await self._link.execute("XRANGE", self._keys.room(room), f"{start}-0", "+", "COUNT", limit + 2)
        ids = [int(entry_id.partition(b"-")[0]) for entry_id, _ in entries]
        raw: list[bytes] = [fields[1] for _, fields in entries]
        recovered = None if after is None else bool(ids) and _reaches_back(ids[0], self._seal.read(raw[0]), after)
        first = 1 if ids[:1] == [after] else 0
        end = first + _length_of_page(raw[first : first + limit])
        read = [self._seal.read(each) for each in raw[first:end]]
        events = tuple(RoomEvent(each["i"], each["e"], each["d"]["data"]) for each in read if each is not None)
        return RoomHistory(events, next=ids[end - 1] if len(ids) > end else None, recovered=recovered)


def _length_of_page(frames: Sequence[bytes]) -> int:
    """How many of these frames make a page."""
    total = 0
    for length, frame in enumerate(frames):
        total += len(frame)
        if total > MAX_PAGE_BYTES and length:
            return length
    return len(frames)


def _reaches_back(first_id: int, first: Message | None, after: int) -> bool:
    """Whether nothing is missing between `after` and the first entry at or after it."""
    return first_id == after or (first is not None and first["p"] <= after)
