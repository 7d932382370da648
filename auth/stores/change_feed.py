"""The source of facts: what MongoDB's own log (a change stream) says about sessions, devices and accounts.

The acts that cause facts write nothing for them: a change stream shows each committed write, in one order, from
any position that MongoDB's log still has. A majority has each of these writes, so none is taken back.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure, PyMongoError

from auth.core.clock import iso
from auth.core.errors import Unavailable
from auth.core.facts import FactType, NewFact
from auth.stores.mongo import Database, Document, is_outage, opened, outage_is_unavailable

# ChangeStreamHistoryLost and ChangeStreamFatalError: MongoDB's log does not have the position any more.
LOST_CODES = frozenset({280, 286})
# How long one question waits for the next change. Below the time limit of an operation (auth/stores/mongo.py).
AWAIT_MS = 1000
BATCH = 500
# Of the reads of sessions, in MongoDB's log of slow operations and its profiler.
COMMENT = "facts"
SESSION_FIELDS = ("revokedAt", "expiredAt", "ip", "location", "device", "alerts")
USER_FIELDS = {
    "email": "email",
    "name": "name",
    "username": "username",
    "phoneNumber": "phoneNumber",
    "metadata": "metadata",
    "privateMetadata": "privateMetadata",
    "deletionAt": "deletionAt",
}
OF_USERS = ("emailVerifiedAt", "roles", "lockedAt", *USER_FIELDS)


class PositionLost(Exception):
    """MongoDB's log does not reach back to the position: changes are missing."""


@dataclass(frozen=True, slots=True)
class FeedStart:
    """Where the feed begins: after a position, else at a time of MongoDB's log."""

    position: str | None
    time: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A write, and the position after it."""

    position: str
    document: Mapping[str, Any] = field(repr=False)

    @property
    def collection(self) -> str:
        """The collection that was written."""
        return str(self.document["ns"]["coll"])

    @property
    def key(self) -> str:
        """The id of the document that was written."""
        return str(self.document["documentKey"]["_id"])

    @property
    def kind(self) -> str:
        """`insert`, `update` or `delete`."""
        return str(self.document["operationType"])

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields that an update changed; those of subdocuments by their path."""
        described: Mapping[str, Any] = self.document.get("updateDescription") or {}
        removed = dict.fromkeys(described.get("removedFields") or ())
        return removed | dict(described.get("updatedFields") or {})

    def has(self, name: str) -> bool:
        """Whether an update changed the field or a part of it."""
        return any(each == name or each.startswith(f"{name}.") for each in self.fields)


class ChangeFeed:
    """The changes of one database that may be facts, in the order in which they were committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stream: Any = None

    @outage_is_unavailable
    async def open(self, start: FeedStart) -> None:
        """Begin after a position. Raises `PositionLost` or `Unavailable`."""
        await self.close()
        if start.position is not None:
            begin: Document = {"resume_after": {"_data": start.position}}
        else:
            begin = {} if start.time is None else {"start_at_operation_time": start.time}
        with _mapped_errors():
            stream = self._database.watch(PIPELINE, max_await_time_ms=AWAIT_MS, batch_size=BATCH, **begin)
            self._stream = await opened(stream)

    @outage_is_unavailable
    async def next(self) -> Change | None:
        """The next change; None if there was none for a second. Raises `PositionLost` or `Unavailable`."""
        with _mapped_errors():
            document = await self._stream.try_next()
        if document is None:
            if not self._stream.alive:
                raise Unavailable
            return None
        return Change(document["_id"]["_data"], document)

    @property
    def position(self) -> str | None:
        """The position after the changes returned so far, and after those that are no facts."""
        token = None if self._stream is None else self._stream.resume_token
        return None if token is None else str(token["_data"])

    @outage_is_unavailable
    async def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with contextlib.suppress(PyMongoError):
                await stream.close()


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except StopAsyncIteration:
        raise Unavailable from None
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and error.code in LOST_CODES:
            raise PositionLost from error
        if is_outage(error):
            raise Unavailable from error
        raise


def _first_segments(path: str) -> Document:
    pairs = {"$objectToArray": {"$ifNull": [path, {}]}}
    return {"$map": {"input": pairs, "in": {"$arrayElemAt": [{"$split": ["$$this.k", "."]}, 0]}}}


def _changes(collection: str, fields: Iterable[str]) -> Document:
    """The updates of a collection that change one of these fields, or a part of it."""
    changed = {"$setIntersection": [_first_segments("$updateDescription.updatedFields"), list(fields)]}
    return {
        "ns.coll": collection,
        "operationType": "update",
        "$or": [
            {"$expr": {"$gt": [{"$size": changed}, 0]}},
            {"updateDescription.removedFields": {"$in": list(fields)}},
        ],
    }


# MongoDB filters, so that rotations and confirmations of sessions, which are most writes, are not sent here.
PIPELINE: list[Document] = [
    {
        "$match": {
            "$or": [
                {"ns.coll": {"$in": ["sessions", "users", "device_presence"]}, "operationType": "insert"},
                {"ns.coll": "users", "operationType": "delete"},
                _changes("sessions", SESSION_FIELDS),
                _changes("users", OF_USERS),
                _changes("device_presence", ["online"]),
            ]
        }
    }
]


class SessionsOfChanges:
    """The sessions that changes are about, read together."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def of(self, changes: Iterable[Change]) -> dict[str, Document]:
        """The documents, by id, of sessions that were updated; those erased meanwhile are missing."""
        # By the whole key: if the collection is sharded, MongoDB adds the shard key, the user.
        updates = (each for each in changes if each.collection == "sessions" and each.kind == "update")
        keys = {each.key: each.document["documentKey"] for each in updates}
        if not keys:
            return {}
        shown = dict.fromkeys(("userId", "device", "ip", "location"), 1)
        found = self._sessions.find({"$or": list(keys.values())}, shown, comment=COMMENT)
        return {document["_id"]: document for document in await found.to_list(len(keys))}


