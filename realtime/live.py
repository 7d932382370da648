"""Composition of the live side: one object that the composition root attaches, starts, drains and closes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from auth.core.tasks import Background
from auth.operations import Operations
from auth.platform.open_connections import OpenConnections
from auth.platform.suspension import SuspensionWatch
from auth.services import Services
from auth.stores.stores import Stores
from realtime.application import Application
from realtime.delivery.inbound import Inbound
from realtime.delivery.outbound import Outbound
from realtime.delivery.socket_hooks import SocketHooks
from realtime.engine.sockets import SocketServer
from realtime.engine.traffic_budget import TrafficBudget
from realtime.gateway.application_rooms import ApplicationRooms
from realtime.gateway.gateway import Gateway, GatewayOptions

if TYPE_CHECKING:
    from auth.platform.tracing import Tracing

SOCKET_PATH = "socket.io"
# How long a stopping node waits for the application's disconnect hooks.
DISCONNECT_HOOKS_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """The gateway's settings, allowed transports and the traffic budget of a connection."""

    gateway: GatewayOptions
    transports: tuple[str, ...] = ("polling", "websocket")
    allowance: TrafficBudget = field(default_factory=TrafficBudget)


class Live:
    """One node's sockets and everything that serves them. Also starts and closes `outbound`."""

    def __init__(
        self,
        outbound: Outbound,
        stores: Stores,
        services: Services,
        operations: Operations,
        options: LiveOptions,
        *,
        open_connections: OpenConnections,
        suspension: SuspensionWatch,
        application: Application | None,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._outbound = outbound
        self._background = Background()
        hooks = SocketHooks(application, self._background)
        self._inbound = Inbound(outbound, stores, services, hooks)
        make_gateway = Gateway if tracing is None else _traced_gateway(tracing)
        self._gateway = make_gateway(
            outbound,
            self._inbound,
            services,
            operations,
            options.gateway,
            hooks=hooks,
            background=self._background,
            open_connections=open_connections,
            suspension=suspension,
            application=application,
        )
        self._server = SocketServer(
            self._gateway,
            self._inbound.emitter,
            metrics=services.metrics,
            allowance=options.allowance,
            transports=options.transports,
            cors_allowed_origins=options.gateway.allowed_origins,
        )
        if application is not None:
            application.start(ApplicationRooms(self._inbound, outbound, operations.profile, clock=services.clock))

    def attach(self, app: web.Application) -> None:
        """Serve the live socket on `app`."""
        self._server.attach(app, socketio_path=SOCKET_PATH)

    @property
    def ahead(self) -> Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
        """Handlers called ahead of the HTTP application's router and middlewares: the live socket's path.

        Also without its slash at the end, which some clients leave out and some proxies (Next.js) take away.
        """
        return dict.fromkeys((f"/{SOCKET_PATH}/", f"/{SOCKET_PATH}"), self._server.engines.handle_request)

    def admits(self) -> Mapping[str, bool]:
        """Conditions for admitting sockets, besides Redis, and whether this node meets them now."""
        return {
            "bus": self._outbound.bus.is_receiving,
            "revocations": self._outbound.deny_list.is_usable,
            "open": self._gateway.is_open,
        }

    async def start(self) -> None:
        """Take the lease and start listening to the bus."""
        await self._inbound.start()

    async def drain(self) -> None:
        """Ask every client to reconnect to another node, then end the connections one by one, within about 3 s."""
        self._server.engines.refuse_new_connections()
        self._outbound.approvals.close()
        await self._gateway.drain()

    async def close(self) -> None:
        """Stop everything and disconnect the sockets that are still open."""
        await self._inbound.finish_endings()
        await self._background.finished(DISCONNECT_HOOKS_SECONDS)
        await self._inbound.close()
        await self._server.shutdown()


def _traced_gateway(tracing: "Tracing") -> Callable[..., Gateway]:
    # Imports OpenTelemetry.
    from realtime.gateway.traced import TracedGateway

    return partial(TracedGateway, tracing)
