"""Messages to sockets: emits and disconnects that an application's backend asks for.

The requesting node finds the nodes that can have such sockets, sends them one message, and adds up their reports,
for at most `REVOCATION_ACK_SECONDS`. Its own sockets are served without Redis, also while Redis is down.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from auth.backends.live import Message, RoomHistory, Sent, Target, UserPresence
from auth.core.errors import Unavailable
from auth.core.models import Delivery
from realtime.broker.bus import Bus
from realtime.broker.deny_list import DenyList
from realtime.broker.leases import NodeLeases
from realtime.broker.presence import Presence
from realtime.broker.room_log import RoomLog
from realtime.broker.seal import Message as BusMessage
from realtime.broker.user_log import ALL, NewEvent, Published, UserLog
from realtime.delivery.revocation_acks import Count, Counts, SettledBy

TakeHere = Callable[[BusMessage], Awaitable[None]]


class DirectMessages:
    """The requesting side. Implements `auth.backends.live.LiveControl`."""

    def __init__(
        self,
        user_log: UserLog,
        deny_list: DenyList,
        room_log: RoomLog,
        presence: Presence,
        leases: NodeLeases,
        bus: Bus,
        counts: Counts,
        *,
        node_id: str,
    ) -> None:
        self._log = user_log
        self._deny_list = deny_list
        self._rooms = room_log
        self._presence = presence
        self._leases = leases
        self._bus = bus
        self._counts = counts
        self._node_id = node_id
        self._take_here: TakeHere | None = None

    def start(self, take_here: TakeHere) -> None:
        """Deliver to this node's sockets by `take_here`. Before this call the node has none."""
        self._take_here = take_here

    async def presence(self, user_ids: Sequence[str], *, now: datetime) -> Mapping[str, UserPresence]:
        """See `LiveControl.presence`."""
        return await self._presence.of_users(user_ids, now=now)

    async def disconnect(self, target: Target, *, reason: str, retryable: bool) -> Sent:
        """See `LiveControl.disconnect`."""
        what = {"act": "disconnect", "reason": reason, "retryable": retryable}
        return await self._send(target, what, settled_by="closed")

    async def emit(self, target: Target, message: Message) -> Sent:
        """See `LiveControl.emit`."""
        what = {"act": "emit", "event": message.event, **payload_of(message)}
        return await self._send(target, what, settled_by=_settled_by(message))

    async def emit_uncounted(self, target: Target, message: Message) -> None:
        """Like `emit`, without reports of the nodes."""
        what = {"act": "emit", "event": message.event, **payload_of(message)}
        count = Count("")
        await self._find_nodes(target, count)
        await self._pass(target, what, count, report_to="")

    async def mark_members(self, user_id: str) -> None:
        """See `LiveControl.mark_members`."""
        await self._deny_list.note_rooms(user_id)

    async def move(self, target: Target, room: str, *, enter: bool) -> Sent:
        """See `LiveControl.move`."""
        return await self._send(target, {"act": "move", "room": room, "enter": enter}, settled_by="notified")

    async def watch(self, target: Target, user_ids: Sequence[str], *, begin: bool) -> Sent:
        """See `LiveControl.watch`."""
        what = {"act": "watch", "users": list(user_ids), "begin": begin}
        return await self._send(target, what, settled_by="notified")

    async def append(self, user_id: str, message: Message, *, once: str | None) -> Sent:
        """See `LiveControl.append`."""
        event = NewEvent(message.event, "", orjson.dumps(payload_of(message)))

        def publish(origin: str) -> Awaitable[Published]:
            return self._log.publish(user_id, [event], origin=origin, counted=ALL, once=once)

        count, event_id = await self._append(message, publish)
        return Sent(lambda: self._delivery(count), event_id)

    async def append_to_room(self, room: str, message: Message, *, once: str | None) -> Sent:
        """See `LiveControl.append_to_room`."""
        payload = orjson.dumps(payload_of(message))

        def publish(origin: str) -> Awaitable[Published]:
            return self._rooms.publish(room, message.event, payload, origin=origin, once=once)

        count, history_id = await self._append(message, publish)
        count.is_broadcast = True
        return Sent(lambda: self._delivery(count), history_id=history_id)

    async def last_of_room(self, room: str) -> int:
        """See `LiveControl.last_of_room`."""
        return (await self._rooms.missed(room, after=None, most_bytes=0)).last

    async def history(self, room: str, *, after: int | None, limit: int) -> RoomHistory:
        """See `LiveControl.history`."""
        return await self._rooms.read(room, after=after, limit=limit)

    async def _append(self, message: Message, publish: Callable[[str], Awaitable[Published]]) -> tuple[Count, int]:
        """Publish by a log, with where receipts go to; return their count and the id in the log."""
        count = self._counts.begin(_settled_by(message), is_direct=True)
        try:
            published = await publish(f"{self._node_id}:{count.request}")
        except BaseException:
            self._counts.settle([count])
            raise
        count.expected = published.nodes
        return count, published.event_id

    async def _send(self, target: Target, what: Mapping[str, Any], *, settled_by: SettledBy) -> Sent:
        count = self._counts.begin(settled_by, is_direct=True)
        try:
            await self._find_nodes(target, count)
            await self._pass(target, what, count, report_to=self._node_id)
        except BaseException:
            self._counts.settle([count])
            raise
        return Sent(lambda: self._delivery(count))

    async def _pass(self, target: Target, what: Mapping[str, Any], count: Count, *, report_to: str) -> None:
        """Send a message to the nodes; an empty `report_to` asks for no reports."""
        message: BusMessage = {
            "t": "direct",
            "request": count.request,
            "node": report_to,
            "kind": target.kind,
            "name": target.name,
            **what,
        }
        await self._to_others(target, message, count)
        if self._node_id in count.expected and self._take_here is not None:
            await self._take_here(message)

    async def _delivery(self, count: Count) -> Delivery:
        try:
            await self._counts.wait([count])
        finally:
            self._counts.settle([count])
        return count.delivery()

    async def _find_nodes(self, target: Target, count: Count) -> None:
        """Set which nodes are expected to report: those listed with sockets of the user, or all."""
        try:
            if target.user_id is not None:
                count.expected = await self._presence.nodes_of(target.user_id, session_id=_session(target))
            else:
                count.is_broadcast = True
                count.expected = dict.fromkeys(await self._leases.alive(), 0)
        except Unavailable:
            count.is_unpublished = True
        if self._take_here is not None:
            count.expected.setdefault(self._node_id, 0)

    async def _to_others(self, target: Target, message: BusMessage, count: Count) -> None:
        others = [node for node in count.expected if node != self._node_id]
        if target.user_id is None:
            if others:
                await self._bus.send_to_others(message)
            return
        user_id = target.user_id
        await asyncio.gather(*(self._bus.send(node, user_id, message) for node in others))


def payload_of(message: Message) -> dict[str, Any]:
    """The payload of an event in a log, or in a message to nodes: what is absent takes no space."""
    payload: dict[str, Any] = {"data": message.data}
    if message.ack:
        payload["ack"] = True
    if message.except_socket_id is not None:
        payload["except"] = message.except_socket_id
    return payload


def _settled_by(message: Message) -> SettledBy:
    return "acknowledged" if message.ack else "notified"


def _session(target: Target) -> str | None:
    return target.name if target.kind == "session" else None
