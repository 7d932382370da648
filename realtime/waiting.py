"""Sockets whose login waits for its second factor, and the door through which they become live.

Such a socket is nobody's yet: it is on no list and no log, it makes no device online, and it is served nothing but
what finishes the login. When that succeeds it goes on under its id as any other socket does, through the gateway.
Nothing here outlives a minute, the login's own time, or its five tries.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from auth.admission import Admission, LoggedIn, WaitingLogin
from auth.clock import Clock
from auth.errors import AuthError, Forbidden, InvalidToken, MfaRequired, RateLimited
from auth.metrics import Metrics
from auth.models import Client, Principal, TokenDelivery
from auth.rate_limits import EventWindow
from auth.sessions import Sessions
from auth.views import SessionView, UserView, View, parse
from realtime import messages
from realtime.connections import Connection
from realtime.engine.sockets import Received, SocketServer
from realtime.engine.timers import Timer
from realtime.handlers import Handlers, payload_of
from realtime.inbox import Inbox
from realtime.messages import CLIENT_EVENTS, ClientEvent, MfaClosedCode, ServerEvent

WAIT_SECONDS = 60.0
# Tabs and reloads of one person; more is somebody who keeps sockets for their own sake.
MOST_PER_LOGIN = 5
FULL_RETRY_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class WaitingSocket(Inbox):
    """A socket that may finish a login. `mfa_token` is a secret."""

    mfa_token: str = field(repr=False)
    login: WaitingLogin
    methods: tuple[str, ...]
    client: Client
    events: EventWindow
    timer: Timer | None = None
    # Its time was over while an answer was being judged.
    overdue: bool = False
    gone: bool = False
    # What it has become.
    live: Connection | None = None

    @property
    def login_id(self) -> bytes:
        """Which login waits: the same for all of its sockets, and no secret."""
        return self.login.challenge.challenge_id

    def cancel_timer(self) -> None:
        """Forget the end that is due."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


Serve = Callable[[WaitingSocket, Any], Awaitable[View]]


class LiveDoor(Protocol):
    """Lets a socket go on as a live one: the gateway."""

    async def go_live(self, waiting: WaitingSocket, principal: Principal) -> Connection | None:
        """The socket as it lives on; None when it went meanwhile. Raises `AuthError` when it cannot."""