def fact_of(change: Change, sessions: Mapping[str, Document]) -> NewFact | None:
    """The fact that a change is, or None."""
    match change.collection, change.kind:
        case "sessions", "insert":
            return _session_created(change.document["fullDocument"])
        case "sessions", _:
            return _session_change(change, sessions.get(change.key))
        case "device_presence", _:
            return _presence(change)
        case "users", "insert":
            document = change.document["fullDocument"]
            return NewFact(
                FactType.USER_CREATED,
                document["createdAt"],
                change.key,
                data={"verified": document["emailVerifiedAt"] is not None, "roles": document["roles"]},
            )
        case "users", "delete":
            return NewFact(FactType.USER_DELETED, _time(change), change.key)
        case _:
            return _user_change(change)


def _session_created(document: Document) -> NewFact:
    data = _place(document) | {"amr": document["amr"], "expiresAt": iso(document["expiresAt"])}
    return NewFact(FactType.SESSION_CREATED, document["loggedInAt"], document["userId"], document["_id"], data)


def _session_change(change: Change, document: Document | None) -> NewFact | None:
    fields = change.fields
    # A session that ended names its user itself: the account may be erased by the time this is read.
    user_id = fields.get("endedOf") or (document["userId"] if document else None)
    if user_id is None:
        return None
    ended_at = fields.get("revokedAt") or fields.get("expiredAt")
    if ended_at is not None:
        by = fields.get("revokedBy") or {"kind": "system", "sessionId": None}
        named = {name: by[name] for name in ("kind", "sessionId", "act") if by.get(name) is not None}
        data = {"reason": fields.get("revokedReason", "expired"), "by": named}
        return NewFact(FactType.SESSION_ENDED, ended_at, user_id, change.key, data)
    alerts = _alerts(fields)
    if alerts:
        at = max(alerts.values())
        return NewFact(FactType.ALERT_RAISED, at, user_id, change.key, {"alerts": sorted(alerts)})
    if document is None or not any(change.has(name) for name in ("ip", "location", "device")):
        return None  # alerts that were answered
    return NewFact(FactType.SESSION_UPDATED, _time(change), user_id, change.key, _place(document))


def _alerts(fields: Mapping[str, Any]) -> dict[str, datetime]:
    found = dict(fields.get("alerts") or {})
    found |= {name.removeprefix("alerts."): at for name, at in fields.items() if name.startswith("alerts.")}
    return {kind: at for kind, at in found.items() if isinstance(at, datetime)}


def _place(document: Document) -> dict[str, Any]:
    location = document["location"] or {}
    return {
        "device": {name: document["device"].get(name) for name in ("name", "browser", "os", "kind")},
        "ip": document["ip"],
        "location": {name: location.get(name) for name in ("city", "country")} if location else None,
    }


def _presence(change: Change) -> NewFact:
    user_id, _, session_id = change.key.partition("|")
    fields = change.document["fullDocument"] if change.kind == "insert" else change.fields
    kind = FactType.PRESENCE_ONLINE if fields["online"] else FactType.PRESENCE_OFFLINE
    return NewFact(kind, fields.get("at") or _time(change), user_id, session_id)


def _user_change(change: Change) -> NewFact | None:
    fields, at = change.fields, _time(change)
    if "erasingUntil" in fields:
        return None  # `user.deleted` follows
    changed = sorted({shown for name, shown in USER_FIELDS.items() if change.has(name)})
    data: dict[str, Any] = {"changed": changed} if changed else {}
    if isinstance(fields.get("lockedAt"), datetime):
        return NewFact(FactType.USER_LOCKED, fields["lockedAt"], change.key, data=data)
    if isinstance(fields.get("emailVerifiedAt"), datetime):
        return NewFact(FactType.USER_VERIFIED, fields["emailVerifiedAt"], change.key, data=data)
    if change.has("roles"):
        return NewFact(FactType.USER_ROLES, at, change.key, data=data | {"version": fields.get("rolesVersion", 0)})
    if "lockedAt" in fields:
        return NewFact(FactType.USER_UNLOCKED, at, change.key, data=data)
    return NewFact(FactType.USER_CHANGED, at, change.key, data=data) if changed else None


def _time(change: Change) -> datetime:
    """When a write was made, to the second: for writes that do not say it themselves."""
    time: Timestamp = change.document["clusterTime"]
    return datetime.fromtimestamp(time.time, UTC)
