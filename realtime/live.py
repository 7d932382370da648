"""The live side put together: one object that the composition root starts, drains and closes."""

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import structlog
from aiohttp import web

from auth.admission import Admission
from auth.alerts import NotMe
from auth.approvals import ApprovalLine, Approvals
from auth.clock import Clock
from auth.errors import Forbidden, Unavailable
from auth.events import PresenceReader, Publisher, SessionCreated, SessionEnded, SessionFact, SessionUpdated
from auth.metrics import Metrics
from auth.models import HeldRoles, Principal, User, has_role
from auth.passkeys import PasskeyLogin
from auth.profile import Profile
from auth.rate_limits import RateLimits
from auth.session_terms import RevocationList
from auth.sessions import Sessions
from auth.step_up import StepUp
from realtime.alert_handlers import AlertHandlers
from realtime.application import Application
from realtime.approvals import LiveApprovals
from realtime.arrival import Doorman
from realtime.bus import Bus, Message
from realtime.connections import Connection, Connections
from realtime.deny_list import DenyList
from realtime.engine.sockets import SocketServer
from realtime.factor_handlers import FactorHandlers
from realtime.gateway import Gateway
from realtime.handlers import Handlers
from realtime.keys import Keys
from realtime.messages import Draining, LoginApprovalResult, ServerEvent
from realtime.presence import Presence
from realtime.publisher import LivePublisher, RolesNewsStore
from realtime.push import Push
from realtime.redis_link import RedisLink
from realtime.relay import Backlog, Relay
from realtime.user_log import UserLog, read_frame_value
from realtime.waiting import WaitingRoom
from realtime.watchdog import RolesTruth, Truth, Watchdog

SOCKET_PATH = "socket.io"
RESYNC_BATCH = 100
# A login or a revocation waits for the application's hooks, but not for ever.
HOOK_SECONDS = 1.0
BEGIN_SECONDS = 2.0
# A planned stop spreads its disconnects over this long, and the clients' return over a little more.
DRAIN_SECONDS = 3.0
DRAIN_PER_SOCKET = 0.01
DRAIN_NOTICE_SECONDS = 0.2

log = structlog.get_logger()


class Store(Backlog, Truth, Protocol):
    """What the live side needs of the session store."""


class RolesStore(RolesNewsStore, RolesTruth, Protocol):
    """What the live side needs of the roles of sessions."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """The live side's settings."""

    node_id: str
    lead: timedelta
    grace: timedelta
    log_life: timedelta
    deny_life: timedelta
    allowed_origins: frozenset[str]
    transports: tuple[str, ...] = ("polling", "websocket")


