"""Facts: what happened to sessions, devices and accounts, as backends read it (protocol.md, section 8).

A fact names people and sessions by their ids. It contains no mail address, name of a person, token or hash. Facts
about sessions contain the device's name, IP address and place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class FactType(StrEnum):
    """Every type of fact."""

    SESSION_CREATED = "session.created"
    SESSION_UPDATED = "session.updated"
    SESSION_ENDED = "session.ended"
    PRESENCE_ONLINE = "presence.online"
    PRESENCE_OFFLINE = "presence.offline"
    USER_CREATED = "user.created"
    USER_VERIFIED = "user.verified"
    USER_CHANGED = "user.changed"
    USER_ROLES = "user.roles"
    USER_LOCKED = "user.locked"
    USER_UNLOCKED = "user.unlocked"
    USER_DELETED = "user.deleted"
    ALERT_RAISED = "alert.raised"
    # Facts before this one may be missing: the database's own log did not reach back far enough.
    FACTS_LOST = "facts.lost"


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact that has no number yet. `data` are JSON values."""

    type: FactType
    at: datetime
    user_id: str | None = None
    session_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredFact:
    """A fact with its number: the next one's is greater by one, so a reader that has all numbers has all facts."""

    number: int
    fact: NewFact

    @property
    def body(self) -> dict[str, Any]:
        """The fact as JSON, without its time's format."""
        fact = self.fact
        ids = {"userId": fact.user_id, "sessionId": fact.session_id}
        return {
            "id": str(self.number),
            "type": fact.type.value,
            "timestamp": fact.at,
            "data": {key: value for key, value in ids.items() if value is not None} | dict(fact.data),
        }


@dataclass(frozen=True, slots=True)
class FactPage:
    """Facts after a number, oldest first; `last` is the number of the last one read, shown or not.

    `recovered`: whether no fact after that number was removed already.
    """

    facts: tuple[StoredFact, ...]
    last: int
    recovered: bool


def matches(fact_type: str, wanted: tuple[str, ...]) -> bool:
    """Whether a filter wants a type: by its name, or by its group as `session.*`. An empty filter wants all.

    `facts.lost` passes every filter.
    """
    group = f"{fact_type.partition('.')[0]}.*"
    return not wanted or fact_type in wanted or group in wanted or fact_type == FactType.FACTS_LOST


FILTERS = (*(each.value for each in FactType), "session.*", "presence.*", "user.*", "alert.*")
