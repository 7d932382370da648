"""Pending revocations: sessions to be ended by an account change, stored in the account's document until they
are.

The change and the pending revocation are written in one update. An account has at most one: a later one
includes the sessions of an earlier one, and keeps a session only if both do.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from auth.core.models import RevocationReason, SessionsToEnd
from auth.stores.actors import actor_document, actor_of
from auth.stores.mongo import Database, Document, outage_is_unavailable

# The node that made the change ends the sessions immediately. After this time it is assumed to have died.
SETTLED = timedelta(seconds=5)

# The fields of an update stage that increment `User.credentials_version`.
NEW_CREDENTIALS: Document = {"credentialsVersion": {"$add": [{"$ifNull": ["$credentialsVersion", 0]}, 1]}}


@dataclass(frozen=True, slots=True)
class PendingRevocation:
    """A user's sessions that are to be ended and have not been."""

    user_id: str
    ending: SessionsToEnd


class PendingRevocationStore:
    """The collection `users`, for finishing pending revocations."""

    def __init__(self, database: Database) -> None:
        self._users = database["users"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the index over accounts with a pending revocation."""
        await self._users.create_index(
            "endsSessions.dueAt",
            partialFilterExpression={"endsSessions.dueAt": {"$exists": True}},
            name="ends_sessions",
        )

    @outage_is_unavailable
    async def begin(self, user_id: str, ending: SessionsToEnd) -> None:
        """Record that these sessions will be ended because new credentials are about to take effect."""
        await self._users.update_one({"_id": user_id}, [{"$set": ends_sessions(ending) | NEW_CREDENTIALS}])

    @outage_is_unavailable
    async def done(self, user_id: str, ending: SessionsToEnd) -> None:
        """Remove a pending revocation that was completed or cancelled; a later one stays."""
        await self._users.update_one(
            {"_id": user_id, "endsSessions.id": ending.ending_id}, {"$unset": {"endsSessions": ""}}
        )

    @outage_is_unavailable
    async def claim(self, *, now: datetime, until: datetime) -> PendingRevocation | None:
        """Claim an overdue pending revocation until `until`; None if there is none."""
        before = await self._users.find_one_and_update(
            {"endsSessions.dueAt": {"$lte": now}}, {"$set": {"endsSessions.dueAt": until}}
        )
        ending = read_ending(before) if before else None
        return PendingRevocation(before["_id"], ending) if before and ending else None


def ends_sessions(ending: SessionsToEnd) -> Document:
    """The fields of an update stage that add a pending revocation to a change."""
    nothing_else = {"$eq": [{"$type": "$endsSessions"}, "missing"]}
    same = {"$eq": ["$endsSessions.keep", ending.keep]}
    keep = {"$cond": [{"$or": [nothing_else, same]}, ending.keep, None]}
    return {
        "endsSessions": {
            "id": ending.ending_id,
            "at": ending.at,
            "reason": ending.reason.value,
            "by": actor_document(ending.by),
            "keep": keep,
            "dueAt": ending.at + SETTLED,
        }
    }


def read_ending(document: Document) -> SessionsToEnd | None:
    """The pending revocation in an account's document, if any."""
    kept = document.get("endsSessions")
    if kept is None:
        return None
    reason, by = RevocationReason(kept["reason"]), actor_of(kept["by"])
    return SessionsToEnd(kept["id"], kept["at"], reason, by, kept["keep"])
