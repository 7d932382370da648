"""Activation of a socket: sends `ready`, then missed events, before any of its events is served."""

import logging
from datetime import timedelta

import structlog

from auth.services import Services
from realtime.broker.user_log import JoinResult
from realtime.delivery.inbound import Inbound
from realtime.delivery.push import MAX_HELD_BACK
from realtime.delivery.socket_hooks import SocketHooks
from realtime.gateway.expiry import ExpiryWatch
from realtime.hub import Connection, SocketState
from realtime.protocol import messages
from realtime.protocol.messages import ServerEvent

log = structlog.get_logger()
is_enabled = logging.getLogger(__name__).isEnabledFor


class Activation:
    """Makes a joined socket live."""

    def __init__(
        self, inbound: Inbound, services: Services, expiry: ExpiryWatch, hooks: SocketHooks, *, grace: timedelta
    ) -> None:
        self._connections = inbound.connections
        self._emitter = inbound.emitter
        self._push = inbound.push
        self._places = inbound.places
        self._catch_up = inbound.catch_up
        self._expiry = expiry
        self._hooks = hooks
        self._grace = grace
        self._metrics = services.metrics
        self._accepted_handshakes = services.metrics.handshakes.labels("ok")
        self._clock = services.clock

    def activate(self, connection: Connection, cursor: int | None, joined: JoinResult) -> None:
        """Send `ready` and the events after `cursor`; does nothing if the socket was ended meanwhile."""
        if connection.state is not SocketState.CONNECTING:
            return
        connection.cursor = cursor if joined.recovered and cursor is not None else joined.last_event_id
        connection.state = SocketState.LIVE
        self._accepted_handshakes.inc()
        self._metrics.sockets.set(len(self._connections))
        if is_enabled(logging.INFO):  # checked first: a suppressed log call costs 3 µs
            log.info(
                "socket_ready",
                socket_id=connection.socket_id,
                user_id=connection.user_id,
                session_id=connection.session_id,
                recovered=joined.recovered,
            )
        for room, enters in (connection.rooms_at_ready or {}).items():
            if enters:
                # What `prepare` did not register came while the handshake ran.
                self._places.enter(connection, room, from_now=True)
            else:
                self._places.forget(connection, room)
        connection.rooms_at_ready = None
        self._emitter.emit_here(connection.socket_id, ServerEvent.READY, self._ready(connection, joined).to_wire())
        held_back, connection.held_back = connection.held_back, ()
        for frame in (*joined.missed, *held_back):
            self._push.deliver(connection, frame)
        self._places.begin(connection)
        self._expiry.watch(connection)
        if len(held_back) >= MAX_HELD_BACK:
            # Frames beyond the limit were dropped and are read from the log.
            connection.enqueue(lambda: self._catch_up.one_if_possible(connection))
        self._hooks.connected(connection)

    def _ready(self, connection: Connection, joined: JoinResult) -> messages.Ready:
        joined_rooms, lost_rooms = self._places.opening(connection)
        return messages.Ready(
            protocol=1,
            user_id=connection.user_id,
            session_id=connection.session_id,
            socket_id=connection.socket_id,
            access_token_expires_at=connection.principal.expires_at,
            grace_ms=round(self._grace.total_seconds() * 1000),
            server_time=self._clock(),
            last_event_id=joined.last_event_id,
            recovered=joined.recovered and not lost_rooms,
            joined=joined_rooms if connection.places is not None else None,
            rooms=lost_rooms or None,
            events_recovered=joined.recovered if lost_rooms else None,
        )
