"""This node's sockets, indexed by socket, session and user."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from auth.core.models import Client, HeldRoles, Principal, has_role
from auth.platform.event_limits import EventBudget
from realtime.engine.timers import Timer
from realtime.event_queue import EventQueue


class SocketState(StrEnum):
    """State of a socket. Application events are served only in LIVE."""

    CONNECTING = "connecting"
    LIVE = "live"
    EXPIRED = "expired"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event from a user's log; `previous` is the id of the event before it.

    The payload of an application's event is `{data, ack?}`.
    """

    user_id: str
    event_id: int
    previous: int
    event: str
    session_id: str
    version: int | None
    origin: str
    payload: dict[str, Any]

    @property
    def is_application(self) -> bool:
        """Whether it is an event of the application, whose names contain a colon."""
        return ":" in self.event


@dataclass(slots=True, eq=False)
class Place:
    """A socket's place in the history of a room: `cursor` is the id of the last event that it was sent, if any.

    `since`: the last event before its user entered. `held`: events that wait until what comes before them is read;
    None while nothing waits. Not `is_entered`: named by the client for a room that the socket is not in (yet).
    """

    connection: "Connection"
    room: str
    cursor: int | None
    since: int
    is_entered: bool = False
    held: list[dict[str, Any]] | None = None
    # Read during the handshake, to be sent after `ready`; whether something was missed for good.
    is_prepared: bool = False
    missed: tuple[dict[str, Any], ...] = ()
    is_unrecovered: bool = False
    # The client is to be told that the socket is in the room.
    is_new: bool = False


@dataclass(slots=True, eq=False)
class Connection(EventQueue):
    """One socket: its principal, its position in the user's log, and its queued events."""

    principal: Principal
    client: Client
    events: EventBudget
    cursor: int = 0
    state: SocketState = SocketState.CONNECTING
    # Whether the application's `connected` hooks were started for it.
    has_run_connect_hooks: bool = False
    # Its session was ended: its last use is not recorded any more.
    ended: bool = False
    held_back: tuple[Frame, ...] = ()
    timer: Timer | None = None
    # Version of the principal's roles.
    roles_version: int = 0
    # Rooms that require a role, with that role; None for most sockets, to save memory.
    rooms_by_role: dict[str, str] | None = None
    # Rooms to enter when the handshake is over, and those not to; None for most sockets, to save memory.
    rooms_at_ready: dict[str, bool] | None = None
    # By room; None for clients that do not keep their places.
    places: dict[str, Place] | None = None

    @property
    def user_id(self) -> str:
        """The socket's user; never changes."""
        return self.principal.user_id

    @property
    def session_id(self) -> str:
        """The socket's session; never changes."""
        return self.principal.session_id

    @property
    def serves(self) -> bool:
        """Whether application events are served."""
        return self.state is SocketState.LIVE

    def set_roles(self, held: HeldRoles) -> bool:
        """Use these roles from now on; False, without effect, if they are older than the current ones."""
        if held.version < self.roles_version:
            return False
        self.roles_version = held.version
        self.principal = replace(self.principal, roles=held.roles)
        return True

    def set_room_role(self, room: str, role: str | None) -> None:
        """Set the role that the socket needs to stay in a room; None for no role."""
        if role is not None:
            if self.rooms_by_role is None:
                self.rooms_by_role = {}
            self.rooms_by_role[room] = role
        elif self.rooms_by_role is not None:
            self.rooms_by_role.pop(room, None)

    def take_forbidden_rooms(self) -> list[str]:
        """Remove and return the rooms whose required role the socket no longer has."""
        held = self.rooms_by_role or {}
        lost = [room for room, role in held.items() if not has_role(self.principal.roles, role)]
        for room in lost:
            del held[room]
        return lost

    def cancel_timer(self) -> None:
        """Cancel the next expiry step."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Connections:
    """Registry of this node's sockets. The entry of a user or session is removed with its last socket."""

    def __init__(self) -> None:
        self._by_socket: dict[str, Connection] = {}
        self._by_session: dict[str, set[Connection]] = {}
        self._by_user: dict[str, set[Connection]] = {}

    def __len__(self) -> int:
        return len(self._by_socket)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._by_socket.values()))

    def add(self, connection: Connection) -> None:
        """Register a socket."""
        self._by_socket[connection.socket_id] = connection
        self._by_session.setdefault(connection.session_id, set()).add(connection)
        self._by_user.setdefault(connection.user_id, set()).add(connection)

    def remove(self, socket_id: str) -> Connection | None:
        """Remove a socket; None if it is not on this node."""
        connection = self._by_socket.pop(socket_id, None)
        if connection is not None:
            _discard(self._by_session, connection.session_id, connection)
            _discard(self._by_user, connection.user_id, connection)
        return connection

    def get(self, socket_id: str) -> Connection | None:
        """The socket of that id, if it is on this node."""
        return self._by_socket.get(socket_id)

    def of_session(self, session_id: str) -> tuple[Connection, ...]:
        """The sockets of one session."""
        return tuple(self._by_session.get(session_id, ()))

    def of_user(self, user_id: str) -> tuple[Connection, ...]:
        """The sockets of one user."""
        return tuple(self._by_user.get(user_id, ()))

    def sessions(self) -> Iterable[str]:
        """Every session with a socket on this node."""
        return tuple(self._by_session)


def _discard(index: dict[str, set[Connection]], key: str, connection: Connection) -> None:
    members = index.get(key)
    if members is not None:
        members.discard(connection)
        if not members:
            del index[key]
