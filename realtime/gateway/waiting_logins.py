"""Sockets whose login waits for its second factor, until they become live.

A waiting socket is not authenticated: it is not listed, reads no log, does not make a device online, and is served
only the events that finish the login. When the login succeeds it becomes a live socket under the same id.
A socket waits at most one minute, and no longer than its login is valid or has attempts left (five).
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from auth.core.clock import Clock
from auth.core.errors import AuthError, Forbidden, InternalError, InvalidToken, MfaRequired, RateLimited
from auth.core.models import Client, Principal, TokenDelivery
from auth.core.views import SessionView, UserView, View, parse
from auth.login.admission import Admission, LoggedIn, WaitingLogin
from auth.platform.event_limits import EventBudget
from auth.platform.metrics import Metrics
from auth.sessions.sessions import Sessions
from realtime.engine.emitter import Emitter
from realtime.engine.server import SHUTTING_DOWN
from realtime.engine.sockets import Received
from realtime.engine.timers import Timer
from realtime.event_queue import EventQueue
from realtime.gateway.activation import Activation
from realtime.gateway.handlers import Counted, Handlers, payload_of
from realtime.gateway.handshake import Handshakes
from realtime.hub import Connection
from realtime.protocol import messages
from realtime.protocol.messages import CLIENT_EVENTS, ClientEvent, MfaClosedCode, ServerEvent

WAIT_SECONDS = 60.0
# Enough for one user's tabs and reloads; more is abuse.
MAX_SOCKETS_PER_LOGIN = 5
FULL_RETRY_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class WaitingSocket(EventQueue):
    """A socket that may finish a login. `mfa_token` is a secret."""

    mfa_token: str = field(repr=False)
    login: WaitingLogin
    methods: tuple[str, ...]
    client: Client
    events: EventBudget
    # As the live socket, the client keeps its places in rooms.
    keeps_places: bool = False
    timer: Timer | None = None
    # Its deadline passed while a factor was being verified.
    overdue: bool = False
    gone: bool = False
    # The live socket it has become.
    live: Connection | None = None

    @property
    def login_id(self) -> bytes:
        """Id of the waiting login: the same for all of its sockets, and not a secret."""
        return self.login.challenge.challenge_id

    def cancel_timer(self) -> None:
        """Cancel the deadline."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


Serve = Callable[[WaitingSocket, Any], Awaitable[View]]