class WaitingRoom:
    """This node's sockets that wait. `also_served` are the events that begin a factor, by name."""

    def __init__(
        self,
        admission: Admission,
        sessions: Sessions,
        door: LiveDoor,
        handlers: Handlers,
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._admission = admission
        self._sessions = sessions
        self._door = door
        self._handlers = handlers
        self._metrics = metrics
        self._clock = clock
        self._sockets: dict[str, WaitingSocket] = {}
        self._by_login: dict[bytes, set[WaitingSocket]] = {}
        self.also_served: dict[str, Serve] = {}
        self.server: SocketServer

    def __len__(self) -> int:
        return len(self._sockets)

    def get(self, socket_id: str) -> WaitingSocket | None:
        """The socket, while it waits."""
        return self._sockets.get(socket_id)

    async def admit(self, socket_id: str, mfa_token: str, client: Client, events: EventWindow) -> None:
        """Let a socket wait. Raises `InvalidToken`, `RateLimited` or `Unavailable`."""
        login = await self._admission.waiting(mfa_token)
        if not login.challenge.tries_left:
            raise InvalidToken
        methods = await self._admission.methods_of(login)
        waiting = WaitingSocket(socket_id, mfa_token, login, methods, client, events)
        others = self._by_login.setdefault(waiting.login_id, set())
        if len(others) >= MOST_PER_LOGIN:
            raise RateLimited(retry_after_seconds=FULL_RETRY_SECONDS)
        others.add(waiting)
        self._sockets[socket_id] = waiting

    def admitted(self, socket_id: str) -> None:
        """Tell the socket what is asked of it, and how long that is waited for."""
        waiting = self._sockets[socket_id]
        left = (waiting.login.challenge.expires_at - self._clock()).total_seconds()
        seconds = max(0.0, min(WAIT_SECONDS, left))
        asked = messages.MfaRequired(methods=waiting.methods, deadline_ms=round(seconds * 1000))
        self._metrics.handshakes.labels(MfaRequired.code).inc()
        log.info("socket_waits", socket_id=socket_id, user_id=waiting.login.user.user_id)
        self.server.emit_here(socket_id, ServerEvent.MFA_REQUIRED, asked.to_wire())
        waiting.timer = self.server.engines.timers.after(seconds, lambda: self._time_over(waiting))

    def left(self, socket_id: str) -> None:
        """Forget a socket that is gone, or that waits no more."""
        waiting = self._sockets.pop(socket_id, None)
        if waiting is None:
            return
        waiting.gone = waiting.live is None
        waiting.cancel_timer()
        others = self._by_login[waiting.login_id]
        others.discard(waiting)
        if not others:
            del self._by_login[waiting.login_id]
        if waiting.gone:
            waiting.forget_inbox()

    def tell(self, login_id: bytes, event: ServerEvent, payload: View) -> None:
        """Send an event to every socket of this node that waits with a login."""
        for waiting in tuple(self._by_login.get(login_id, ())):
            self.server.emit_here(waiting.socket_id, event, payload.to_wire())

    def drain(self, *, longest: float) -> None:
        """Ask every socket to come back elsewhere, where its login waits as well, and disconnect it."""
        for waiting in tuple(self._sockets.values()):
            back = random.uniform(0.1, longest)  # noqa: S311 - spreads the return
            draining = messages.Draining(reconnect_after_ms=round(back * 1000))
            self.server.emit_here(waiting.socket_id, ServerEvent.DRAINING, draining.to_wire())
            self.server.close(waiting.socket_id)

    async def serve(self, waiting: WaitingSocket, received: Received) -> None:
        """Serve an event and send its ack; whatever happens, nothing is raised."""
        if waiting.live is not None:
            # Sent before the socket was live, its turn comes after.
            await self._handlers.handle(waiting.live, received)
            return
        closing: MfaClosedCode | None = None
        try:
            outcome = "ok"
            if received.event == ClientEvent.MFA_VERIFY:
                await self._verify(waiting, received)
            else:
                received.answer(messages.served(await self._begin_factor(waiting, received)))
        except AuthError as refusal:
            outcome = refusal.code
            received.answer(messages.refused(refusal))
            closing = await self._closing_after(waiting, refusal)
        except Exception:  # a defect is answered in the ack, and the login still waits
            log.exception("event_failed", socket_id=waiting.socket_id, socket_event=received.event[:64])
            outcome = AuthError.code
            received.answer(messages.refused(AuthError()))
        # A client chooses the names of unknown events: they must not become metrics of their own.
        known = received.event == ClientEvent.MFA_VERIFY or received.event in self.also_served
        self._metrics.socket_events.labels(received.event if known else "unknown", outcome).inc()
        if closing is None and waiting.overdue and waiting.live is None:
            closing = "timeout"
        if closing is not None:
            self._close(waiting, closing)

    async def _begin_factor(self, waiting: WaitingSocket, received: Received) -> View:
        serve = self.also_served.get(received.event)
        if serve is None:
            raise MfaRequired
        model, _ = CLIENT_EVENTS[received.event]
        return await serve(waiting, parse(model, payload_of(received)))

    async def _verify(self, waiting: WaitingSocket, received: Received) -> None:
        """Finish the login, hand its tokens out in the ack, and let the socket go on as a live one."""
        asked = parse(messages.MfaVerify, payload_of(received))
        if waiting.login.delivery is not TokenDelivery.BODY:
            raise Forbidden("The tokens of this login travel in cookies: finish it over HTTP.")
        if not received.wants_answer or waiting.gone:
            return
        logged_in = await self._admission.finish(waiting.mfa_token, asked.answer(), client=waiting.client)
        principal = await self._sessions.verify(logged_in.tokens.access_token)
        if waiting.gone:
            # Nobody has the tokens: a session that nobody can use is not to stand in the list of devices.
            await self._sessions.log_out(principal, client=waiting.client)
            return
        received.answer(messages.served(_login_view(logged_in)))
        await self._go_live(waiting, principal)

    async def _go_live(self, waiting: WaitingSocket, principal: Principal) -> None:
        waiting.cancel_timer()
        try:
            await self._door.go_live(waiting, principal)
        except AuthError as refusal:
            # The client has its tokens, and comes back with them.
            log.info("socket_not_live", socket_id=waiting.socket_id, code=refusal.code)
            self.server.close(waiting.socket_id)
        except Exception:  # the event was answered already; a defect costs this socket alone
            log.exception("socket_not_live", socket_id=waiting.socket_id)
            self.server.close(waiting.socket_id)

    async def _closing_after(self, waiting: WaitingSocket, refusal: AuthError) -> MfaClosedCode | None:
        """Why the socket is to be closed after a refusal, if it is: its login is over."""
        if refusal.code not in {"invalid_code", "invalid_token"}:
            return None
        try:
            login = await self._admission.waiting(waiting.mfa_token)
        except InvalidToken:
            return "invalid_token"
        except AuthError:
            return None
        return None if login.challenge.tries_left else "too_many_tries"

    def _time_over(self, waiting: WaitingSocket) -> None:
        if waiting.worker is not None:
            waiting.overdue = True
        else:
            self._close(waiting, "timeout")

    def _close(self, waiting: WaitingSocket, code: MfaClosedCode) -> None:
        if not waiting.gone:
            closed = messages.MfaClosed(code=code)
            self.server.emit_here(waiting.socket_id, ServerEvent.MFA_CLOSED, closed.to_wire())
            self.server.close(waiting.socket_id)


def _login_view(logged_in: LoggedIn) -> messages.MfaVerified:
    session = logged_in.session
    return messages.MfaVerified.of(
        logged_in.tokens,
        user=UserView.of(logged_in.user),
        session=SessionView.of(session, current_session_id=session.session_id, online=False),
    )
