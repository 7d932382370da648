"""The gateway: admits sockets, routes their events and cleans up after they disconnect."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web

from auth.clients.address import Network
from auth.core.errors import RateLimited
from auth.core.tasks import Background
from auth.operations import Operations
from auth.platform.event_limits import EventBudget
from auth.platform.open_connections import OpenConnections
from auth.platform.suspension import SuspensionWatch
from auth.services import Services
from realtime.application import Application
from realtime.broker.user_log import JoinResult
from realtime.delivery.inbound import Inbound
from realtime.delivery.outbound import Outbound
from realtime.delivery.socket_hooks import SocketHooks
from realtime.engine.sockets import NodeDraining, Received
from realtime.event_queue import EventQueue
from realtime.gateway.activation import Activation
from realtime.gateway.alert_handlers import AlertHandlers
from realtime.gateway.draining import drain
from realtime.gateway.expiry import ExpiryWatch
from realtime.gateway.factor_handlers import FactorHandlers
from realtime.gateway.handlers import MAX_PAYLOAD_BYTES, Counted, Handlers
from realtime.gateway.handshake import Handshakes, OpeningRequest
from realtime.gateway.people_handlers import PeopleHandlers, own_limits
from realtime.gateway.waiting_logins import WaitingSockets
from realtime.hub import Connection, SocketState
from realtime.protocol import messages


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Which proxies and origins are accepted, and a token's warning lead and grace period."""

    trusted_proxies: Sequence[Network]
    allowed_origins: frozenset[str]
    lead: timedelta
    grace: timedelta


class Gateway:
    """Implements `engine.sockets.Gate`."""

    def __init__(
        self,
        outbound: Outbound,
        inbound: Inbound,
        services: Services,
        operations: Operations,
        options: GatewayOptions,
        *,
        hooks: SocketHooks,
        background: Background,
        open_connections: OpenConnections,
        suspension: SuspensionWatch,
        application: Application | None,
    ) -> None:
        self._connections = inbound.connections
        self._presence = outbound.presence
        self._push, self._emitter = inbound.push, inbound.emitter
        self._places, self._watches = inbound.places, inbound.watches
        self._limits, self._metrics = services.limits, services.metrics
        self._event_budgets = self._limits.event_budgets(own_limits(application))
        self._sessions = operations.sessions
        self._hooks, self._background, self._suspension = hooks, background, suspension
        # Results of `admit`, kept until `admitted`.
        self._joined: dict[str, tuple[int | None, JoinResult]] = {}
        self._is_draining = False
        expiry = ExpiryWatch(self._emitter, lead=options.lead, grace=options.grace, clock=services.clock)
        self._handshakes = Handshakes(
            outbound,
            inbound,
            services,
            operations,
            open_connections,
            trusted_proxies=options.trusted_proxies,
            allowed_origins=options.allowed_origins,
        )
        self._activation = Activation(inbound, services, expiry, hooks, grace=options.grace)
        alerts = AlertHandlers(operations.approvals, operations.not_me)
        factors = FactorHandlers(operations.step_up, operations.passkey_login)
        self._handlers = Handlers(
            operations,
            application,
            self._push,
            expiry,
            outbound.bus,
            suspension,
            more={**alerts.served, **factors.served, **PeopleHandlers(outbound, inbound).served},
            metrics=self._metrics,
        )
        self._waiting = WaitingSockets(
            operations.admission,
            operations.sessions,
            self._handshakes,
            self._activation,
            self._handlers,
            self._emitter,
            also_served={**alerts.served_waiting, **factors.served_waiting},
            metrics=self._metrics,
            clock=services.clock,
        )
        outbound.approvals.subscribe(self._waiting.send_approval_news)

    @property
    def is_open(self) -> bool:
        """Whether new sockets are admitted."""
        return not self._is_draining

    async def drain(self) -> None:
        """Stop admitting sockets, ask every client to reconnect to another node, and end the connections."""
        self._is_draining = True
        await drain(self._connections, self._waiting, self._emitter, self._push)

    def refuses(self, request: web.BaseRequest) -> float | None:
        """See `Handshakes.refuses`."""
        return self._handshakes.refuses(request)

    def count_refused(self) -> None:
        """See `Handshakes.count_refused`."""
        self._handshakes.count_refused()

    def note(self, request: web.BaseRequest) -> OpeningRequest:
        """See `Handshakes.note`."""
        return self._handshakes.note(request)

    def gone(self, noted: OpeningRequest) -> None:
        """See `Handshakes.gone`."""
        self._handshakes.gone(noted)

    async def admit(self, socket_id: str, noted: OpeningRequest, auth: Any) -> None:
        """Admit a socket if its token is valid, its session is not revoked and its origin is allowed.

        Raises `Refused` with the data of `connect_error`, or `NodeDraining` while this node shuts down.
        """
        if self._is_draining:
            self._handshakes.count_draining()
            raise NodeDraining
        with self._handshakes.errors_as_refusals(socket_id, noted):
            verified = await self._handshakes.verify(noted, auth)
            events = self._event_budgets.begin(now=time.monotonic())
            if verified.principal is None:
                keeps_places = verified.rooms is not None
                await self._waiting.admit(
                    socket_id, verified.token, noted.client, events, keeps_places=keeps_places
                )
                return
            connection = Connection(socket_id, verified.principal, noted.client, events)
            if verified.rooms is not None:
                self._places.claim(connection, verified.rooms)
            joined = await self._handshakes.join(connection, cursor=verified.cursor)
            self._joined[socket_id] = verified.cursor, joined

    def admitted(self, socket_id: str) -> None:
        """Send the socket its first events, before any of its own events is served."""
        if self._waiting.get(socket_id) is not None:
            self._waiting.admitted(socket_id)
            return
        connection, joined = self._connections.get(socket_id), self._joined.pop(socket_id, None)
        if connection is not None and joined is not None:
            self._activation.activate(connection, *joined)

    def receive(self, socket_id: str, received: Received) -> None:
        """Queue an event after the socket's earlier ones."""
        received.since = self._suspension.arrival()
        waiting = self._waiting.get(socket_id)
        if waiting is not None:
            self._queue(waiting, waiting.events, received, lambda: self._waiting.serve(waiting, received))
            return
        live = self._connections.get(socket_id)
        if live is not None:
            self._queue(live, live.events, received, lambda: self._handlers.handle(live, received))

    def _queue(
        self, inbox: EventQueue, events: EventBudget, received: Received, job: Callable[[], Awaitable[Counted]]
    ) -> None:
        if received.size > MAX_PAYLOAD_BYTES:
            # The handler refuses it in turn; the oversized payload must not stay in memory until then.
            received.arguments = []
        wait = events.take(received.event, now=time.monotonic())
        if wait is None and inbox.enqueue(job, size=min(received.size, MAX_PAYLOAD_BYTES)):
            return
        self._limits.refused("socket_events")
        received.refuse(messages.refused(RateLimited(retry_after_seconds=wait or 1)))

    def left(self, socket_id: str) -> None:
        """Remove a disconnected socket; its presence ends two seconds later."""
        self._waiting.left(socket_id)
        connection = self._connections.remove(socket_id)
        self._joined.pop(socket_id, None)
        if connection is None:
            return
        connection.state = SocketState.CLOSING
        self._places.gone(connection)
        self._watches.gone(connection)
        connection.cancel_timer()
        connection.forget_inbox()
        self._metrics.sockets.set(len(self._connections))
        self._presence.leave_soon(connection, self._hooks.disconnected(connection))
        if not connection.ended:
            self._background.spawn(self._sessions.seen(connection.principal))
