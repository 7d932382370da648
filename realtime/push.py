"""Frames in: what comes off a user's log goes to that user's sockets on this node, in order, once each.

A socket has a cursor. A frame not after it was delivered already; a frame whose predecessor the socket never
saw means that the bus lost something, and the socket catches up from the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

import structlog

from auth.clock import Clock
from auth.metrics import Metrics
from auth.models import HeldRoles, RevocationReason
from realtime.bus import Message
from realtime.connections import Connection, Connections, Frame, State
from realtime.messages import REVOCATION_ACK_SECONDS, RolesChanged, ServerEvent

# A socket that ends its own session, or finds it stolen, is closed only after it was answered, or after this long.
OWN_ANSWER_SECONDS = 0.25
# A device that has not acknowledged a request for approval by then does not show it.
APPROVAL_ACK_SECONDS = 5.0
# A handshake takes milliseconds. Frames beyond this many are read from the log instead.
MAX_HELD_BACK = 64

log = structlog.get_logger()


class Emitter(Protocol):
    """The way out to one socket."""

    def emit_here(self, socket_id: str, event: str, payload: dict[str, Any]) -> None:
        """Send an event; never waits for the peer."""

    async def emit_acknowledged(
        self, socket_id: str, event: str, payload: dict[str, Any], *, seconds: float
    ) -> bool:
        """Send an event and wait for its ack, at most `seconds`; whether it came."""

    def emit_asking(
        self,
        socket_id: str,
        event: str,
        payload: dict[str, Any],
        *,
        seconds: float,
        settled: Callable[[bool], None],
    ) -> None:
        """Send an event, and tell `settled` whether its ack came within `seconds`; never waits."""

    def leave_here(self, socket_id: str, room: str) -> None:
        """Take the socket out of one room."""

    def leave_rooms(self, socket_id: str) -> None:
        """Take the socket out of the application's rooms."""

    def close(self, socket_id: str) -> None:
        """Disconnect."""


@dataclass(slots=True)
class Receipt:
    """What this node can say of one forced logout; sent to the node that asked, again at each change."""

    request: str
    node: str
    sockets: int = 0
    notified: int = 0
    acknowledged: int = 0
    closed: int = 0

    def message(self) -> Message:
        """The report as it goes over the bus."""
        return {"t": "receipt", **asdict(self)}


