"""The API for an application's own events, served only to authenticated sockets of live sessions.

    chat = Application("chat")

    @chat.on("send")
    async def send(socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
        await chat.emit("message", {"from": socket.principal.user_id, "text": data["text"]}, room="lobby")
        return {}

Clients send `chat:send` and receive `chat:message`: event and room names are prefixed with the application's name,
so they never collide with Vigil's. A handler runs only while its socket's token is valid and its session is
neither revoked nor expired; one socket's events run one at a time. Its return value becomes the ack, with
`ok: true`; an `AuthError` it raises becomes the ack with `ok: false`. Full description: docs/applications.md.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import structlog
from limits import parse as parse_rate

from auth.backends.live import RoomHistory, UserPresence
from auth.core.clock import utc_now
from auth.core.errors import AuthError
from auth.core.events import require_no_event_id
from auth.core.models import NOWHERE, Client, Principal, Session, User

# Delays between retries of a failed disconnect hook; after the last it is given up.
DISCONNECT_HOOK_RETRY_SECONDS = (1.0, 5.0, 25.0)
# Time limit of a hook that a login, a revocation or the cleanup after a dead node waits for.
HOOK_SECONDS = 1.0
# Names stand unescaped in the frames of a log.
DURABLE_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,129}", re.ASCII)
# Events of a page of a room's history.
MOST_HISTORY_EVENTS = 200
# Users whose presence is asked for at once.
MOST_PRESENCES = 500

log = structlog.get_logger()

Data = dict[str, Any]


class Rooms(Protocol):
    """What the application needs from the live server; passed to `Application.start`."""

    async def emit_to_room(
        self, event: str, data: Data, room: str, *, except_socket_id: str | None = None
    ) -> None:
        """Send an event to a room on every node, except to a socket of this node."""

    async def emit_to_user(self, event: str, data: Data, user_id: str) -> None:
        """Send an event to the live sockets of a user on every node."""

    async def append_to_room(self, event: str, data: Data, room: str) -> int:
        """Append an event to a room's history and send it; return its id. Raises as `Application.emit`."""

    async def append_to_user(self, event: str, data: Data, user_id: str) -> int:
        """Append an event to a user's log and send it; return its id. Raises as `Application.emit`."""

    async def history(self, room: str, *, after: int | None, limit: int) -> RoomHistory:
        """See `Application.history`."""

    async def presence(self, user_ids: Sequence[str]) -> Mapping[str, UserPresence]:
        """See `Application.presence`."""

    async def emit_here(self, socket_id: str, event: str, payload: Data) -> None:
        """Send an event to one socket of this node."""

    async def enter(self, socket_id: str, room: str, role: str | None) -> None:
        """Add a socket of this node to a room; with `role`, only for as long as it has that role."""

    async def leave(self, socket_id: str, room: str) -> None:
        """Remove a socket of this node from a room."""

    async def watch(self, socket_id: str, user_ids: Sequence[str]) -> None:
        """See `LiveSocket.watch`; the socket is of this node."""

    async def unwatch(self, socket_id: str, user_ids: Sequence[str]) -> None:
        """See `LiveSocket.unwatch`; the socket is of this node."""

    async def user(self, principal: Principal) -> User:
        """The principal's account."""

    def who_is(self, socket_id: str) -> Principal | None:
        """The principal of a socket of this node; None unless it is live."""


class LiveSocket:
    """One socket, as passed to an application's handlers and hooks.

    `is_here`: whether it is, or was, a socket of this node. False for a socket of a dead node: its principal then
    has only user and session id, and no roles, and its `client` is `NOWHERE`.
    """

    def __init__(
        self,
        application: "Application",
        socket_id: str,
        principal: Principal,
        *,
        client: Client = NOWHERE,
        role: str | None = None,
        is_here: bool = True,
    ) -> None:
        self._application = application
        self._role = role
        self.is_here = is_here
        self.socket_id = socket_id
        self.principal = principal
        self.client = client

    async def user(self) -> User:
        """The socket's account. Raises `Unavailable` while MongoDB is down."""
        return await self._application.server.user(self.principal)

    async def enter(self, room: str, *, role: str | None = None) -> None:
        """Join one of the application's rooms until the socket disconnects.

        With `role`, or in a handler that requires one, the socket also leaves when the user loses that role.
        Raises `Forbidden` if the user does not have it now.
        """
        await self._application.server.enter(self.socket_id, self._application.qualified(room), role or self._role)

    async def leave(self, room: str) -> None:
        """Leave one of the application's rooms."""
        await self._application.server.leave(self.socket_id, self._application.qualified(room))

    async def watch(self, user_ids: Sequence[str]) -> None:
        """Let this socket see the presence of users until it disconnects: `presence` events tell it their presence
        soon, and then each change, on whichever node they are.

        Raises `InvalidRequest` if it would watch more than 500 users; then it watches none of these.
        """
        await self._application.server.watch(self.socket_id, user_ids)

    async def unwatch(self, user_ids: Sequence[str]) -> None:
        """Let this socket no longer see the presence of users."""
        await self._application.server.unwatch(self.socket_id, user_ids)

    async def emit(self, event: str, data: Data) -> None:
        """Send one of the application's events to this socket. Raises `ValueError` for `data` with `eventId`."""
        require_no_event_id(data)
        await self._application.server.emit_here(self.socket_id, self._application.qualified(event), data)

    async def broadcast(self, event: str, data: Data, *, room: str) -> None:
        """Send one of the application's events to one of its rooms, on every node, except to this socket.

        Best effort across nodes. Raises `ValueError` for `data` with `eventId`, or if
        the socket is not of this node.
        """
        require_no_event_id(data)
        if not self.is_here:
            raise ValueError("only the node of a socket can leave it out")
        name = self._application.qualified
        await self._application.server.emit_to_room(name(event), data, name(room), except_socket_id=self.socket_id)


