"""Facts: what happened to sessions, and who is told.

An operation commits to MongoDB, then publishes facts. How they reach devices is the publisher's business:
`auth` does not know that sockets exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from auth.models import Actor, Delivery, RevocationReason, Session


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """Someone logged in."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    """What the list of devices shows of a session changed (its address, its location, its name)."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session was revoked or expired; `session` is as it was when it ended."""

    session: Session
    reason: RevocationReason
    by: Actor
    at: datetime


@dataclass(frozen=True, slots=True)
class SecurityAlert:
    """Something the user's other devices should hear of; `kind` as in protocol.md, section 5."""

    kind: str
    session: Session
    at: datetime


@dataclass(frozen=True, slots=True)
class RolesChanged:
    """An administrator gave a user other roles; all their sockets act by them from now on.

    `version` grows with each change, so that of two facts that arrive in the wrong order the later one holds.
    """

    user_id: str
    roles: tuple[str, ...]
    version: int


SessionFact = SessionCreated | SessionUpdated | SessionEnded | SecurityAlert
Fact = SessionFact | RolesChanged


class Publisher(Protocol):
    """Brings facts to the devices they concern."""

    async def publish(self, facts: Sequence[Fact], *, wait: bool = False) -> Delivery:
        """Publish `facts` in order; with `wait`, report after at most 1 s what became of the ended ones.

        Guarantee: a fact handed over while the bus is down is delivered when it is back. Never raises
        for a bus that is down.
        """


class PresenceReader(Protocol):
    """Tells which sessions have a live socket."""

    async def online(self, user_id: str) -> tuple[frozenset[str], int]:
        """The session ids of `user_id` that are online, and the version of the session list.

        With the bus down: nobody, and version 0, after which any pushed version is a gap and makes a
        client list again.
        """