class Push:
    """Delivers frames to this node's sockets."""

    def __init__(
        self,
        connections: Connections,
        emitter: Emitter,
        *,
        node_id: str,
        send: Callable[[str, Message], Awaitable[None]],
        catch_up: Callable[[Connection], Awaitable[None]],
        on_roles: Callable[[Connection], None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._emitter = emitter
        self._node_id = node_id
        self._send = send
        self._catch_up = catch_up
        self._on_roles = on_roles
        self._metrics = metrics
        self._clock = clock
        self._ending: set[asyncio.Task[None]] = set()

    async def take(self, frame: Frame) -> None:
        """Deliver a frame to every socket of its user here, and answer for them if somebody counts."""
        self._metrics.bus_events.labels(frame.event).inc()
        receipt = self._receipt(frame)
        for connection in self._connections.of_user(frame.user_id):
            if connection.state is not State.CONNECTING and frame.previous > connection.cursor:
                await self._catch_up(connection)
            self.deliver(connection, frame, receipt)
        if receipt is not None:
            await self._report(frame, receipt)

    def deliver(self, connection: Connection, frame: Frame, receipt: Receipt | None = None) -> None:
        """Give one frame to one socket, unless it had it."""
        if connection.state is State.CONNECTING:
            if len(connection.held_back) < MAX_HELD_BACK:
                connection.held_back = (*connection.held_back, frame)
            return
        if frame.event_id <= connection.cursor or connection.state is State.CLOSING:
            return
        connection.cursor = frame.event_id
        if frame.event == ServerEvent.ROLES_CHANGED:
            self._give_roles(connection, held_of(frame.payload))
        elif frame.event == ServerEvent.LOGIN_APPROVAL_REQUESTED:
            self._ask(connection, frame)
        elif frame.event != ServerEvent.SESSION_REVOKED:
            self._emitter.emit_here(connection.socket_id, frame.event, payload_for(connection, frame))
        elif frame.session_id == connection.session_id:
            self.end(connection, frame, receipt)

    def _ask(self, connection: Connection, frame: Frame) -> None:
        """Show a request for approval, unless its time is over: who comes back late is not asked any more."""
        if datetime.fromisoformat(frame.payload["expiresAt"]) <= self._clock():
            return
        self._emitter.emit_asking(
            connection.socket_id,
            frame.event,
            payload_for(connection, frame),
            seconds=APPROVAL_ACK_SECONDS,
            settled=self._count_shown,
        )

    def _count_shown(self, acknowledged: bool) -> None:
        self._metrics.approval_pushes.labels("acknowledged" if acknowledged else "unacknowledged").inc()

    def give_roles(self, connection: Connection, held: HeldRoles) -> None:
        """Have a socket act by these roles, unless it does, or knows of a later change."""
        if connection.state is State.CONNECTING:
            connection.take_roles(held)
        elif held.version > connection.roles_version and connection.state is not State.CLOSING:
            self._give_roles(connection, held)

    def _give_roles(self, connection: Connection, held: HeldRoles) -> None:
        """From this call on its events are judged by these roles, and it hears nothing more in rooms of others."""
        before = connection.principal.roles
        if not connection.take_roles(held):
            return
        for room in connection.forfeited_rooms():
            self._emitter.leave_here(connection.socket_id, room)
        told = RolesChanged(event_id=connection.cursor, roles=held.roles, version=held.version)
        self._emitter.emit_here(connection.socket_id, ServerEvent.ROLES_CHANGED, told.to_wire())
        if before != held.roles:
            self._on_roles(connection)

    def end(self, connection: Connection, frame: Frame, receipt: Receipt | None = None) -> None:
        """Tell a socket that its session was ended, wait for its ack or 1 s, and disconnect it.

        From this call on nothing more that the socket sends is served.
        """
        if connection.state is State.CLOSING:
            return
        connection.state = State.CLOSING
        connection.ended = True
        connection.cancel_timer()
        if receipt is not None:
            receipt.sockets += 1
            receipt.notified += 1
        self._spawn(self._end(connection, frame, receipt))

    def disconnect(self, connection: Connection) -> None:
        """Close a socket without a reason of its own: its client comes back and is told what is so."""
        connection.state = State.CLOSING
        connection.cancel_timer()
        self._emitter.close(connection.socket_id)

    async def close(self) -> None:
        """Wait for the sockets that are being ended."""
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _end(self, connection: Connection, frame: Frame, receipt: Receipt | None) -> None:
        acknowledged = await self._tell(connection, frame)
        # Read once: it may end while the report is on its way.
        answering = connection.worker if asked_for_it(connection, frame) else None
        if answering is None:
            self._emitter.close(connection.socket_id)
        if receipt is not None:
            receipt.acknowledged += acknowledged
            receipt.closed += 1
            await self._report(frame, receipt)
        if answering is not None:
            # The one that asked for this waits for the count, so it is counted first and closed then.
            await asyncio.wait({answering}, timeout=OWN_ANSWER_SECONDS)
            self._emitter.close(connection.socket_id)
        age = self._clock() - datetime.fromisoformat(frame.payload["at"])
        self._metrics.revocation_to_close.observe(max(age.total_seconds(), 0))

    async def _tell(self, connection: Connection, frame: Frame) -> bool:
        """Tell a socket of its end; whether it acknowledged. Never raises: it is closed in any case."""
        try:
            self._emitter.leave_rooms(connection.socket_id)
            return await self._emitter.emit_acknowledged(
                connection.socket_id, frame.event, payload_for(connection, frame), seconds=REVOCATION_ACK_SECONDS
            )
        except Exception:  # told or not, the socket is closed
            log.exception("revocation_not_told", socket_id=connection.socket_id)
            return False

    def _receipt(self, frame: Frame) -> Receipt | None:
        if not frame.origin or frame.event != ServerEvent.SESSION_REVOKED:
            return None
        return Receipt(request=frame.origin.partition(":")[2], node=self._node_id)

    async def _report(self, frame: Frame, receipt: Receipt) -> None:
        await self._send(frame.origin.partition(":")[0], receipt.message())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def held_of(payload: dict[str, Any]) -> HeldRoles:
    """What a `roles-changed` event says."""
    return HeldRoles(tuple(payload["roles"]), payload["version"])


def asked_for_it(connection: Connection, frame: Frame) -> bool:
    """Whether the socket may wait for the answer to what ended it: its own revocation, or a reused token."""
    own = frame.payload["by"].get("sessionId") == connection.session_id
    return bool(own) or RevocationReason(frame.payload["reason"]) is RevocationReason.REFRESH_REUSED


def payload_for(connection: Connection, frame: Frame) -> dict[str, Any]:
    """The payload as one socket gets it: with the event's id and version, and its own session marked."""
    payload = frame.payload | {"eventId": frame.event_id}
    if frame.version is not None:
        payload["version"] = frame.version
    session = payload.get("session")
    if session is not None:
        payload["session"] = session | {"isCurrent": session["sessionId"] == connection.session_id}
    return payload
