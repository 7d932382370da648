"""Expiry of a socket's access token: warning, expiry and end of the grace period."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from auth.core.clock import Clock
from auth.core.models import Principal
from realtime.engine.emitter import Emitter
from realtime.engine.websocket import POLICY
from realtime.hub import Connection, SocketState
from realtime.protocol import messages
from realtime.protocol.messages import ServerEvent

# The warning is sent at most this share of the token's lifetime before expiry (protocol.md, section 5), delayed by
# up to a quarter of the lead, so that tokens that expire in the same second are not all refreshed at once.
LEAD_SHARE = 0.2
JITTER_SHARE = 0.25

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ExpirySchedule:
    """When to warn, expire and disconnect."""

    warn_at: datetime
    expires_at: datetime
    grace_ends_at: datetime


def schedule(
    *, issued_at: datetime, expires_at: datetime, lead: timedelta, grace: timedelta, jitter: float
) -> ExpirySchedule:
    """The schedule of one token; `jitter` is a random number between 0 and 1."""
    lead = min(lead, (expires_at - issued_at) * LEAD_SHARE)
    return ExpirySchedule(
        warn_at=expires_at - lead * (1 - JITTER_SHARE * jitter),
        expires_at=expires_at,
        grace_ends_at=expires_at + grace,
    )


class ExpiryWatch:
    """Keeps one timer per socket, for its next expiry step."""

    def __init__(self, emitter: Emitter, *, lead: timedelta, grace: timedelta, clock: Clock) -> None:
        self._emitter = emitter
        self._lead = lead
        self._grace = grace
        self._clock = clock

    def watch(self, connection: Connection) -> None:
        """Restart the schedule for the socket's current token."""
        connection.cancel_timer()
        if connection.state is SocketState.CLOSING:
            return
        principal = connection.principal
        plan = schedule(
            issued_at=principal.issued_at,
            expires_at=principal.expires_at,
            lead=self._lead,
            grace=self._grace,
            jitter=random.random(),  # noqa: S311 - spreads load; not for security
        )
        self._at(connection, plan.warn_at, self._warn)

    def renew(self, connection: Connection, principal: Principal) -> None:
        """Replace the socket's token. Socket id, rooms, event order and roles stay the same."""
        connection.principal = replace(principal, roles=connection.principal.roles)
        connection.state = SocketState.LIVE
        self.watch(connection)

    def _at(self, connection: Connection, moment: datetime, act: Callable[[Connection], None]) -> None:
        delay = max((moment - self._clock()).total_seconds(), 0)
        connection.timer = self._emitter.timers.after(delay, lambda: act(connection))

    def _warn(self, connection: Connection) -> None:
        expires_at = connection.principal.expires_at
        if connection.state is SocketState.LIVE:
            remaining = max((expires_at - self._clock()).total_seconds(), 0)
            warning = messages.TokenExpiring(
                expires_at=expires_at,
                expires_in_ms=round(remaining * 1000),
                grace_ms=round(self._grace.total_seconds() * 1000),
            )
            self._emitter.emit_here(connection.socket_id, ServerEvent.TOKEN_EXPIRING, warning.to_wire())
        self._at(connection, expires_at, self._expire)

    def _expire(self, connection: Connection) -> None:
        grace_ends_at = connection.principal.expires_at + self._grace
        if connection.state is SocketState.LIVE:
            connection.state = SocketState.EXPIRED
            expired = messages.TokenExpired(grace_ends_at=grace_ends_at)
            self._emitter.emit_here(connection.socket_id, ServerEvent.TOKEN_EXPIRED, expired.to_wire())
        self._at(connection, grace_ends_at, self._end_grace)

    def _end_grace(self, connection: Connection) -> None:
        if connection.state is SocketState.EXPIRED:
            connection.state = SocketState.CLOSING
            log.info("socket_grace_over", socket_id=connection.socket_id)
            self._emitter.drop(connection.socket_id, "the token has expired", code=POLICY)
