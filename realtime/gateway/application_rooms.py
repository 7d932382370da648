"""Delivers the application's own events to sockets and rooms, on this node and others."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from auth.accounts.profile import Profile
from auth.backends.live import Message, RoomHistory, Target, UserPresence
from auth.backends.messages import check_durable_data
from auth.core.clock import Clock
from auth.core.errors import Forbidden
from auth.core.models import Principal, User, has_role
from realtime.broker.user_log import NewEvent
from realtime.delivery.direct import payload_of
from realtime.delivery.inbound import Inbound
from realtime.delivery.outbound import Outbound
from realtime.hub import Connection, SocketState


class ApplicationRooms:
    """Implements `application.Rooms`."""

    def __init__(self, inbound: Inbound, outbound: Outbound, profile: Profile, *, clock: Clock) -> None:
        self._connections = inbound.connections
        self._emitter = inbound.emitter
        self._places, self._watches = inbound.places, inbound.watches
        self._bus = outbound.bus
        self._direct = outbound.direct
        self._log = outbound.log
        self._room_log = outbound.room_log
        self._profile = profile
        self._clock = clock

    async def emit_to_room(
        self, event: str, data: dict[str, Any], room: str, *, except_socket_id: str | None = None
    ) -> None:
        """See `application.Rooms`."""
        packets = self._emitter.emit_to_room(event, data, room, except_socket_id=except_socket_id)
        await self._bus.send_to_others({"t": "room", "room": room, "packets": packets})

    async def emit_to_user(self, event: str, data: dict[str, Any], user_id: str) -> None:
        """See `application.Rooms`."""
        await self._direct.emit_uncounted(Target("user", user_id, user_id), Message(event, data))

    async def append_to_room(self, event: str, data: dict[str, Any], room: str) -> int:
        """See `application.Rooms`."""
        check_durable_data(data)
        payload = orjson.dumps(payload_of(Message(event, data)))
        return (await self._room_log.publish(room, event, payload, origin="")).event_id

    async def append_to_user(self, event: str, data: dict[str, Any], user_id: str) -> int:
        """See `application.Rooms`."""
        check_durable_data(data)
        appended = NewEvent(event, "", orjson.dumps(payload_of(Message(event, data))))
        return (await self._log.publish(user_id, [appended])).event_id

    async def history(self, room: str, *, after: int | None, limit: int) -> RoomHistory:
        """See `application.Rooms`."""
        return await self._room_log.read(room, after=after, limit=limit)

    async def presence(self, user_ids: Sequence[str]) -> Mapping[str, UserPresence]:
        """See `application.Rooms`."""
        return await self._direct.presence(user_ids, now=self._clock())

    async def emit_here(self, socket_id: str, event: str, payload: dict[str, Any]) -> None:
        """See `application.Rooms`."""
        self._emitter.emit_here(socket_id, event, payload)

    async def enter(self, socket_id: str, room: str, role: str | None) -> None:
        """See `application.Rooms`. Does nothing for a socket that was ended meanwhile."""
        connection = self._open(socket_id)
        if connection is None:
            return
        if role is not None and not has_role(connection.principal.roles, role):
            # The role was revoked while the handler was running.
            raise Forbidden
        connection.set_room_role(room, role)
        self._places.enter(connection, room)

    async def leave(self, socket_id: str, room: str) -> None:
        """See `application.Rooms`. An ended socket has already left every room."""
        connection = self._open(socket_id)
        if connection is not None:
            connection.set_room_role(room, None)
            self._places.leave(connection, room)

    async def watch(self, socket_id: str, user_ids: Sequence[str]) -> None:
        """See `application.Rooms`. Does nothing for a socket that was ended meanwhile."""
        connection = self._open(socket_id)
        if connection is not None:
            self._watches.watch(connection, user_ids)

    async def unwatch(self, socket_id: str, user_ids: Sequence[str]) -> None:
        """See `application.Rooms`."""
        connection = self._open(socket_id)
        if connection is not None:
            self._watches.unwatch(connection, user_ids)

    async def user(self, principal: Principal) -> User:
        """See `application.Rooms`."""
        return await self._profile.me(principal)

    def who_is(self, socket_id: str) -> Principal | None:
        """See `application.Rooms`."""
        connection = self._connections.get(socket_id)
        return connection.principal if connection is not None and connection.serves else None

    def _open(self, socket_id: str) -> Connection | None:
        connection = self._connections.get(socket_id)
        return None if connection is None or connection.state is SocketState.CLOSING else connection
