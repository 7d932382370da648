"""Places: how a limit on a user's live sessions holds under any number of logins at once, on any node.

A session of an account with a limit takes one of so many numbered places. A unique index over (user, place) is
the judge: MongoDB lets one session have it. Ending a session leaves its place, in the same update.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from auth.stores.mongo import Database, outage_is_unavailable

# Expired on this node's clock, and surely on those of the others, which may still rotate until then.
CLOCKS_APART = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class LiveLogin:
    """A live session of a user, and its place if it has one."""

    session_id: str
    logged_in_at: datetime
    place: int | None


class SessionPlaces:
    """The collection `sessions`, as a limit looks at it."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Make the index that decides; sessions without a place are not in it."""
        await self._sessions.create_index(
            [("userId", 1), ("place", 1)],
            unique=True,
            partialFilterExpression={"place": {"$type": "int"}},
            name="place",
        )

    @outage_is_unavailable
    async def live(self, user_id: str, *, now: datetime) -> list[LiveLogin]:
        """Every live session of the user, the latest login first; the same order on every node."""
        cursor = self._sessions.find(
            {"userId": user_id, "revokedAt": None, "expiresAt": {"$gt": now}}, {"loggedInAt": 1, "place": 1}
        )
        return [
            LiveLogin(found["_id"], found["loggedInAt"], found.get("place"))
            async for found in cursor.sort([("loggedInAt", -1), ("_id", -1)])
        ]

    @outage_is_unavailable
    async def leave_expired(self, user_id: str, *, now: datetime) -> None:
        """Take the places of the user's expired sessions away, whose end nobody has come to tell yet."""
        await self._sessions.update_many(
            {"userId": user_id, "place": {"$type": "int"}, "expiresAt": {"$lte": now - CLOCKS_APART}},
            {"$unset": {"place": ""}},
        )

    @outage_is_unavailable
    async def withdraw(self, session_id: str) -> None:
        """Take back a session that was begun a moment ago, and that nobody was told of.

        One that somebody has ended meanwhile stays, as an ended one whose beginning is not to be told.
        """
        gone = await self._sessions.delete_one({"_id": session_id, "revokedAt": None})
        if not gone.deleted_count:
            await self._sessions.update_one({"_id": session_id}, {"$pull": {"unpublished": "created"}})
