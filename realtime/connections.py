"""This node's sockets, by socket, by session and by user."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from auth.models import Client, HeldRoles, Principal, has_role
from auth.rate_limits import EventWindow
from realtime.engine.timers import Timer
from realtime.inbox import Inbox


class State(StrEnum):
    """Where a socket is in its life. Only a live one is served application events."""

    CONNECTING = "connecting"
    LIVE = "live"
    EXPIRED = "expired"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event off a user's log; `previous` is the id of the event before it."""

    user_id: str
    event_id: int
    previous: int
    event: str
    session_id: str
    version: int | None
    origin: str
    payload: dict[str, Any]


@dataclass(slots=True, eq=False)
class Connection(Inbox):
    """One socket: who it acts for, how far it has read its user's log, and what is still to be done for it."""

    principal: Principal
    client: Client
    events: EventWindow
    cursor: int = 0
    state: State = State.CONNECTING
    greeted: bool = False
    # Its session was ended: nothing about it is to be noted any more.
    ended: bool = False
    held_back: tuple[Frame, ...] = ()
    timer: Timer | None = None
    # Which of the user's changes of roles the principal's roles are of.
    roles_version: int = 0
    # Rooms that the socket may be in only while it has a role; few sockets are in any.
    rooms_by_role: dict[str, str] | None = None

    @property
    def user_id(self) -> str:
        """The user the socket acts for; never changes."""
        return self.principal.user_id

    @property
    def session_id(self) -> str:
        """The session the socket belongs to; never changes."""
        return self.principal.session_id

    @property
    def serves(self) -> bool:
        """Whether application events are served."""
        return self.state is State.LIVE

    def take_roles(self, held: HeldRoles) -> bool:
        """Act by these roles from now on; False when a later change was heard of already, which stays."""
        if held.version < self.roles_version:
            return False
        self.roles_version = held.version
        self.principal = replace(self.principal, roles=held.roles)
        return True

    def hold_room(self, room: str, role: str | None) -> None:
        """Note by which role the socket is in a room; None: it is in it whatever becomes of its roles."""
        if role is not None:
            if self.rooms_by_role is None:
                self.rooms_by_role = {}
            self.rooms_by_role[room] = role
        elif self.rooms_by_role is not None:
            self.rooms_by_role.pop(room, None)

    def forfeited_rooms(self) -> list[str]:
        """The rooms that the socket was in by a role which it does not have any more; named once."""
        held = self.rooms_by_role or {}
        lost = [room for room, role in held.items() if not has_role(self.principal.roles, role)]
        for room in lost:
            del held[room]
        return lost

    def cancel_timer(self) -> None:
        """Forget the warning or the end that is due next."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Connections:
    """The registry. A user's or session's entry goes with its last socket, so none is left behind."""

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
        """Take a socket out; None when it is not here."""
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
