"""A place for the application: events of its own that run only for a live principal.

    chat = Application("chat")

    @chat.on("send")
    async def send(socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
        await chat.emit("message", {"from": socket.principal.user_id, "text": data["text"]}, room="lobby")
        return {}

Clients send `chat:send` and hear `chat:message`: names and rooms are prefixed with the application's own, so
that they never meet Vigil's. A handler runs only while its socket's token is good and its session is neither
revoked nor expired, and one after the other for one socket. What it returns is the ack, with `ok: true`; an
`AuthError` that it raises is the ack with `ok: false`. docs/applications.md shows it whole.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import structlog

from auth.models import Principal, Session, User

log = structlog.get_logger()

Data = dict[str, Any]


class Rooms(Protocol):
    """What the application needs of the live server; given to it at the start."""

    async def emit_to_room(self, event: str, data: Data, room: str) -> None:
        """Send an event to a room, on every node."""

    async def emit_here(self, socket_id: str, event: str, payload: Data) -> None:
        """Send an event to one socket of this node."""

    async def enter(self, socket_id: str, room: str, role: str | None) -> None:
        """Put a socket of this node into a room, with `role` for as long as it has that."""

    async def leave(self, socket_id: str, room: str) -> None:
        """Take a socket of this node out of a room."""

    async def user(self, principal: Principal) -> User:
        """The account a principal acts for."""

    def who_is(self, socket_id: str) -> Principal | None:
        """Whom a socket of this node acts for, while it is live."""


class LiveSocket:
    """One socket, as an application's handler sees it."""

    def __init__(
        self, application: "Application", socket_id: str, principal: Principal, *, role: str | None = None
    ) -> None:
        self._application = application
        self._role = role
        self.socket_id = socket_id
        self.principal = principal

    async def user(self) -> User:
        """The account behind the socket. Raises `Unavailable` while MongoDB is down."""
        return await self._application.server.user(self.principal)

    async def enter(self, room: str, *, role: str | None = None) -> None:
        """Join one of the application's rooms; left by itself when the socket goes.

        With `role`, or in a handler that asks for one, it is left too when the user loses that role; without
        it now raises `Forbidden`.
        """
        await self._application.server.enter(self.socket_id, self._application.qualified(room), role or self._role)

    async def leave(self, room: str) -> None:
        """Leave one of the application's rooms."""
        await self._application.server.leave(self.socket_id, self._application.qualified(room))

    async def emit(self, event: str, data: Data) -> None:
        """Send one of the application's events to this socket alone."""
        await self._application.server.emit_here(self.socket_id, self._application.qualified(event), data)


HookKind = Literal["connected", "disconnected", "roles"]
Handler = Callable[[LiveSocket, Data], Awaitable[Mapping[str, Any] | None]]
SocketHook = Callable[[LiveSocket], Awaitable[None]]
SessionHook = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler and the role it asks for, if any."""

    handler: Handler
    role: str | None


@dataclass(slots=True)
class Application:
    """The application's events, rooms and hooks, under one name."""

    name: str
    handlers: dict[str, Registration] = field(default_factory=dict)
    connected_hooks: list[SocketHook] = field(default_factory=list)
    disconnected_hooks: list[SocketHook] = field(default_factory=list)
    roles_hooks: list[SocketHook] = field(default_factory=list)
    started_hooks: list[SessionHook] = field(default_factory=list)
    ended_hooks: list[SessionHook] = field(default_factory=list)
    _server: Rooms | None = None

    def on(self, event: str, *, role: str | None = None) -> Callable[[Handler], Handler]:
        """Serve `<name>:<event>`; with `role`, only for principals that have it, others get `forbidden`."""

        def register(handler: Handler) -> Handler:
            self.handlers[self.qualified(event)] = Registration(handler, role)
            return handler

        return register

    def on_socket_connected(self, hook: SocketHook) -> SocketHook:
        """Run `hook` after a socket's `ready`, on its node."""
        self.connected_hooks.append(hook)
        return hook

    def on_socket_disconnected(self, hook: SocketHook) -> SocketHook:
        """Run `hook` after a socket is gone, on the node that had it."""
        self.disconnected_hooks.append(hook)
        return hook

    def on_roles_changed(self, hook: SocketHook) -> SocketHook:
        """Run `hook` when a socket's user was given other roles, on its node; `socket.principal` has them."""
        self.roles_hooks.append(hook)
        return hook

    def on_session_started(self, hook: SessionHook) -> SessionHook:
        """Run `hook` when someone has logged in: on one node, at least once."""
        self.started_hooks.append(hook)
        return hook

    def on_session_ended(self, hook: SessionHook) -> SessionHook:
        """Run `hook` when a session was revoked or expired: on one node, at least once."""
        self.ended_hooks.append(hook)
        return hook

    async def emit(self, event: str, data: Data, *, room: str) -> None:
        """Send `<name>:<event>` to one of the application's rooms, on every node.

        Best effort across nodes, as Redis publish is: what must not be lost belongs in a store.
        """
        await self.server.emit_to_room(self.qualified(event), data, self.qualified(room))

    async def run_hooks(self, kind: HookKind, socket_id: str, principal: Principal) -> None:
        """Run the hooks for one thing that happened to a socket; called by the live server."""
        hooks = {
            "connected": self.connected_hooks,
            "disconnected": self.disconnected_hooks,
            "roles": self.roles_hooks,
        }
        socket = LiveSocket(self, socket_id, principal)
        for hook in hooks[kind]:
            try:
                await hook(socket)
            except Exception:  # the application's defect, not the socket's
                log.exception("application_hook_failed", socket_id=socket_id)

    def who_is(self, socket_id: str) -> Principal | None:
        """Whom a socket of this node acts for; None when it is not here or not live."""
        return self.server.who_is(socket_id)

    @property
    def server(self) -> Rooms:
        """The live server. Raises `RuntimeError` before it has started."""
        if self._server is None:
            raise RuntimeError(f"the application {self.name!r} is not running")
        return self._server

    def start(self, server: Rooms) -> None:
        """Called by the live server."""
        self._server = server

    def qualified(self, name: str) -> str:
        """`name` with the application's own in front."""
        return f"{self.name}:{name}"
