"""Facts: session events as values, and the interface that publishes them.

An operation commits to MongoDB, then publishes facts. Delivery to devices is up to the publisher: `auth` does
not know about sockets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from auth.core.models import Actor, Delivery, RevocationReason, Session

# The id of an event in a user's log. Clients take it for that wherever it stands in an event's data: they send the
# greatest one back as their cursor, and drop an event whose id they have had.
EVENT_ID = "eventId"


def require_no_event_id(data: Mapping[str, Any]) -> None:
    """Raise `ValueError` if the data of an application's event have an `eventId`."""
    if EVENT_ID in data:
        raise ValueError(f"the data of an event must not have {EVENT_ID!r}, which is the id in the user's log")


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """A user logged in."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    """A session's address, location or name changed in the device list."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session was revoked or expired; `session` is its state at that time."""

    session: Session
    reason: RevocationReason
    by: Actor
    at: datetime


@dataclass(frozen=True, slots=True)
class SecurityAlert:
    """An alert for the user's other devices; `kind` as in protocol.md, section 5."""

    kind: str
    session: Session
    at: datetime


@dataclass(frozen=True, slots=True)
class RolesChanged:
    """An administrator changed a user's roles; they apply to all of the user's sockets from now on.

    `version` grows with each change: if two facts arrive out of order, the one with the greater version wins.
    """

    user_id: str
    roles: tuple[str, ...]
    version: int


SessionFact = SessionCreated | SessionUpdated | SessionEnded | SecurityAlert
Fact = SessionFact | RolesChanged


class Publisher(Protocol):
    """Delivers facts to the devices concerned."""

    async def publish(self, facts: Sequence[Fact], *, wait: bool = False) -> Delivery:
        """Publish `facts` in order. With `wait`, return the delivery counts of ended sessions after at most 1
        s.

        Guarantee: a fact published while the bus is down is delivered once it is back. Never raises because of
        a bus outage.
        """


class PresenceReader(Protocol):
    """Reports which sessions have a live socket, and removes what it keeps of erased users."""

    async def online(self, user_id: str) -> tuple[frozenset[str], int]:
        """The ids of `user_id`'s online sessions, and the version of the session list.

        While the bus is down: an empty set and version 0. Any pushed version is then a gap, which makes clients
        reload the list.
        """

    async def forget(self, user_id: str) -> None:
        """Remove the state that an erased user had chosen for others to see. Raises `Unavailable`."""
