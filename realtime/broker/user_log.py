"""The per-user event log in Redis, and the last state of each device: publish, and replay by cursor."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.shards import shard_of
from auth.platform.rate_limits import Window
from auth.platform.redis.link import RedisLink, as_text
from realtime.broker.deny_list import DenyList
from realtime.broker.leases import NodeLeases
from realtime.broker.redis_keys import Keys
from realtime.broker.scripts import load
from realtime.broker.seal import MessageSeal
from realtime.hub import Connection, Frame
from realtime.protocol.messages import DeviceStatus, ServerEvent

# Events that a client can miss and still catch up with, of 512 KiB together (lua/append.lua); beyond that it lists
# its sessions again.
LOG_LENGTH = 256
# Excluded from stored payloads, because the log assigns the id.
WITHOUT_ID = {"event_id"}
# Instead of a session: the sockets of all sessions count.
ALL = "*"
# Retry delay while the deny-list is in doubt: about as long as reading it from MongoDB takes.
DOUBT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append. `payload` is JSON without event id and version."""

    event: str
    session_id: str
    payload: bytes
    versioned: bool = False


@dataclass(frozen=True, slots=True)
class JoinResult:
    """Result of listing a socket. `status` is ok, revoked, full, unknown or limited (with `wait_ms`).

    `roles_changed`: the user's roles changed at some time, so those in the token may be outdated. `has_rooms`: the
    user may have rooms that last. `was_missing`: the socket was not listed before.
    """

    status: str
    last_event_id: int = 0
    recovered: bool = False
    missed: tuple[Frame, ...] = ()
    wait_ms: int = 0
    roles_changed: bool = False
    has_rooms: bool = False
    was_missing: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """The number of live sockets that count, by node, and the id of the last event."""

    nodes: dict[str, int]
    event_id: int


