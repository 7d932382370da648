"""Handshakes: limits connections per address, verifies the token, and registers the socket.

A token in `auth` is accepted from any client without an `Origin` or with an allowed one; a cookie only with an
allowed `Origin`. Every handshake, accepted or refused, is counted per address in Redis.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiohttp import web

from auth.clients.address import Network
from auth.core.errors import (
    AuthError,
    InternalError,
    InvalidRequest,
    InvalidToken,
    MfaRequired,
    MissingToken,
    OriginNotAllowed,
    RateLimited,
    SessionRevoked,
    TokenExpired,
    TooManySockets,
    Unavailable,
)
from auth.core.models import Client, Principal
from auth.core.views import parse
from auth.http.context import read_client
from auth.http.cookies import ACCESS_COOKIE, sent_cookie
from auth.operations import Operations
from auth.platform.open_connections import RETRY_SECONDS, OpenConnections
from auth.platform.rate_limits import LocalWindows
from auth.services import Services
from realtime.broker.user_log import JoinResult, device_status
from realtime.delivery.inbound import Inbound
from realtime.delivery.outbound import Outbound
from realtime.engine.sockets import Refused
from realtime.hub import Connection
from realtime.protocol.messages import ConnectRefusal, Handshake
from realtime.protocol.room_messages import NamedPlace

# A call of MongoDB takes milliseconds; a handshake does not wait for the end of an outage.
MONGO_SECONDS = 0.5
# Connections that an address may open per handshake it may attempt.
OPENS_PER_HANDSHAKE = 2
LIMIT: Final = "socket_connects"
MAX_ADDRESSES = 20_000
# Reasons for refusing a handshake, each counted by `vigil_handshakes_total`.
REFUSALS = (
    InternalError,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    OriginNotAllowed,
    RateLimited,
    SessionRevoked,
    TokenExpired,
    TooManySockets,
    Unavailable,
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OpeningRequest:
    """Data kept from the HTTP request that opened a connection."""

    client: Client
    origin: str | None
    access_cookie: str | None = field(repr=False)

    @classmethod
    def of(cls, request: web.BaseRequest, trusted_proxies: Sequence[Network]) -> "OpeningRequest":
        """Read client address, `Origin` and access cookie by the same rules as HTTP requests."""
        return cls(
            read_client(request, trusted_proxies),
            request.headers.get("Origin"),
            sent_cookie(request.headers, ACCESS_COOKIE),
        )


@dataclass(frozen=True, slots=True)
class VerifiedHandshake:
    """A verified handshake. `principal` is None for a login that waits for its second factor."""

    token: str = field(repr=False)
    principal: Principal | None
    cursor: int | None
    rooms: Mapping[str, NamedPlace] | None


class Handshakes:
    """Verifies handshakes and adds admitted sockets to their users' lists."""

    def __init__(
        self,
        outbound: Outbound,
        inbound: Inbound,
        services: Services,
        operations: Operations,
        open_connections: OpenConnections,
        *,
        trusted_proxies: Sequence[Network],
        allowed_origins: frozenset[str],
    ) -> None:
        self._connections = inbound.connections
        self._places = inbound.places
        self._log = outbound.log
        self._presence = outbound.presence
        self._room_members = outbound.room_members
        self._limits = services.limits
        self._metrics = services.metrics
        self._clock = services.clock
        self._sessions = operations.sessions
        self._profile = operations.profile
        self._open_connections = open_connections
        self._trusted_proxies = trusted_proxies
        self._allowed_origins = allowed_origins
        self._opened = LocalWindows(MAX_ADDRESSES)
        self._metrics.begin(self._metrics.handshakes, MfaRequired.code, *(refusal.code for refusal in REFUSALS))

    # Connection

    def refuses(self, request: web.BaseRequest) -> float | None:
        """Seconds until an address may open connections again; None if it may now.

        A generous limit counted on this node only. It stops clients that open connections without a handshake or
        keep too many open; handshakes themselves are counted in Redis.
        """
        address = read_client(request, self._trusted_proxies).ip
        if self._open_connections.is_full(address):
            return RETRY_SECONDS
        if not self._limits.enabled:
            return None
        now = time.monotonic()
        for window in self._limits.windows(LIMIT, address):
            if self._opened.add(window.key, window.seconds, now=now) > window.amount * OPENS_PER_HANDSHAKE:
                return self._opened.seconds_left(window.key, now=now)
        return None

    def count_refused(self) -> None:
        """Count a connection refused by `refuses`."""
        self._limits.refused(LIMIT)

    def note(self, request: web.BaseRequest) -> OpeningRequest:
        """Count a new connection and return the data to keep from its request."""
        arrival = OpeningRequest.of(request, self._trusted_proxies)
        self._open_connections.add(arrival.client.ip)
        return arrival

    def gone(self, arrival: OpeningRequest) -> None:
        """Uncount a connection that has ended."""
        self._open_connections.leave(arrival.client.ip)

    # Token

    async def verify(self, arrival: OpeningRequest, auth: Any) -> VerifiedHandshake:
        """Verify origin and token. Raises `AuthError`."""
        try:
            handshake = parse(Handshake, auth or {})
            token = self._token(arrival, handshake)
            principal = await self._sessions.verify(token) if handshake.mfa_token is None else None
        except AuthError:
            await self._limits.hit(LIMIT, arrival.client.ip)
            raise
        if principal is None:
            await self._limits.hit(LIMIT, arrival.client.ip)
        return VerifiedHandshake(token, principal, handshake.last_event_id, handshake.rooms)

    def _token(self, arrival: OpeningRequest, handshake: Handshake) -> str:
        origin = arrival.origin
        if origin is not None and origin.lower() not in self._allowed_origins:
            raise OriginNotAllowed
        if handshake.mfa_token is not None:
            if handshake.token is not None or handshake.last_event_id is not None or handshake.rooms:
                raise InvalidRequest("An mfaToken cannot be combined with token, lastEventId or places in rooms.")
            return handshake.mfa_token
        if handshake.token is not None:
            return handshake.token
        if arrival.access_cookie is None:
            raise MissingToken
        if origin is None:
            # Browsers always send `Origin` here; a cookie without it is not accepted (cross-site requests).
            raise OriginNotAllowed
        return arrival.access_cookie

    # Registration

    async def join(self, connection: Connection, *, cursor: int | None, has_waited: bool = False) -> JoinResult:
        """List the socket, unless its session is revoked, and read the events after `cursor`.

        Also counts the handshake and confirms the token pair, except for a socket that `has_waited` for a second
        factor. Raises `AuthError`.
        """
        principal = connection.principal
        is_counted = self._limits.enabled and not has_waited
        if is_counted and self._limits.is_cluster:
            await self._limits.hit(LIMIT, connection.client.ip)
            is_counted = False
        self._connections.add(connection)
        joined: JoinResult | None = None
        try:
            joined = await self._log.join(
                connection,
                cursor=cursor,
                online=device_status(principal.session_id, online=True, sockets=1, clock=self._clock),
                limits=self._limits.windows(LIMIT, connection.client.ip) if is_counted else (),
            )
            self._raise_unless_ok(joined)
            if not has_waited:
                await self._confirm(principal)
            if joined.has_rooms:
                await self._read_rooms(connection)
            if principal.is_privileged or joined.roles_changed:
                # Read after listing: a later change of roles reaches the socket as an event.
                connection.set_roles((await self._profile.me(principal)).held_roles)
        except BaseException:
            self._connections.remove(connection.socket_id)
            self._places.gone(connection)
            if joined is None or joined.status == "ok":
                # Without a reply from Redis the script may still have run.
                self.undo(connection)
            raise
        return joined

    async def _read_rooms(self, connection: Connection) -> None:
        """Read the rooms that last. After listing: a later change reaches the socket.

        Raises `Unavailable` while MongoDB is slow or down: without its rooms the socket would miss their events,
        unnoticed.
        """
        try:
            async with asyncio.timeout(MONGO_SECONDS):
                memberships = await self._room_members.of_user(connection.user_id)
        except TimeoutError:
            raise Unavailable from None
        own: dict[str, int] = {}
        for each in memberships:
            if each.session_id in (None, connection.session_id):
                own[each.room] = min(each.since, own.get(each.room, each.since))
        # What was changed while this was being read is newer.
        connection.rooms_at_ready = dict.fromkeys(own, True) | (connection.rooms_at_ready or {})
        await self._places.prepare(connection, own)

    def undo(self, connection: Connection) -> None:
        """Remove a socket that was listed but will not become live."""
        self._presence.leave_soon(connection)

    def _raise_unless_ok(self, joined: JoinResult) -> None:
        if joined.status == "limited":
            self._limits.refused(LIMIT)
            raise RateLimited(retry_after_seconds=joined.wait_ms / 1000)
        if joined.status == "revoked":
            raise SessionRevoked
        if joined.status == "full":
            raise TooManySockets

    async def _confirm(self, principal: Principal) -> None:
        """Confirm the token pair before `ready`; while MongoDB is slow or down, go on without waiting."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MONGO_SECONDS):
                await self._sessions.confirm(principal)

    # Refusal

    def count_draining(self) -> None:
        """Count a handshake refused because this node is shutting down."""
        self._metrics.handshakes.labels(Unavailable.code).inc()

    @contextmanager
    def errors_as_refusals(self, socket_id: str, arrival: OpeningRequest) -> Iterator[None]:
        """Convert any exception to `Refused`, with the data of `connect_error`."""
        try:
            yield
        except AuthError as refusal:
            self._metrics.handshakes.labels(refusal.code).inc()
            log.info("handshake_refused", socket_id=socket_id, code=refusal.code, ip=arrival.client.ip)
            raise Refused(refusal.message, ConnectRefusal.of(refusal).to_wire()) from None
        except Exception:  # a bug refuses only this handshake
            self._metrics.handshakes.labels(InternalError.code).inc()
            log.exception("handshake_failed", socket_id=socket_id)
            raise Refused(InternalError.default_message, ConnectRefusal.of(InternalError()).to_wire()) from None
