"""Audit events: who did what, when, from where. Written once, never changed, removed by time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import DESCENDING

from auth.stores.gathering import Gathering
from auth.stores.mongo import Database, Document, outage_is_unavailable


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One security event. `details` are short texts, and no secret is among them."""

    kind: str
    at: datetime
    user_id: str | None
    session_id: str | None
    ip: str | None
    user_agent: str | None
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Written:
    """A document on its way; each is itself alone."""

    document: Document


class AuditEvents:
    """The collection `audit_events`."""

    def __init__(self, database: Database) -> None:
        self._events = database["audit_events"]
        self._appended = Gathering(self._append_each)

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Make the index by user, and the one by which MongoDB removes events."""
        await self._events.create_index([("userId", 1), ("at", -1)], name="user")
        await self._events.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def append(self, event: AuditEvent, *, remove_at: datetime) -> None:
        """Write one event, to be kept until `remove_at`."""
        written = _Written(
            {
                "kind": event.kind,
                "at": event.at,
                "userId": event.user_id,
                "sessionId": event.session_id,
                "ip": event.ip,
                "userAgent": event.user_agent,
                "details": dict(event.details),
                "removeAt": remove_at,
            }
        )
        await self._appended.ask(written)

    async def _append_each(self, written: Sequence[_Written]) -> dict[Any, None]:
        await self._events.insert_many([each.document for each in written], ordered=False)
        return {}

    @outage_is_unavailable
    async def of_user(self, user_id: str | None, *, limit: int = 100) -> list[AuditEvent]:
        """Events of a user, or of nobody known, newest first."""
        found = self._events.find({"userId": user_id}, sort=[("at", DESCENDING), ("_id", DESCENDING)], limit=limit)
        return [
            AuditEvent(
                kind=document["kind"],
                at=document["at"],
                user_id=document["userId"],
                session_id=document["sessionId"],
                ip=document["ip"],
                user_agent=document["userAgent"],
                details=document["details"],
            )
            for document in await found.to_list(limit)
        ]
