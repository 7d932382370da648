"""Delivers events of a user's log to this node's sockets, each at most once.

Each socket has a cursor; frames at or before it were already delivered.
"""

from datetime import datetime
from typing import Any

from auth.core.clock import Clock
from auth.core.events import EVENT_ID
from auth.core.models import HeldRoles
from auth.platform.metrics import Metrics
from realtime.delivery.revocation_acks import Endings, Receipt, payload_for
from realtime.delivery.room_places import RoomPlaces
from realtime.delivery.socket_hooks import SocketHooks
from realtime.engine.emitter import Emitter
from realtime.hub import Connection, Frame, SocketState
from realtime.protocol.messages import EMIT_ACK_SECONDS, RolesChanged, ServerEvent

# After this long without an ack a device counts as not showing the approval request.
APPROVAL_ACK_SECONDS = 5.0
# Frames held back during a handshake, which takes milliseconds; any beyond are read from the log.
MAX_HELD_BACK = 64


class Push:
    """Delivers frames to this node's sockets."""

    def __init__(
        self,
        emitter: Emitter,
        places: RoomPlaces,
        endings: Endings,
        hooks: SocketHooks,
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._emitter = emitter
        self._places = places
        self._endings = endings
        self._hooks = hooks
        self._shown = metrics.approval_pushes.labels("acknowledged")
        self._not_shown = metrics.approval_pushes.labels("unacknowledged")
        self._clock = clock

    def deliver(self, connection: Connection, frame: Frame, receipt: Receipt | None = None) -> None:
        """Deliver a frame to a socket, unless it was delivered before."""
        if connection.state is SocketState.CONNECTING:
            if len(connection.held_back) < MAX_HELD_BACK:
                connection.held_back = (*connection.held_back, frame)
            return
        if frame.event_id <= connection.cursor or connection.state is SocketState.CLOSING:
            return
        connection.cursor = frame.event_id
        if frame.event == ServerEvent.ROLES_CHANGED:
            self._set_roles(connection, roles_from_payload(frame.payload))
        elif frame.event == ServerEvent.LOGIN_APPROVAL_REQUESTED:
            self._request_approval(connection, frame)
        elif frame.is_application:
            self._send_application_event(connection, frame, receipt)
        elif frame.event == ServerEvent.SECURITY_ALERT and has_approved(connection, frame):
            return
        elif frame.event != ServerEvent.SESSION_REVOKED:
            self._emitter.emit_here(connection.socket_id, frame.event, payload_for(connection, frame))
        elif frame.session_id == connection.session_id:
            self._endings.end(connection, frame, receipt)

    def _send_application_event(self, connection: Connection, frame: Frame, receipt: Receipt | None) -> None:
        """Send an application's event with its id. Nobody awaits the ack of a missed one."""
        payload = frame.payload["data"] | {EVENT_ID: frame.event_id}
        if receipt is None or not frame.payload.get("ack"):
            self._emitter.emit_here(connection.socket_id, frame.event, payload)
        if receipt is None:
            return
        receipt.sockets += 1
        receipt.notified += 1
        if frame.payload.get("ack"):

            def settled(acknowledged: bool) -> None:
                if acknowledged:
                    self._endings.acknowledged(frame, receipt)

            self._emitter.emit_with_ack(
                connection.socket_id, frame.event, payload, seconds=EMIT_ACK_SECONDS, settled=settled
            )

    def _request_approval(self, connection: Connection, frame: Frame) -> None:
        """Send an approval request, unless it has expired before the device reconnected."""
        if datetime.fromisoformat(frame.payload["expiresAt"]) <= self._clock():
            return
        self._emitter.emit_with_ack(
            connection.socket_id,
            frame.event,
            payload_for(connection, frame),
            seconds=APPROVAL_ACK_SECONDS,
            settled=self._count_shown,
        )

    def _count_shown(self, acknowledged: bool) -> None:
        (self._shown if acknowledged else self._not_shown).inc()

    def update_roles(self, connection: Connection, held: HeldRoles) -> None:
        """Set a socket's roles, unless its own are as new or newer."""
        if connection.state is SocketState.CONNECTING:
            connection.set_roles(held)
        elif held.version > connection.roles_version and connection.state is not SocketState.CLOSING:
            self._set_roles(connection, held)

    def _set_roles(self, connection: Connection, held: HeldRoles) -> None:
        """Set a socket's roles, remove it from rooms that it may no longer be in, and notify its client."""
        before = connection.principal.roles
        if not connection.set_roles(held):
            return
        for room in connection.take_forbidden_rooms():
            self._places.leave(connection, room)
        changed = RolesChanged(event_id=connection.cursor, roles=held.roles, version=held.version)
        self._emitter.emit_here(connection.socket_id, ServerEvent.ROLES_CHANGED, changed.to_wire())
        if before != held.roles:
            self._hooks.roles_changed(connection)

    def drop(self, connection: Connection, why: str) -> None:
        """End a socket so that its client reconnects, and learns there whether its session is still live."""
        connection.state = SocketState.CLOSING
        connection.cancel_timer()
        self._emitter.drop(connection.socket_id, why)


def has_approved(connection: Connection, alert: Frame) -> bool:
    """Whether an alert is about a login that the socket's own session approved."""
    return bool(alert.payload.get("approvedBy") == connection.session_id)


def roles_from_payload(payload: dict[str, Any]) -> HeldRoles:
    """The roles in the payload of a `roles-changed` event."""
    return HeldRoles(tuple(payload["roles"]), payload["version"])
