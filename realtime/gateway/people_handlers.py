"""Socket events about people: the state that a user chooses, and typing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth.core.errors import Forbidden
from auth.core.views import View
from realtime.application import Application
from realtime.broker.seal import Message
from realtime.delivery.inbound import Inbound
from realtime.delivery.outbound import Outbound
from realtime.hub import Connection
from realtime.protocol.messages import ClientEvent, ServerEvent
from realtime.protocol.people_messages import (
    TYPING_MS,
    OwnPresence,
    PresenceSet,
    TypingSet,
    TypingSetDone,
    UserTyping,
)

# Of each socket. Others are told each of these events.
LIMITS: Mapping[str, str] = {ClientEvent.PRESENCE_SET: "10/minute", ClientEvent.TYPING_SET: "2/second"}


class PeopleHandlers:
    """Serves `presence-set` and `typing-set`."""

    def __init__(self, outbound: Outbound, inbound: Inbound) -> None:
        self._chosen, self._watchers = outbound.chosen, outbound.watchers
        self._presence, self._bus = outbound.presence, outbound.bus
        self._emitter = inbound.emitter
        self.served: Mapping[str, Callable[[Connection, Any], Awaitable[View]]] = {
            ClientEvent.PRESENCE_SET: self._set_presence,
            ClientEvent.TYPING_SET: self._set_typing,
        }

    async def _set_presence(self, connection: Connection, asked: PresenceSet) -> View:
        user_id = connection.user_id
        if asked.state is None:
            now = await self._chosen.read(user_id)
        else:
            now = await self._chosen.set(user_id, asked.state, asked.text)
            own = {"t": "own-presence", "user": user_id}
            await asyncio.gather(self._watchers.tell(user_id), self._send_to_nodes_of(user_id, own))
        return OwnPresence(state=now.state, text=now.text)

    async def _set_typing(self, connection: Connection, asked: TypingSet) -> View:
        user_id, room, to = connection.user_id, asked.to.room, asked.to.user_id
        ttl_ms = TYPING_MS if asked.active else 0
        if to is not None:
            message = {"t": "typing", "user": user_id, "to": to, "ms": ttl_ms}
            await self._send_to_nodes_of(to, message)
        elif room is not None:
            if not self._emitter.is_in(connection.socket_id, room):
                raise Forbidden("This socket is not in the room.")
            event = UserTyping(user_id=user_id, room=room, ttl_ms=ttl_ms).to_wire()
            packets = self._emitter.emit_to_room(
                ServerEvent.TYPING, event, room, except_socket_id=connection.socket_id
            )
            await self._bus.send_to_others({"t": "room", "room": room, "packets": packets})
        return TypingSetDone()

    async def _send_to_nodes_of(self, user_id: str, message: Message) -> None:
        for node_id in await self._presence.nodes_of(user_id, session_id=None):
            await self._bus.send(node_id, user_id, message)


def own_limits(application: Application | None) -> Mapping[str, str]:
    """The events that have a limit of their own, with it."""
    return {**LIMITS, **(application.limits if application is not None else {})}
