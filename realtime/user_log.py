"""The durable per-user log on a Redis stream: publish, and replay by cursor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from auth.errors import Unavailable
from realtime.connections import Connection, Frame
from realtime.deny_list import WHOLE, DenyList
from realtime.keys import Keys
from realtime.messages import DeviceStatus, ServerEvent
from realtime.redis_link import RedisLink, as_text

# What a client can have missed and still catch up with; beyond it, it lists again.
LOG_LENGTH = 256
# The log gives an event its id.
WITHOUT_ID = {"event_id"}
# A doubt whether the deny-list is whole lasts as long as it takes to read it from MongoDB.
DOUBT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append; `payload` is JSON without event id and version."""

    event: str
    session_id: str
    payload: bytes
    versioned: bool = False


@dataclass(frozen=True, slots=True)
class ConnectLimit:
    """Counter of connects in Redis and the greatest count in its window."""

    key: str
    amount: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Joined:
    """The answer to a handshake: `status` is ok, revoked, unknown or limited (then `wait_ms`).

    `roles_changed`: the user was given other roles at some time, and the token may not know.
    """

    status: str
    last_event_id: int = 0
    recovered: bool = False
    missed: tuple[Frame, ...] = ()
    wait_ms: int = 0
    roles_changed: bool = False


class UserLog:
    """Scripts over a user's log, sockets and deny-list; each call is one atomic step and one round trip.

    `log_life`: how long a user's log outlives its last event.
    """

    def __init__(
        self, link: RedisLink, keys: Keys, deny_list: DenyList, *, node_id: str, log_life: timedelta
    ) -> None:
        self._link = link
        self._keys = keys
        self._node_id = node_id
        self._log_life = _ms(log_life)
        self._deny_list = deny_list
        self._connect = link.script("connect")
        self._publish = link.script("publish")
        self._leave = link.script("leave")

    async def join(
        self, connection: Connection, *, cursor: int | None, online: DeviceStatus, limit: ConnectLimit | None
    ) -> Joined:
        """List a new socket, unless its session was revoked, and read what came after `cursor`.

        Raises `Unavailable` when Redis is down, or cannot tell whether the session was revoked.
        """
        if self._deny_list.in_doubt:
            raise Unavailable(retry_after_seconds=DOUBT_SECONDS)
        joined = await self._join(connection, cursor, online, limit, admits=True)
        if joined.status == "unknown":
            self._deny_list.doubt()
            raise Unavailable(retry_after_seconds=DOUBT_SECONDS)
        return joined

    async def rejoin(self, connection: Connection, *, cursor: int, online: DeviceStatus) -> Joined:
        """Put a socket back on the list and read what came after `cursor`.

        One of a revoked session is not listed; what it missed, its revocation too, it is still to hear.
        """
        return await self._join(connection, cursor, online, None, admits=False)

    async def _join(
        self,
        connection: Connection,
        cursor: int | None,
        online: DeviceStatus,
        limit: ConnectLimit | None,
        *,
        admits: bool,
    ) -> Joined:
        user_id, session_id = connection.user_id, connection.session_id
        keys = [
            self._keys.deny(session_id),
            self._keys.sockets(user_id),
            self._keys.log(user_id),
            self._keys.meta(user_id),
            self._keys.node_sockets(self._node_id),
            limit.key if limit else self._keys.deny(session_id),
            self._keys.deny(WHOLE),
        ]
        arguments: list[str | bytes | int] = [
            connection.socket_id,
            self._node_id,
            session_id,
            user_id,
            -1 if cursor is None else cursor,
            limit.amount if limit else 0,
            limit.window_seconds if limit else 0,
            LOG_LENGTH,
            self._log_life,
            self._keys.channels,
            device_status_payload(online),
            member(connection),
            int(admits),
        ]
        status, number, recovered, frames, changed = await self._connect(keys=keys, args=arguments)
        if as_text(status) != "ok":
            return Joined(as_text(status), wait_ms=max(int(number), 0))
        missed = tuple(read_frame(frame) for frame in frames)
        return Joined("ok", int(number), bool(recovered), missed, roles_changed=bool(changed))

    async def publish(
        self, user_id: str, events: Sequence[NewEvent], *, origin: str = "", counted: str = "", deny: bool = False
    ) -> dict[str, int]:
        """Append `events` and tell the nodes; how many live sockets of session `counted` each node has.

        With `deny` the session `counted` is put on the deny-list in the same step.
        """
        keys = [
            self._keys.sockets(user_id),
            self._keys.log(user_id),
            self._keys.meta(user_id),
            self._keys.nodes,
            self._keys.deny(counted),
        ]
        arguments: list[Any] = [
            user_id,
            origin,
            _ms(self._deny_list.life) if deny else 0,
            LOG_LENGTH,
            self._log_life,
            self._keys.channels,
            counted,
        ]
        for event in events:
            arguments += [event.event, event.session_id, int(event.versioned), event.payload]
        answer = await self._publish(keys=keys, args=arguments)
        return {as_text(node): int(count) for node, count in zip(answer[::2], answer[1::2], strict=True)}

    async def leave(self, node_id: str, entry: str, offline: DeviceStatus) -> bool:
        """Take a socket off the list; True when its device went offline by this, which is then announced.

        `entry` is the socket's member of the set of `node_id`. Of several callers one succeeds.
        """
        user_id, session_id, socket_id = entry.split("|")
        keys = [
            self._keys.sockets(user_id),
            self._keys.log(user_id),
            self._keys.meta(user_id),
            self._keys.node_sockets(node_id),
        ]
        arguments: list[str | bytes | int] = [
            socket_id,
            session_id,
            user_id,
            entry,
            LOG_LENGTH,
            self._log_life,
            self._keys.channels,
            device_status_payload(offline),
        ]
        return bool(await self._leave(keys=keys, args=arguments))


def member(connection: Connection) -> str:
    """How a node's set names a socket."""
    return f"{connection.user_id}|{connection.session_id}|{connection.socket_id}"


def device_status_payload(status: DeviceStatus) -> bytes:
    """The payload of a device-status event as it stands in the log."""
    return status.__pydantic_serializer__.to_json(status, by_alias=True, exclude=WITHOUT_ID)


def read_frame(raw: bytes | str) -> Frame:
    """A frame as `append.lua` writes it."""
    return read_frame_value(orjson.loads(raw))


def read_frame_value(value: dict[str, Any]) -> Frame:
    """A frame whose JSON was read already."""
    return Frame(
        user_id=value["u"],
        event_id=value["i"],
        previous=value["p"],
        event=ServerEvent(value["e"]),
        session_id=value["s"],
        version=value["v"],
        origin=value["o"],
        payload=value["d"],
    )


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