class UserLog:
    """Scripts on a user's log and sockets and on the deny-list; each call is one atomic step and one round trip.

    `log_life`: how long a user's log is kept after its last event. `most_sockets`: limit per user, over all nodes.
    `check_soon` is called with the user id if sockets are listed of a node that may have no lease. `note_device`
    is called with user, session and whether the device is online, whenever that may have changed.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        deny_list: DenyList,
        leases: NodeLeases,
        *,
        node_id: str,
        seal: MessageSeal,
        log_life: timedelta,
        most_sockets: int,
        check_soon: Callable[[str], None],
        note_device: Callable[[str, str, bool], None] = lambda *_: None,
    ) -> None:
        self._link = link
        self._keys = keys
        self._leases = leases
        self._seal = seal
        self._node_id = node_id
        self._log_life = _ms(log_life)
        self._most_sockets = most_sockets
        self._deny_list = deny_list
        self._connect = load(link, "connect")
        self._publish = load(link, "publish")
        self._leave = load(link, "leave")
        self._listed = load(link, "listed")
        self._check_soon = check_soon
        self._note_device = note_device
        # The shards in which this node has listed a socket.
        self.used_shards: set[int] = set()

    async def join(
        self, connection: Connection, *, cursor: int | None, online: DeviceStatus, limits: Sequence[Window]
    ) -> JoinResult:
        """List a new socket, unless its session is revoked, and read the events after `cursor`.

        Counts the handshake in `limits`, and refuses it when one of them is exceeded; in a cluster the caller has
        counted it, because the counters are on another master. Raises `Unavailable` when Redis is down or the
        deny-list is in doubt.
        """
        user_id = connection.user_id
        if self._deny_list.in_doubt(user_id):
            raise Unavailable(retry_after_seconds=DOUBT_SECONDS)
        joined, others = await self._join(connection, cursor, online, limits, admits=True)
        if joined.status == "full":
            dead = [node for node, alive in (await self._judge_now(others)).items() if not alive]
            if dead:
                # Their sockets take no place. Counted above, so not again.
                joined, _ = await self._join(connection, cursor, online, (), admits=True, dead=dead)
        if joined.status == "unknown":
            self._deny_list.note_missing(user_id)
            raise Unavailable(retry_after_seconds=DOUBT_SECONDS)
        if joined.status == "ok":
            self._note_device(user_id, connection.session_id, True)
        return joined

    async def rejoin(self, connection: Connection, *, cursor: int, online: DeviceStatus) -> JoinResult:
        """List a socket again and read the events after `cursor`, as far as the log still has them.

        A socket of a revoked session is not listed, but still reads the events it missed, its revocation included.
        Not `recovered`: more events were missed than those returned.
        """
        joined, _ = await self._join(connection, cursor, online, (), admits=False)
        if joined.was_missing:
            self._note_device(connection.user_id, connection.session_id, True)
        return joined

    async def _join(
        self,
        connection: Connection,
        cursor: int | None,
        online: DeviceStatus,
        limits: Sequence[Window],
        *,
        admits: bool,
        dead: Sequence[str] = (),
    ) -> tuple[JoinResult, list[str]]:
        """The result, and the other nodes that have sockets of the user."""
        user_id, session_id = connection.user_id, connection.session_id
        shard = shard_of(user_id)
        self.used_shards.add(shard)
        keys = [
            self._keys.denied(shard),
            self._keys.sockets(user_id),
            self._keys.log(user_id),
            self._keys.meta(user_id),
            self._keys.node_sockets(self._node_id, shard),
            self._keys.states(user_id),
            self._keys.watchers(user_id),
            *(window.key for window in limits),
        ]
        arguments: list[str | bytes | int] = [
            connection.socket_id,
            self._node_id,
            session_id,
            user_id,
            -1 if cursor is None else cursor,
            LOG_LENGTH,
            self._log_life,
            self._keys.channels(shard),
            self._device_status(user_id, online),
            member(connection),
            int(admits),
            self._most_sockets,
            "".join(f"|{node}|" for node in dead),
        ]
        for window in limits:
            arguments += [window.amount, window.seconds]
        answer = await self._connect(keys=keys, args=arguments)
        status, number, recovered, frames, changed, nodes, was_missing = answer
        others = [as_text(node) for node in nodes]
        if not self._leases.knows(others):
            self._check_soon(user_id)
        if as_text(status) != "ok":
            return JoinResult(as_text(status), wait_ms=max(int(number), 0)), others
        read = (self._seal.read(frame) for frame in frames)
        missed = tuple(read_frame_value(values) for values in read if values is not None)
        joined = JoinResult(
            "ok",
            int(number),
            bool(recovered),
            missed,
            roles_changed=bool(changed & 1),
            has_rooms=bool(changed & 2),
            was_missing=bool(was_missing),
        )
        return joined, others

    async def _judge_now(self, nodes: Sequence[str]) -> dict[str, bool | None]:
        with suppress(Unavailable):
            await self._leases.look()
        return await self._leases.judge(nodes)

    async def publish(
        self,
        user_id: str,
        events: Sequence[NewEvent],
        *,
        origin: str = "",
        counted: str = "",
        deny: bool = False,
        once: str | None = None,
    ) -> Published:
        """Append `events` and publish them to the nodes; count the sockets of session `counted`, or of `ALL`.

        With `deny`, also puts session `counted` on the deny-list in the same step. With `once`, a call with the
        same text within ten minutes has no effect: it counts nothing, and returns the id of the first.
        """
        shard = shard_of(user_id)
        keys = [
            self._keys.sockets(user_id),
            self._keys.log(user_id),
            self._keys.meta(user_id),
            self._keys.denied(shard),
        ]
        if once is not None:
            keys.append(self._keys.once(user_id, once))
        arguments: list[Any] = [
            user_id,
            origin,
            _ms(self._deny_list.life) if deny else 0,
            LOG_LENGTH,
            self._log_life,
            self._keys.channels(shard),
            counted,
        ]
        for event in events:
            payload = self._seal.mark(user_id, event.event, event.session_id, event.payload)
            arguments += [event.event, event.session_id, int(event.versioned), payload]
        last, *answer = await self._publish(keys=keys, args=arguments)
        counts = {as_text(node): int(count) for node, count in zip(answer[::2], answer[1::2], strict=True)}
        alive = await self._leases.judge(counts)
        return Published({node: count for node, count in counts.items() if alive[node]}, int(last))

    async def leave(self, node_id: str, entry: str, offline: DeviceStatus, *, forget: bool) -> None:
        """Unlist a socket, and publish `device-status` if that takes its device offline.

        `entry` is the socket's member in the set of `node_id`; `forget` removes it there, too, when cleanup is
        complete. Only one of several callers unlists the socket.
        """
        user_id, session_id, socket_id = entry.split("|")[:3]
        shard = shard_of(user_id)
        keys = [
            self._keys.sockets(user_id),
            self._keys.log(user_id),
            self._keys.meta(user_id),
            self._keys.node_sockets(node_id, shard),
            self._keys.states(user_id),
            self._keys.watchers(user_id),
        ]
        arguments: list[str | bytes | int] = [
            socket_id,
            session_id,
            user_id,
            entry,
            self._log_life,
            self._keys.channels(shard),
            self._device_status(user_id, offline),
            int(forget),
        ]
        if await self._leave(keys=keys, args=arguments):
            self._note_device(user_id, session_id, False)

    def _device_status(self, user_id: str, status: DeviceStatus) -> bytes:
        payload = status.__pydantic_serializer__.to_json(status, by_alias=True, exclude=WITHOUT_ID)
        return self._seal.mark(user_id, ServerEvent.DEVICE_STATUS, status.session_id, payload)

    async def unlisted(self, shard: int, connections: Sequence[Connection]) -> Sequence[Connection]:
        """Those of this node's sockets of a shard that Redis does not list.

        All of them if entries of the node's own set are missing, which other nodes need to clean up after it.
        """
        keys = [
            self._keys.node_sockets(self._node_id, shard),
            *(self._keys.sockets(each.user_id) for each in connections),
        ]
        listed, *missing = await self._listed(keys=keys, args=[each.socket_id for each in connections])
        return [connections[place] for place in missing] if int(listed) >= len(connections) else connections


def member(connection: Connection) -> str:
    """A socket's member in its node's set."""
    return f"{connection.user_id}|{connection.session_id}|{connection.socket_id}"


def device_status(session_id: str, *, online: bool, sockets: int, clock: Clock) -> DeviceStatus:
    """The event of a device that goes online or offline now; the log assigns its id."""
    return DeviceStatus(event_id=0, session_id=session_id, online=online, sockets=sockets, last_seen_at=clock())


def read_frame_value(value: dict[str, Any]) -> Frame:
    """A frame from its values, as `MessageSeal.read` returns them."""
    return Frame(
        user_id=value["u"],
        event_id=value["i"],
        previous=value["p"],
        event=value["e"],
        session_id=value["s"],
        version=value["v"],
        origin=value["o"],
        payload=value["d"],
    )


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