HookKind = Literal["connected", "roles"]
Handler = Callable[[LiveSocket, Data], Awaitable[Mapping[str, Any] | None]]
SocketHook = Callable[[LiveSocket], Awaitable[None]]
SessionHook = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler, and the role it requires, if any.

    `counted_as`: its name in metrics, if not the event's. `limit`: of its events per socket, if it has one.
    """

    handler: Handler
    role: str | None
    counted_as: str | None = None
    limit: str | None = None


@dataclass(slots=True)
class Application:
    """The application's events, rooms and hooks, under one name.

    `emits`: the events it sends, each with a one-sentence description for the AsyncAPI document. Events it serves
    are described there by the docstrings of their handlers.
    """

    # Whether it serves events that it does not list.
    serves_any: ClassVar[bool] = False

    name: str
    emits: Mapping[str, str] = field(default_factory=dict)
    handlers: dict[str, Registration] = field(default_factory=dict)
    connected_hooks: list[SocketHook] = field(default_factory=list)
    disconnected_hooks: list[SocketHook] = field(default_factory=list)
    roles_hooks: list[SocketHook] = field(default_factory=list)
    started_hooks: list[SessionHook] = field(default_factory=list)
    ended_hooks: list[SessionHook] = field(default_factory=list)
    _server: Rooms | None = None

    def registration(self, event: str) -> Registration | None:
        """The handler of a client event; None if the event is unknown."""
        return self.handlers.get(event)

    def on(self, event: str, *, role: str | None = None, limit: str | None = None) -> Callable[[Handler], Handler]:
        """Register a handler of `<name>:<event>`. With `role`, principals without it get `forbidden`.

        `limit`: how many of these events a socket may send, such as `10/second`. They then do not count against
        VIGIL_LIMIT_SOCKET_EVENTS. Raises `ValueError` for what is no rate.
        """
        if limit is not None:
            parse_rate(limit)

        def register(handler: Handler) -> Handler:
            self.handlers[self.qualified(event)] = Registration(handler, role, limit=limit)
            return handler

        return register

    def on_socket_connected(self, hook: SocketHook) -> SocketHook:
        """Run `hook` on the socket's node after its `ready`, and again if its presence was lost and restored."""
        self.connected_hooks.append(hook)
        return hook

    def on_socket_disconnected(self, hook: SocketHook) -> SocketHook:
        """Run `hook` at least once after a socket disconnects: on its node or, if that died, on another."""
        self.disconnected_hooks.append(hook)
        return hook

    def on_roles_changed(self, hook: SocketHook) -> SocketHook:
        """Run `hook` on the socket's node when its user's roles change; `socket.principal` has the new roles."""
        self.roles_hooks.append(hook)
        return hook

    def on_session_started(self, hook: SessionHook) -> SessionHook:
        """Run `hook` after a login: on one node, at least once."""
        self.started_hooks.append(hook)
        return hook

    def on_session_ended(self, hook: SessionHook) -> SessionHook:
        """Run `hook` after a session is revoked or expires: on one node, at least once."""
        self.ended_hooks.append(hook)
        return hook

    async def emit(
        self, event: str, data: Data, *, room: str | None = None, user: str | None = None, durable: bool = False
    ) -> int | None:
        """Send `<name>:<event>` to one of the application's rooms, or to a user by id, on every node.

        Best effort across nodes, like Redis PUBLISH, unless it is `durable`: then it is in the room's history or
        the user's log when this returns, and clients that were away get it when they are back, once and in order,
        as far as history or log reach back. Returns the event's id there (`historyId` or `eventId` for clients).

        Raises `ValueError` for `data` with `eventId`, and unless exactly one of `room` and `user` is given; for
        durable events also for another name than a backend could use, `InvalidRequest` for more than 16 KiB of
        JSON, and `Unavailable` without Redis: then it may have been appended all the same.
        """
        require_no_event_id(data)
        name = self.qualified(event)
        if (room is None) == (user is None):
            raise ValueError("an event is sent either to a room or to a user")
        if durable and not DURABLE_NAME.fullmatch(name):
            raise ValueError("the name of a durable event has letters, digits and _.:@- only")
        if user is not None:
            if durable:
                return await self.server.append_to_user(name, data, user)
            await self.server.emit_to_user(name, data, user)
        elif room is not None:
            if durable:
                return await self.server.append_to_room(name, data, self.qualified(room))
            await self.server.emit_to_room(name, data, self.qualified(room))
        return None

    async def history(self, room: str, *, after: int | None = None, limit: int = 50) -> RoomHistory:
        """The durable events of one of the application's rooms, oldest first: the first `limit` (1 to 200) of all,
        or of those after the event with the id `after`. Fewer if these are more than a megabyte.

        `next` is the `after` of the next page, or None. `recovered` is False if the history no longer reaches back
        to `after`. Raises `Unavailable` without Redis.
        """
        if not 1 <= limit <= MOST_HISTORY_EVENTS:
            raise ValueError(f"limit must be 1 to {MOST_HISTORY_EVENTS}")
        return await self.server.history(self.qualified(room), after=after, limit=limit)

    async def presence(self, user_ids: Sequence[str]) -> Mapping[str, UserPresence]:
        """Who of up to 500 users is online, on any node: `devices` of each, and `last_seen_at`.

        A device whose node was killed is offline within 15 s. Raises `ValueError` for more users, and
        `Unavailable` without Redis.
        """
        if len(user_ids) > MOST_PRESENCES:
            raise ValueError(f"presence is known of at most {MOST_PRESENCES} users at once")
        return await self.server.presence(user_ids)

    async def run_hooks(self, kind: HookKind, socket_id: str, principal: Principal, client: Client) -> None:
        """Run the hooks of one kind for a socket; called by the live server."""
        hooks = {"connected": self.connected_hooks, "roles": self.roles_hooks}
        await _run_hooks(hooks[kind], LiveSocket(self, socket_id, principal, client=client))

    async def run_disconnect_hooks(self, socket_id: str, principal: Principal, client: Client) -> None:
        """Run the disconnect hooks for a socket of this node; retry failed ones with delays."""
        socket = LiveSocket(self, socket_id, principal, client=client)
        failed = await _run_hooks(self.disconnected_hooks, socket)
        for seconds in DISCONNECT_HOOK_RETRY_SECONDS:
            if not failed:
                return
            await asyncio.sleep(seconds)
            failed = await _run_hooks(failed, socket)
        if failed:
            log.error("application_hook_given_up", socket_id=socket_id)

    async def run_disconnect_hooks_for_dead_node(self, user_id: str, session_id: str, socket_id: str) -> bool:
        """Run the disconnect hooks for a socket of a dead node, at most 1 s each; False if one failed."""
        now = utc_now()
        principal = Principal(user_id, session_id, 0, (), (), auth_time=now, issued_at=now, expires_at=now)
        socket = LiveSocket(self, socket_id, principal, is_here=False)
        return not await _run_hooks(self.disconnected_hooks, socket, seconds=HOOK_SECONDS)

    def who_is(self, socket_id: str) -> Principal | None:
        """The principal of a socket of this node; None if it is not on this node or not live."""
        return self.server.who_is(socket_id)

    @property
    def server(self) -> Rooms:
        """The live server. Raises `RuntimeError` before `start`."""
        if self._server is None:
            raise RuntimeError(f"the application {self.name!r} is not running")
        return self._server

    def start(self, server: Rooms) -> None:
        """Connect the application to the live server, which calls this."""
        self._server = server

    @property
    def limits(self) -> Mapping[str, str]:
        """The limits of events that have their own, by the name that clients send."""
        return {event: each.limit for event, each in self.handlers.items() if each.limit is not None}

    def qualified(self, name: str) -> str:
        """`name` prefixed with the application's name."""
        return f"{self.name}:{name}"


@contextlib.contextmanager
def cancellation_as_error() -> Iterator[None]:
    """Raise `RuntimeError` for a `CancelledError` from application code when the current task was not cancelled.

    The code awaited a cancelled task or future, for example of a closed connection pool. Passed on, the
    `CancelledError` would end Vigil's own calling loop, because `except Exception` does not catch it.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        ours = asyncio.current_task()
        if ours is None or ours.cancelling():
            raise
        raise RuntimeError("a task or future that the application awaited was cancelled") from error


async def _run_hooks(
    hooks: Sequence[SocketHook], socket: LiveSocket, *, seconds: float | None = None
) -> list[SocketHook]:
    """Run each hook for at most `seconds`, and return those that raised."""
    failed = []
    for hook in hooks:
        try:
            async with asyncio.timeout(seconds):
                with cancellation_as_error():
                    await hook(socket)
        except AuthError as error:
            log.warning("application_hook_failed", socket_id=socket.socket_id, code=error.code)
            failed.append(hook)
        except Exception:  # the other hooks still run
            log.exception("application_hook_failed", socket_id=socket.socket_id)
            failed.append(hook)
    return failed
