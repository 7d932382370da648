"""What the operations of backends need of the live side, implemented in realtime/delivery/direct.py."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from auth.core.models import Delivery


@dataclass(frozen=True, slots=True)
class Target:
    """Sockets: all of a user, of a session or of a room, or one.

    `user_id` is set for a session too, whose sockets are found by their user.
    """

    kind: Literal["user", "session", "socket", "room"]
    name: str
    user_id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class UserPresence:
    """How many devices of a user are online; when one was last, None if that is not known (any more).

    `state` is `online`, `away` or `busy`, and `text` what the user says about it; None while no device is online.
    An invisible user is like one who went offline when the state was chosen.
    """

    devices: int
    last_seen_at: datetime | None
    state: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """An application's event. `ack`: clients are to acknowledge it. `except_socket_id` does not get it."""

    event: str
    data: Mapping[str, Any]
    ack: bool = False
    except_socket_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent to sockets. `delivery` must be called once; it waits for reports for at most 1 s.

    `event_id`: of an event that is in a user's log; `history_id`: in a room's.
    """

    delivery: Callable[[], Awaitable[Delivery]]
    event_id: int | None = None
    history_id: int | None = None


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """An event in a room's log. `history_id` grows with each event of the room, and is no event id of a user."""

    history_id: int
    event: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RoomHistory:
    """A part of a room's log, oldest event first. `next`: id of its last event, if there are later ones.

    `recovered`: the log reaches back to the given id, so nothing after it is missing; None if none was given.
    """

    events: Sequence[RoomEvent]
    next: int | None
    recovered: bool | None


class LiveControl(Protocol):
    """Acts on sockets of all nodes."""

    async def presence(self, user_ids: Sequence[str], *, now: datetime) -> Mapping[str, UserPresence]:
        """The presence of each user, in one round trip for each Redis master. Raises `Unavailable`."""

    async def disconnect(self, target: Target, *, reason: str, retryable: bool) -> Sent:
        """Tell sockets why, and close them after their ack or 1 s. Never raises; `incomplete` without Redis."""

    async def emit(self, target: Target, message: Message) -> Sent:
        """Send to the sockets that are live now. Never raises; `incomplete` without Redis.

        Messages to one target arrive in the order of these calls, if each returns before the next.
        """

    async def mark_members(self, user_id: str) -> None:
        """Let later handshakes of a user read the memberships. Raises `Unavailable`."""

    async def move(self, target: Target, room: str, *, enter: bool) -> Sent:
        """Let the sockets of a user or a session enter or leave a room, also those whose handshake is not over.

        Never raises; `incomplete` without Redis.
        """

    async def watch(self, target: Target, user_ids: Sequence[str], *, begin: bool) -> Sent:
        """Let live sockets watch users, or no longer; those that would watch too many watch none of these.

        Never raises; `incomplete` without Redis. Counted as notified: sockets that do it.
        """

    async def append(self, user_id: str, message: Message, *, once: str | None) -> Sent:
        """Append to the user's log, and send. Guarantee: what is appended reaches the user's clients, in order and
        once each, also after a reconnect, as far as the log reaches. Raises `Unavailable`; then it may be in the
        log all the same. What was appended with the same `once` in the last ten minutes is not appended again: the
        result has the id of the first, and nobody is notified.
        """

    async def append_to_room(self, room: str, message: Message, *, once: str | None) -> Sent:
        """Append to the room's log, and send. Nodes send what is appended in its order. Raises `Unavailable`; then
        it may be in the log all the same. `once` as for `append`.
        """

    async def last_of_room(self, room: str) -> int:
        """The id of the last event of a room, also if it is no longer in its log. Raises `Unavailable`."""

    async def history(self, room: str, *, after: int | None, limit: int) -> RoomHistory:
        """The first `limit` events of a room's log, or of those after the event with the id `after`.

        Fewer if these are more than a megabyte. Raises `Unavailable`.
        """
