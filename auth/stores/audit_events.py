"""Audit events: who did what, when and from where. Written once, never changed, removed by a TTL index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson.errors import InvalidId
from bson.objectid import ObjectId
from pymongo import DESCENDING

from auth.core.errors import FieldError, InvalidRequest
from auth.core.paging import Cursor, Page
from auth.stores.batched_reads import BatchedReads
from auth.stores.mongo import Database, Document, outage_is_unavailable

# Events with the same time are ordered by insertion.
NEWEST_FIRST = [("at", DESCENDING), ("_id", DESCENDING)]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A security event. `details` are short texts and contain no secrets."""

    kind: str
    at: datetime
    user_id: str | None
    session_id: str | None
    ip: str | None
    user_agent: str | None
    details: Mapping[str, str]
    # Assigned by the store; ignored in comparisons.
    event_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Search criteria; None matches everything. `since` is inclusive, `until` exclusive."""

    user_id: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _NewEvent:
    """A document to be inserted, compared by identity."""

    document: Document


class AuditEvents:
    """The collection `audit_events`."""

    def __init__(self, database: Database) -> None:
        self._events = database["audit_events"]
        self._appended = BatchedReads(self._append_each)

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create an index for each kind of search, and the TTL index."""
        await self._events.create_index(NEWEST_FIRST, name="newest")
        await self._events.create_index([("userId", 1), *NEWEST_FIRST], name="of_user")
        await self._events.create_index([("kind", 1), *NEWEST_FIRST], name="of_kind")
        await self._events.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def append(self, event: AuditEvent, *, remove_at: datetime) -> None:
        """Write an event, to be kept until `remove_at`."""
        written = _NewEvent(
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

    async def _append_each(self, written: Sequence[_NewEvent]) -> dict[Any, None]:
        await self._events.insert_many([each.document for each in written], ordered=False)
        return {}

    @outage_is_unavailable
    async def of_user(self, user_id: str | None, *, limit: int = 100) -> list[AuditEvent]:
        """A user's events, newest first; with None, the events without a known user."""
        found = self._events.find({"userId": user_id}, sort=NEWEST_FIRST, limit=limit)
        return [_event(document) for document in await found.to_list(limit)]

    @outage_is_unavailable
    async def search(self, wanted: AuditFilter, *, before: Cursor | None, limit: int) -> Page[AuditEvent]:
        """A page of events, newest first. Raises `InvalidRequest` for a cursor of another list."""
        query: Document = {
            key: value for key, value in (("userId", wanted.user_id), ("kind", wanted.kind)) if value is not None
        }
        span = {"$gte": wanted.since, "$lt": wanted.until}
        span = {bound: moment for bound, moment in span.items() if moment is not None}
        if span:
            query["at"] = span
        if before is not None:
            query["$or"] = [{"at": {"$lt": before.at}}, {"at": before.at, "_id": {"$lt": _row_id(before)}}]
        found = self._events.find(query, sort=NEWEST_FIRST, limit=limit + 1)
        events = [_event(document) for document in await found.to_list(limit + 1)]
        last = events[limit - 1] if len(events) > limit else None
        return Page(tuple(events[:limit]), Cursor(last.at, last.event_id) if last else None)


def _row_id(cursor: Cursor) -> ObjectId:
    try:
        return ObjectId(cursor.row_id)
    except InvalidId:
        raise InvalidRequest(errors=[FieldError("before", "This is not a valid cursor for this list.")]) from None


def _event(document: Document) -> AuditEvent:
    return AuditEvent(
        kind=document["kind"],
        at=document["at"],
        user_id=document["userId"],
        session_id=document["sessionId"],
        ip=document["ip"],
        user_agent=document["userAgent"],
        details=document["details"],
        event_id=str(document["_id"]),
    )
