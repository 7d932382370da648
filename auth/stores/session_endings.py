"""Which sessions are to end for a change of their account, kept in the account's own document until they have.

The change and the wish to end them are one update. An account has at most one such wish: a later one takes in what
an earlier one left, and keeps a session only where both do.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from auth.models import Actor, RevocationReason, SessionsToEnd
from auth.stores.mongo import Database, Document, outage_is_unavailable

# Whoever made the change ends the sessions at once; after this it must be supposed that they died.
SETTLED = timedelta(seconds=5)

# The stage of an update that counts a change of what proves who the user is (`User.credentials_version`).
NEW_CREDENTIALS: Document = {"credentialsVersion": {"$add": [{"$ifNull": ["$credentialsVersion", 0]}, 1]}}


@dataclass(frozen=True, slots=True)
class DueEnding:
    """Sessions of a user that nobody has ended though they are to be."""

    user_id: str
    ending: SessionsToEnd


class SessionEndings:
    """The collection `users`, as whoever finishes such a change looks at it."""

    def __init__(self, database: Database) -> None:
        self._users = database["users"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Make the index over the accounts with sessions to end."""
        await self._users.create_index(
            "endsSessions.dueAt",
            partialFilterExpression={"endsSessions.dueAt": {"$exists": True}},
            name="ends_sessions",
        )

    @outage_is_unavailable
    async def begin(self, user_id: str, ending: SessionsToEnd) -> None:
        """Write down that these sessions end for new credentials, which are about to be put in force."""
        await self._users.update_one({"_id": user_id}, [{"$set": ends_sessions(ending) | NEW_CREDENTIALS}])

    @outage_is_unavailable
    async def done(self, user_id: str, ending: SessionsToEnd) -> None:
        """Note that they have been ended, or are not to be; a later ending stays."""
        await self._users.update_one(
            {"_id": user_id, "endsSessions.id": ending.ending_id}, {"$unset": {"endsSessions": ""}}
        )

    @outage_is_unavailable
    async def claim(self, *, now: datetime, until: datetime) -> DueEnding | None:
        """Claim, until `until`, what nobody ended though it is to be; None when there is nothing."""
        before = await self._users.find_one_and_update(
            {"endsSessions.dueAt": {"$lte": now}}, {"$set": {"endsSessions.dueAt": until}}
        )
        ending = read_ending(before) if before else None
        return DueEnding(before["_id"], ending) if before and ending else None


def ends_sessions(ending: SessionsToEnd) -> Document:
    """What the stage of an update that makes the change sets besides."""
    nothing_else = {"$eq": [{"$type": "$endsSessions"}, "missing"]}
    same = {"$eq": ["$endsSessions.keep", ending.keep]}
    keep = {"$cond": [{"$or": [nothing_else, same]}, ending.keep, None]}
    by = {"kind": ending.by.kind, "sessionId": ending.by.session_id}
    return {
        "endsSessions": {
            "id": ending.ending_id,
            "at": ending.at,
            "reason": ending.reason.value,
            "by": by,
            "keep": keep,
            "dueAt": ending.at + SETTLED,
        }
    }


def read_ending(document: Document) -> SessionsToEnd | None:
    """The ending that an account's document names, if any."""
    kept = document.get("endsSessions")
    if kept is None:
        return None
    by = Actor(kept["by"]["kind"], kept["by"]["sessionId"])
    return SessionsToEnd(kept["id"], kept["at"], RevocationReason(kept["reason"]), by, kept["keep"])