class Live:
    """One node's live side.

    Made in two steps, for it and the operations need each other: the operations get `publisher`, `presence`
    and `revocations`; then `serve` gets the operations.
    """

    def __init__(
        self,
        link: RedisLink,
        store: Store,
        roles: RolesStore,
        options: LiveOptions,
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._link = link
        self._store = store
        self._roles = roles
        self._options = options
        self._metrics = metrics
        self._clock = clock
        self._keys = Keys(link.prefix)
        self._connections = Connections()
        node_id = options.node_id
        self._deny_list = DenyList(link, self._keys, life=options.deny_life)
        self._log = UserLog(link, self._keys, self._deny_list, node_id=node_id, log_life=options.log_life)
        self._bus = Bus(link, self._keys, node_id=node_id, metrics=metrics)
        self._presence = Presence(
            link,
            self._keys,
            self._log,
            node_id=node_id,
            on_lost=self._resync,
            on_company=self._bus.note_company,
            clock=clock,
        )
        self._publisher = LivePublisher(
            self._log, store, roles, self._presence, node_id=node_id, hook=self._run_hooks, clock=clock
        )
        self._approvals = LiveApprovals(self._log, self._bus)
        self._relay = Relay(store, self._publisher, self._deny_list, clock=clock)
        self._application: Application | None = None
        self._gateway: Gateway
        self._push: Push
        self._watchdog: Watchdog
        self._server: SocketServer
        self._waiting: WaitingRoom
        self._profile: Profile
        self._nudges: set[asyncio.Task[None]] = set()

    @property
    def publisher(self) -> Publisher:
        """Brings facts to devices."""
        return self._publisher

    @property
    def presence(self) -> PresenceReader:
        """Tells who is online."""
        return self._presence

    async def census(self) -> tuple[int, int]:
        """How many nodes live, and how many sockets on all of them. Raises `Unavailable`."""
        return await self._presence.census()

    @property
    def approvals(self) -> ApprovalLine:
        """Brings requests for approval to devices, and their answers back."""
        return self._approvals

    @property
    def revocations(self) -> RevocationList:
        """The deny-list."""
        return self._deny_list

    @property
    def hears(self) -> bool:
        """Whether this node hears the bus; not ready otherwise."""
        return not self._bus.deaf_seconds

    def serve(
        self,
        app: web.Application,
        *,
        sessions: Sessions,
        admission: Admission,
        step_up: StepUp,
        passkeys: PasskeyLogin,
        profile: Profile,
        approvals: Approvals,
        not_me: NotMe,
        doorman: Doorman,
        limits: RateLimits,
        application: Application | None,
    ) -> None:
        """Attach the live socket to `app`."""
        self._profile = profile
        self._application = application
        self._gateway = Gateway(
            connections=self._connections,
            user_log=self._log,
            sessions=sessions,
            profile=profile,
            doorman=doorman,
            limits=limits,
            allowed_origins=self._options.allowed_origins,
            lead=self._options.lead,
            grace=self._options.grace,
            metrics=self._metrics,
            clock=self._clock,
        )
        self._server = SocketServer(self._gateway, metrics=self._metrics, transports=self._options.transports)
        self._server.engines.refuses = self._gateway.refuses
        self._server.engines.turned_away = self._gateway.turned_away
        self._push = self._make_push()
        self._watchdog = Watchdog(
            self._store, self._roles, self._connections, self._push, self._bus, clock=self._clock
        )
        self._gateway.server = self._server
        self._gateway.push = self._push
        self._gateway.presence = self._presence
        self._serve_events(
            sessions, admission, application, AlertHandlers(approvals, not_me), FactorHandlers(step_up, passkeys)
        )
        self._gateway.application = application
        self._gateway.on_skipped = self._nudge_soon
        self._gateway.hears_revocations = lambda: self.hears
        self._bus.on_message = self._take
        self._bus.on_hearing = self._resync
        self._publisher.on_unheard = self._watchdog.ask
        if application is not None:
            application.start(self)
        self._server.attach(app, socketio_path=SOCKET_PATH)

    def _make_push(self) -> Push:
        return Push(
            self._connections,
            self._server,
            node_id=self._options.node_id,
            send=self._report,
            catch_up=self._gateway.catch_up,
            on_roles=self._gateway.roles_changed,
            metrics=self._metrics,
            clock=self._clock,
        )

    def _serve_events(
        self,
        sessions: Sessions,
        admission: Admission,
        application: Application | None,
        alerts: AlertHandlers,
        factors: FactorHandlers,
    ) -> None:
        """Say who serves what sockets send: those that are live, and those whose login waits."""
        handlers = Handlers(
            sessions,
            application,
            self._gateway,
            more={**alerts.served, **factors.served},
            metrics=self._metrics,
        )
        self._waiting = WaitingRoom(
            admission, sessions, self._gateway, handlers, metrics=self._metrics, clock=self._clock
        )
        self._waiting.server = self._server
        self._waiting.also_served.update({**alerts.served_waiting, **factors.served_waiting})
        self._approvals.on_answer = self._tell_waiting
        self._gateway.waiting = self._waiting
        self._gateway.handlers = handlers

    def _tell_waiting(self, login_id: bytes, result: LoginApprovalResult) -> None:
        self._waiting.tell(login_id, ServerEvent.LOGIN_APPROVAL_RESULT, result)

    def open_at_once(self, request: web.BaseRequest) -> bool:
        """See `engine.server.EngineServer.open_at_once`."""
        return self._server.engines.open_at_once(request)

    async def start(self) -> None:
        """Take the lease and begin to listen."""
        await self._presence.start()
        await self._bus.start()
        # Beginning to hear puts the deny-list in doubt, which the relay settles: the other way round, the first
        # handshakes of a node that says it is ready would be sent away. Without Redis it starts all the same.
        if not await self._bus.begun(BEGIN_SECONDS):
            log.warning("bus_not_heard_yet")
        await self._relay.start()
        await self._watchdog.start()

    def only_speak(self) -> None:
        """In place of `start`, where there are no sockets: what happens here is told to any nodes there are."""
        self._bus.note_company(has_company=True)

    async def drain(self) -> None:
        """Ask every client to come back elsewhere, then disconnect them one by one; some 3 s at most."""
        self._gateway.draining = True
        self._approvals.close()
        connections = list(self._connections)
        random.shuffle(connections)
        span = min(DRAIN_SECONDS, len(connections) * DRAIN_PER_SOCKET)
        self._waiting.drain(longest=1 + span)
        for connection in connections:
            back = Draining(reconnect_after_ms=round(random.uniform(0.1, 1 + span) * 1000))  # noqa: S311
            self._server.emit_here(connection.socket_id, ServerEvent.DRAINING, back.to_wire())
        if connections:
            await asyncio.sleep(DRAIN_NOTICE_SECONDS)
        for connection in connections:
            await asyncio.sleep(span / len(connections))
            self._push.disconnect(connection)

    async def close(self) -> None:
        """Stop everything; sockets still open are disconnected."""
        await self._push.close()
        await self._gateway.close()
        await self._watchdog.close()
        await self._relay.close()
        await self._bus.close()
        await self._presence.close()
        await self._server.shutdown()

    async def _take(self, message: Message) -> None:
        kind = message.get("t")
        if kind == "receipt":
            self._publisher.receipt(message)
        elif kind == "approval":
            self._approvals.take(message)
        elif kind == "room":
            self._server.room_event(message["packets"], message["room"])
        else:
            await self._push.take(read_frame_value(message))

    async def _report(self, node_id: str, receipt: Message) -> None:
        """Send a receipt to the node that counts, which may be this one."""
        if node_id == self._options.node_id:
            self._publisher.receipt(receipt)
        else:
            await self._bus.send(node_id, receipt)

    async def _resync(self) -> None:
        """Put every socket of this node back on the list and let it catch up; then tidy what is stale."""
        connections = list(self._connections)
        for start in range(0, len(connections), RESYNC_BATCH):
            batch = connections[start : start + RESYNC_BATCH]
            await asyncio.gather(*map(self._gateway.catch_up, batch))
        await self._presence.clear_gone(frozenset(c.socket_id for c in self._connections))
        self._deny_list.doubt()
        if connections:
            log.info("node_resynced", sockets=len(connections))
            self._watchdog.ask()

    def _nudge_soon(self, connection: Connection) -> None:
        task = asyncio.create_task(self._nudge(connection))
        self._nudges.add(task)
        task.add_done_callback(self._nudges.discard)

    async def _nudge(self, connection: Connection) -> None:
        """Make the socket's client list again: the next version is a gap to what it knows."""
        try:
            session = await self._store.get(connection.session_id)
        except Unavailable:
            return  # the node is not well; the client lists again after its next event
        if session is not None and session.is_live(self._clock()):
            self._push.give_roles(connection, HeldRoles(session.roles, session.roles_version))
            await self._publisher.publish([SessionUpdated(session)])

    async def _run_hooks(self, fact: SessionFact) -> None:
        if self._application is None:
            return
        hooks = []
        if isinstance(fact, SessionCreated):
            hooks = self._application.started_hooks
        elif isinstance(fact, SessionEnded):
            hooks = self._application.ended_hooks
        for hook in hooks:
            try:
                async with asyncio.timeout(HOOK_SECONDS):
                    await hook(fact.session)
            except Exception:  # the application's defect, not the session's
                log.exception("application_hook_failed", session_id=fact.session.session_id)

    async def emit_to_room(self, event: str, data: dict[str, Any], room: str) -> None:
        """See `application.Rooms`."""
        packets = self._server.emit_to_room(event, data, room)
        await self._bus.send_to_others({"t": "room", "room": room, "packets": packets})

    async def emit_here(self, socket_id: str, event: str, payload: dict[str, Any]) -> None:
        """See `application.Rooms`."""
        self._server.emit_here(socket_id, event, payload)

    async def enter(self, socket_id: str, room: str, role: str | None) -> None:
        """See `application.Rooms`. A socket that was ended meanwhile enters nothing."""
        connection = self._gateway.open_connection(socket_id)
        if connection is None:
            return
        if role is not None and not has_role(connection.principal.roles, role):
            # Taken away while the handler was at work.
            raise Forbidden
        connection.hold_room(room, role)
        self._server.enter_here(socket_id, room)

    async def leave(self, socket_id: str, room: str) -> None:
        """See `application.Rooms`. One that is ended has left everything."""
        connection = self._gateway.open_connection(socket_id)
        if connection is not None:
            connection.hold_room(room, None)
            self._server.leave_here(socket_id, room)

    async def user(self, principal: Principal) -> User:
        """See `application.Rooms`."""
        return await self._profile.me(principal)

    def who_is(self, socket_id: str) -> Principal | None:
        """See `application.Rooms`."""
        return self._gateway.who_is(socket_id)
