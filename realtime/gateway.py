"""The gate of the live socket: who comes in, how long they stay, and what is done when they go."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from auth.clock import Clock
from auth.errors import (
    AuthError,
    InvalidRequest,
    MissingToken,
    OriginNotAllowed,
    RateLimited,
    SessionRevoked,
    Unavailable,
)
from auth.metrics import Metrics
from auth.models import Principal
from auth.profile import Profile
from auth.rate_limits import EventWindow, LocalWindows, RateLimits
from auth.sessions import Sessions
from auth.views import View, parse
from realtime import messages
from realtime.application import Application, HookKind
from realtime.arrival import Arrival, Doorman
from realtime.connections import Connection, Connections, State
from realtime.engine.sockets import Received, Refused, SocketServer
from realtime.expiry import schedule
from realtime.handlers import MAX_PAYLOAD_BYTES, Handlers
from realtime.inbox import Inbox, Job
from realtime.messages import ConnectRefusal, Handshake, ServerEvent
from realtime.presence import Presence, device_status
from realtime.push import MAX_HELD_BACK, Push
from realtime.user_log import ConnectLimit, Joined, UserLog
from realtime.waiting import WaitingRoom, WaitingSocket

# How long a node that stops waits for the application to finish with sockets that are gone.
FAREWELL_SECONDS = 2.0
# An update in MongoDB takes milliseconds; a handshake does not wait out an outage for it.
CONFIRM_SECONDS = 0.5
# An address may open so many connections for each handshake that it may try.
OPENS_PER_HANDSHAKE = 2
MAX_ADDRESSES = 20_000

log = structlog.get_logger()
is_enabled = logging.getLogger(__name__).isEnabledFor


class Gateway:
    """Implements `engine.sockets.Gate`, `handlers.Renewer` and `waiting.LiveDoor`."""

    def __init__(
        self,
        *,
        connections: Connections,
        user_log: UserLog,
        sessions: Sessions,
        profile: Profile,
        doorman: Doorman,
        limits: RateLimits,
        allowed_origins: frozenset[str],
        lead: timedelta,
        grace: timedelta,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._log = user_log
        self._sessions = sessions
        self._profile = profile
        self._doorman = doorman
        self._limits = limits
        self._allowed_origins = allowed_origins
        self._lead = lead
        self._grace = grace
        self._metrics = metrics
        self._let_in = metrics.handshakes.labels("ok")
        self._clock = clock
        self._joined: dict[str, tuple[int | None, Joined]] = {}
        self._opened = LocalWindows(MAX_ADDRESSES)
        self._background: set[asyncio.Task[None]] = set()
        self.draining = False
        self.server: SocketServer
        self.push: Push
        self.presence: Presence
        self.handlers: Handlers
        self.waiting: WaitingRoom
        self.application: Application | None = None
        # Whether a revocation reaches this node's sockets at once, as it does while the bus is heard.
        self.hears_revocations: Callable[[], bool]
        # Called when the log no longer reached back to what a socket had read.
        self.on_skipped: Callable[[Connection], None]

    def note(self, request: Any) -> Arrival:
        """See `engine.sockets.Gate.note`."""
        origin = request.headers.get("Origin")
        return Arrival(self._doorman.client(request), origin, self._doorman.access_cookie(request))

    async def admit(self, socket_id: str, noted: Arrival, auth: Any) -> None:
        """Let a socket in: its token is good, its session not revoked, its origin allowed.

        Raises `Refused` with what the client is told.
        """
        try:
            await self._admit(socket_id, noted, auth)
        except AuthError as refusal:
            self._metrics.handshakes.labels(refusal.code).inc()
            log.info("handshake_refused", socket_id=socket_id, code=refusal.code, ip=noted.client.ip)
            raise Refused(refusal.message, ConnectRefusal.of(refusal).to_wire()) from None
        except Exception:  # a defect of ours refuses this handshake alone
            self._metrics.handshakes.labels(AuthError.code).inc()
            log.exception("handshake_failed", socket_id=socket_id)
            raise Refused(AuthError.default_message, ConnectRefusal.of(AuthError()).to_wire()) from None

    def refuses(self, request: Any) -> float | None:
        """After how many seconds an address may open connections again; None when it may now.

        Counted here alone, and generously: handshakes are counted in Redis. This is for who never comes to one.
        """
        if not self._limits.enabled:
            return None
        key, amount, window = self._limits.redis_key("socket_connects", self._doorman.client(request).ip)
        now = time.monotonic()
        if self._opened.add(key, window, now=now) <= amount * OPENS_PER_HANDSHAKE:
            return None
        return self._opened.seconds_left(key, now=now)

    def turned_away(self) -> None:
        """An address was told to come back later."""
        self._limits.refused("socket_connects")

    async def _admit(self, socket_id: str, arrival: Arrival, auth: Any) -> None:
        if self.draining:
            raise Unavailable(retry_after_seconds=random.uniform(0.2, 2))  # noqa: S311 - spreads the return
        try:
            handshake = parse(Handshake, auth or {})
            token = self._token(arrival, handshake)
            principal = await self._sessions.verify(token) if handshake.mfa_token is None else None
        except AuthError:
            await self._limits.hit("socket_connects", arrival.client.ip)
            raise
        events = self._limits.event_window(now=time.monotonic())
        if principal is None:
            await self._limits.hit("socket_connects", arrival.client.ip)
            await self.waiting.admit(socket_id, token, arrival.client, events)
            return
        connection = Connection(socket_id, principal, arrival.client, events)
        limit = self._connect_limit(arrival.client.ip)
        await self._join(connection, cursor=handshake.last_event_id, limit=limit)

    async def _join(
        self, connection: Connection, *, cursor: int | None, limit: ConnectLimit | None, confirm: bool = True
    ) -> None:
        socket_id, principal = connection.socket_id, connection.principal
        self._connections.add(connection)
        joined: Joined | None = None
        try:
            joined = await self._log.join(
                connection,
                cursor=cursor,
                online=device_status(principal.session_id, online=True, sockets=1, clock=self._clock),
                limit=limit,
            )
            if joined.status == "limited":
                self._limits.refused("socket_connects")
                raise RateLimited(retry_after_seconds=joined.wait_ms / 1000)
            if joined.status == "revoked":
                raise SessionRevoked
            if confirm:
                await self._confirm(principal)
            if principal.is_privileged or joined.roles_changed:
                # Behind the listing: what changes after this reading comes to the socket as an event.
                connection.take_roles((await self._profile.me(principal)).held_roles)
        except BaseException:
            self._connections.remove(socket_id)
            if joined is None or joined.status == "ok":
                # Without an answer the script may have run all the same.
                self.presence.leave_soon(connection)
            raise
        self._joined[socket_id] = (cursor, joined)

    async def go_live(self, waiting: WaitingSocket, principal: Principal) -> Connection | None:
        """See `waiting.LiveDoor.go_live`. Its handshake was counted when it came to wait.

        Its token pair is not confirmed by this: it was handed out a moment ago, and nobody has used it.
        """
        connection = Connection(waiting.socket_id, principal, waiting.client, waiting.events)
        await self._join(connection, cursor=None, limit=None, confirm=False)
        if waiting.gone:
            self._joined.pop(waiting.socket_id, None)
            self.presence.leave_soon(connection)
            return None
        waiting.live = connection
        rest = waiting.inbox or ()
        waiting.forget_inbox()
        self.waiting.left(waiting.socket_id)
        self.admitted(waiting.socket_id)
        for job, size in rest:
            connection.enqueue(job, size=size)
        return connection

    async def _confirm(self, principal: Principal) -> None:
        """Confirm the pair before the greeting; with MongoDB slow or down, behind it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._sessions.confirm(principal)

    def _connect_limit(self, ip: str) -> ConnectLimit | None:
        return ConnectLimit(*self._limits.redis_key("socket_connects", ip)) if self._limits.enabled else None

    def _token(self, arrival: Arrival, handshake: Handshake) -> str:
        origin = arrival.origin
        if origin is not None and origin.lower() not in self._allowed_origins:
            raise OriginNotAllowed
        if handshake.mfa_token is not None:
            if handshake.token is not None or handshake.last_event_id is not None:
                raise InvalidRequest("An mfaToken stands alone.")
            return handshake.mfa_token
        if handshake.token is not None:
            return handshake.token
        if arrival.access_cookie is None:
            raise MissingToken
        if origin is None:
            # A browser always names the page's origin here; without it a cookie proves nothing.
            raise OriginNotAllowed
        return arrival.access_cookie

    def admitted(self, socket_id: str) -> None:
        """Greet the socket before anything that it sends is served: `ready`, then what it missed meanwhile."""
        if self.waiting.get(socket_id) is not None:
            self.waiting.admitted(socket_id)
            return
        connection = self._connections.get(socket_id)
        if connection is None or connection.state is not State.CONNECTING:
            return
        cursor, joined = self._joined.pop(socket_id)
        connection.cursor = cursor if joined.recovered and cursor is not None else joined.last_event_id
        connection.state = State.LIVE
        self._let_in.inc()
        self._metrics.sockets.set(len(self._connections))
        if is_enabled(logging.INFO):  # asked first: a line that nobody reads would cost 3 µs
            log.info(
                "socket_ready",
                socket_id=connection.socket_id,
                user_id=connection.user_id,
                session_id=connection.session_id,
                recovered=joined.recovered,
            )
        self._emit(connection, ServerEvent.READY, self._ready(connection, joined))
        held_back, connection.held_back = connection.held_back, ()
        for frame in (*joined.missed, *held_back):
            self.push.deliver(connection, frame)
        self._watch_expiry(connection)
        if len(held_back) >= MAX_HELD_BACK:
            connection.enqueue(lambda: self._catch_up_once(connection))
        if self.application is not None and self.application.connected_hooks:
            connection.enqueue(lambda: self._welcome(connection))
        else:
            connection.greeted = True

    async def _catch_up_once(self, connection: Connection) -> None:
        """More may have come in than was held back. Without the log it is told once the bus is heard again."""
        with contextlib.suppress(Unavailable):
            await self.catch_up(connection)

    async def _welcome(self, connection: Connection) -> None:
        connection.greeted = True
        await self._run_hooks(connection, "connected")

    def _ready(self, connection: Connection, joined: Joined) -> messages.Ready:
        return messages.Ready(
            protocol=1,
            user_id=connection.user_id,
            session_id=connection.session_id,
            socket_id=connection.socket_id,
            access_token_expires_at=connection.principal.expires_at,
            grace_ms=round(self._grace.total_seconds() * 1000),
            server_time=self._clock(),
            last_event_id=joined.last_event_id,
            recovered=joined.recovered,
        )

    def receive(self, socket_id: str, received: Received) -> None:
        """Queue an event behind the socket's earlier ones."""
        waiting = self.waiting.get(socket_id)
        if waiting is not None:
            self._queue(waiting, waiting.events, received, lambda: self.waiting.serve(waiting, received))
            return
        live = self._connections.get(socket_id)
        if live is not None:
            self._queue(live, live.events, received, lambda: self.handlers.handle(live, received))

    def _queue(self, inbox: Inbox, events: EventWindow, received: Received, job: Job) -> None:
        if received.size > MAX_PAYLOAD_BYTES:
            # Refused in its turn; until then it must not be kept.
            received.arguments = []
        wait = events.take(now=time.monotonic())
        if wait is None and inbox.enqueue(job, size=min(received.size, MAX_PAYLOAD_BYTES)):
            return
        self._limits.refused("socket_events")
        received.answer(messages.refused(RateLimited(retry_after_seconds=wait or 1)))

    def left(self, socket_id: str) -> None:
        """Forget a socket that is gone; its presence lasts two seconds more."""
        self.waiting.left(socket_id)
        connection = self._connections.remove(socket_id)
        self._joined.pop(socket_id, None)
        if connection is None:
            return
        connection.state = State.CLOSING
        connection.cancel_timer()
        connection.forget_inbox()
        self._metrics.sockets.set(len(self._connections))
        self.presence.leave_soon(connection)
        if not connection.ended:
            self._spawn(self._sessions.seen(connection.principal))
        if connection.worker is not None or connection.greeted:
            self._spawn(self._farewell(connection))

    async def _farewell(self, connection: Connection) -> None:
        """Run the application's hooks behind the handler that may still be at work for the socket."""
        if connection.worker is not None:
            await asyncio.wait({connection.worker})
        if connection.greeted:
            await self._run_hooks(connection, "disconnected")

    def renew(self, connection: Connection, principal: Principal) -> None:
        """The socket lives on with a new token: same id, same rooms, same order of events, same roles."""
        connection.principal = replace(principal, roles=connection.principal.roles)
        connection.state = State.LIVE
        self._watch_expiry(connection)

    async def settle_roles(self, connection: Connection, principal: Principal) -> None:
        """A new token has other roles than the socket: one of the two is late, and MongoDB knows which."""
        if principal.roles != connection.principal.roles:
            self.push.give_roles(connection, (await self._profile.me(principal)).held_roles)

    def roles_changed(self, connection: Connection) -> None:
        """Tell the application, behind what the socket is being served just now."""
        if self.application is None or not self.application.roles_hooks or not connection.greeted:
            return
        if not connection.enqueue(lambda: self._run_hooks(connection, "roles")):
            # Too much waits for this socket. The application is told all the same, if out of turn.
            self._spawn(self._run_hooks(connection, "roles"))

    async def catch_up(self, connection: Connection) -> None:
        """Put a socket back on the list and send what it missed: after the bus lost something."""
        online = device_status(connection.session_id, online=True, sockets=1, clock=self._clock)
        joined = await self._log.rejoin(connection, cursor=connection.cursor, online=online)
        for frame in joined.missed:
            self.push.deliver(connection, frame)
        connection.cursor = max(connection.cursor, joined.last_event_id)
        if not joined.recovered:
            self.on_skipped(connection)

    def who_is(self, socket_id: str) -> Principal | None:
        """Whom a socket of this node acts for, while it is live."""
        connection = self._connections.get(socket_id)
        return connection.principal if connection is not None and connection.serves else None

    def open_connection(self, socket_id: str) -> Connection | None:
        """A socket of this node that is neither gone nor about to be."""
        connection = self._connections.get(socket_id)
        return None if connection is None or connection.state is State.CLOSING else connection

    async def close(self) -> None:
        """Wait for what runs on behalf of sockets that are gone, but not for a handler that hangs."""
        if self._background:
            await asyncio.wait(self._background, timeout=FAREWELL_SECONDS)

    def _watch_expiry(self, connection: Connection) -> None:
        connection.cancel_timer()
        if connection.state is State.CLOSING:
            return
        principal = connection.principal
        plan = schedule(
            issued_at=principal.issued_at,
            expires_at=principal.expires_at,
            lead=self._lead,
            grace=self._grace,
            jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
        )
        self._at(connection, plan.warn_at, self._warn)

    def _at(self, connection: Connection, moment: datetime, act: Callable[[Connection], None]) -> None:
        delay = max((moment - self._clock()).total_seconds(), 0)
        connection.timer = self.server.engines.timers.after(delay, lambda: act(connection))

    def _warn(self, connection: Connection) -> None:
        expires_at = connection.principal.expires_at
        if connection.state is State.LIVE:
            remaining = max((expires_at - self._clock()).total_seconds(), 0)
            warning = messages.TokenExpiring(
                expires_at=expires_at,
                expires_in_ms=round(remaining * 1000),
                grace_ms=round(self._grace.total_seconds() * 1000),
            )
            self._emit(connection, ServerEvent.TOKEN_EXPIRING, warning)
        self._at(connection, expires_at, self._expire)

    def _expire(self, connection: Connection) -> None:
        grace_ends_at = connection.principal.expires_at + self._grace
        if connection.state is State.LIVE:
            connection.state = State.EXPIRED
            self._emit(connection, ServerEvent.TOKEN_EXPIRED, messages.TokenExpired(grace_ends_at=grace_ends_at))
        self._at(connection, grace_ends_at, self._end_grace)

    def _end_grace(self, connection: Connection) -> None:
        if connection.state is State.EXPIRED:
            connection.state = State.CLOSING
            log.info("socket_grace_over", socket_id=connection.socket_id)
            self.server.close(connection.socket_id)

    def _emit(self, connection: Connection, event: ServerEvent, payload: View) -> None:
        self.server.emit_here(connection.socket_id, event, payload.to_wire())

    async def _run_hooks(self, connection: Connection, kind: HookKind) -> None:
        if self.application is not None:
            await self.application.run_hooks(kind, connection.socket_id, connection.principal)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