class WaitingSockets:
    """This node's waiting sockets. `also_served`: handlers of the events that begin a factor, by event name."""

    def __init__(
        self,
        admission: Admission,
        sessions: Sessions,
        handshakes: Handshakes,
        activation: Activation,
        handlers: Handlers,
        emitter: Emitter,
        *,
        also_served: Mapping[str, Serve],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._admission = admission
        self._sessions = sessions
        self._handshakes = handshakes
        self._activation = activation
        self._handlers = handlers
        self._emitter = emitter
        self._also_served = also_served
        self._metrics = metrics
        self._clock = clock
        self._sockets: dict[str, WaitingSocket] = {}
        self._by_login: dict[bytes, set[WaitingSocket]] = {}

    def __len__(self) -> int:
        return len(self._sockets)

    def get(self, socket_id: str) -> WaitingSocket | None:
        """The socket of that id, while it waits."""
        return self._sockets.get(socket_id)

    async def admit(
        self, socket_id: str, mfa_token: str, client: Client, events: EventBudget, *, keeps_places: bool
    ) -> None:
        """Admit a waiting socket. Raises `InvalidToken`, `RateLimited` or `Unavailable`."""
        login = await self._admission.waiting(mfa_token)
        if not login.challenge.tries_left:
            raise InvalidToken
        methods = await self._admission.methods_of(login)
        waiting = WaitingSocket(socket_id, mfa_token, login, methods, client, events, keeps_places)
        others = self._by_login.setdefault(waiting.login_id, set())
        if len(others) >= MAX_SOCKETS_PER_LOGIN:
            raise RateLimited(retry_after_seconds=FULL_RETRY_SECONDS)
        others.add(waiting)
        self._sockets[socket_id] = waiting

    def admitted(self, socket_id: str) -> None:
        """Send `mfa-required` with the available methods and the deadline, and start the timer."""
        waiting = self._sockets[socket_id]
        left = (waiting.login.challenge.expires_at - self._clock()).total_seconds()
        seconds = max(0.0, min(WAIT_SECONDS, left))
        required = messages.MfaRequired(methods=waiting.methods, deadline_ms=round(seconds * 1000))
        self._metrics.handshakes.labels(MfaRequired.code).inc()
        log.info("socket_waits", socket_id=socket_id, user_id=waiting.login.user.user_id)
        self._emitter.emit_here(socket_id, ServerEvent.MFA_REQUIRED, required.to_wire())
        waiting.timer = self._emitter.timers.after(seconds, lambda: self._timed_out(waiting))

    def left(self, socket_id: str) -> None:
        """Remove a socket that disconnected or became live."""
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

    def send_approval_news(self, login_id: bytes, event: ServerEvent, news: View) -> None:
        """Send the answer of another device, or a new number, to every socket of this node that waits with the
        login.
        """
        for waiting in tuple(self._by_login.get(login_id, ())):
            self._emitter.emit_here(waiting.socket_id, event, news.to_wire())

    def drain(self, *, longest: float) -> None:
        """Ask every waiting socket to reconnect to another node, where its login stays valid, and disconnect it.

        `longest`: the longest delay before a reconnect, in seconds.
        """
        for waiting in tuple(self._sockets.values()):
            delay = random.uniform(0.1, longest)  # noqa: S311 - spreads the reconnects
            draining = messages.Draining(reconnect_after_ms=round(delay * 1000))
            self._emitter.emit_here(waiting.socket_id, ServerEvent.DRAINING, draining.to_wire())
            self._emitter.drop(waiting.socket_id, SHUTTING_DOWN)

    async def serve(self, waiting: WaitingSocket, received: Received) -> Counted:
        """Serve an event, send its ack, and return how it was counted. Never raises."""
        if waiting.live is not None:
            # Received before the socket became live, served after.
            return await self._handlers.handle(waiting.live, received)
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
        except Exception:  # a bug is reported in the ack; the login still waits
            log.exception("event_failed", socket_id=waiting.socket_id, socket_event=received.event[:64])
            outcome = InternalError.code
            received.answer(messages.refused(InternalError()))
        # Names of unknown events are chosen by the client and must not become metric labels.
        known = received.event == ClientEvent.MFA_VERIFY or received.event in self._also_served
        counted = Counted(received.event if known else "unknown", outcome)
        self._metrics.socket_events.labels(*counted).inc()
        if closing is None and waiting.overdue and waiting.live is None:
            closing = "timeout"
        if closing is not None:
            self._close(waiting, closing)
        return counted

    async def _begin_factor(self, waiting: WaitingSocket, received: Received) -> View:
        serve = self._also_served.get(received.event)
        if serve is None:
            raise MfaRequired
        model, _ = CLIENT_EVENTS[received.event]
        return await serve(waiting, parse(model, payload_of(received)))

    async def _verify(self, waiting: WaitingSocket, received: Received) -> None:
        """Finish the login, return its tokens in the ack, and make the socket live."""
        asked = parse(messages.MfaVerify, payload_of(received))
        if waiting.login.delivery is not TokenDelivery.BODY:
            raise Forbidden("This login delivers its tokens in cookies: finish it over HTTP.")
        if not received.wants_answer or waiting.gone:
            return
        logged_in = await self._admission.finish(waiting.mfa_token, asked.answer(), client=waiting.client)
        principal = await self._sessions.verify(logged_in.tokens.access_token)
        if waiting.gone:
            # The tokens were not delivered: end the session, so that the device list does not show an unusable
            # one.
            await self._sessions.log_out(principal, client=waiting.client)
            return
        received.answer(messages.served(_login_view(logged_in)))
        received.when_received(lambda: self._sessions.confirm_soon(principal))
        await self._go_live(waiting, principal)

    async def _go_live(self, waiting: WaitingSocket, principal: Principal) -> None:
        waiting.cancel_timer()
        try:
            await self._join(waiting, principal)
        except AuthError as refusal:
            # The client has its tokens and can reconnect with them.
            log.info("socket_not_live", socket_id=waiting.socket_id, code=refusal.code)
            self._emitter.drop(waiting.socket_id, refusal.message)
        except Exception:  # the event was already acknowledged; a bug ends only this socket
            log.exception("socket_not_live", socket_id=waiting.socket_id)
            self._emitter.drop(waiting.socket_id, AuthError.default_message)

    async def _join(self, waiting: WaitingSocket, principal: Principal) -> None:
        """List the socket and activate it.

        Its handshake was counted when it began to wait, and its token pair is confirmed when the ack arrives.
        """
        connection = Connection(waiting.socket_id, principal, waiting.client, waiting.events)
        if waiting.keeps_places:
            connection.places = {}
        joined = await self._handshakes.join(connection, cursor=None, has_waited=True)
        if waiting.gone:
            self._handshakes.undo(connection)
            return
        waiting.live = connection
        queued = waiting.inbox or ()
        waiting.forget_inbox()
        self.left(waiting.socket_id)
        self._activation.activate(connection, None, joined)
        for job, size in queued:
            connection.enqueue(job, size=size)

    async def _closing_after(self, waiting: WaitingSocket, refusal: AuthError) -> MfaClosedCode | None:
        """The reason to close the socket after a refusal: set if its login cannot be finished any more."""
        if refusal.code not in {"invalid_code", "invalid_token"}:
            return None
        try:
            login = await self._admission.waiting(waiting.mfa_token)
        except InvalidToken:
            return "invalid_token"
        except AuthError:
            return None
        return None if login.challenge.tries_left else "too_many_tries"

    def _timed_out(self, waiting: WaitingSocket) -> None:
        if waiting.worker is not None:
            waiting.overdue = True
        else:
            self._close(waiting, "timeout")

    def _close(self, waiting: WaitingSocket, code: MfaClosedCode) -> None:
        if not waiting.gone:
            closed = messages.MfaClosed(code=code)
            self._emitter.emit_here(waiting.socket_id, ServerEvent.MFA_CLOSED, closed.to_wire())
            self._emitter.close(waiting.socket_id)


def _login_view(logged_in: LoggedIn) -> messages.MfaVerified:
    session = logged_in.session
    return messages.MfaVerified.of(
        logged_in.tokens,
        user=UserView.of(logged_in.user),
        session=SessionView.of(session, current_session_id=session.session_id, online=False),
    )
