"""Places: enforce the limit on a user's live sessions under concurrent logins on any nodes.

With a limit, each session takes one of that many numbered places. A unique index over (user, place) guarantees
that a place belongs to one session. Ending a session frees its place in the same update.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from auth.stores.mongo import Database, outage_is_unavailable
from auth.stores.sessions.documents import found, live_at

# Clock difference tolerated between nodes: until then another node may still rotate an expired session.
CLOCK_TOLERANCE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class LiveLogin:
    """A live session of a user, and its place if any."""

    session_id: str
    logged_in_at: datetime
    place: int | None


class SessionPlaces:
    """The collection `sessions`, for the session limit."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the unique index; sessions without a place are not in it."""
        await self._sessions.create_index(
            [("userId", 1), ("place", 1)],
            unique=True,
            partialFilterExpression={"place": {"$type": "int"}},
            name="place",
        )

    @outage_is_unavailable
    async def live(self, user_id: str, *, now: datetime) -> list[LiveLogin]:
        """All live sessions of the user, latest login first, in the same order on every node."""
        cursor = self._sessions.find({"userId": user_id, **live_at(now)}, {"loggedInAt": 1, "place": 1})
        return [
            LiveLogin(found["_id"], found["loggedInAt"], found.get("place"))
            async for found in cursor.sort([("loggedInAt", -1), ("_id", -1)])
        ]

    @outage_is_unavailable
    async def leave_expired(self, user_id: str, *, now: datetime) -> None:
        """Free the places of the user's expired sessions whose end has not been announced yet."""
        await self._sessions.update_many(
            {"userId": user_id, "place": {"$type": "int"}, "expiresAt": {"$lte": now - CLOCK_TOLERANCE}},
            {"$unset": {"place": ""}},
        )

    @outage_is_unavailable
    async def withdraw(self, session_id: str, *, user_id: str) -> None:
        """Delete a session that was just created and not announced.

        If it has been ended meanwhile, it is kept, but its creation is not announced.
        """
        which = found(session_id, user_id)
        gone = await self._sessions.delete_one({**which, "revokedAt": None})
        if not gone.deleted_count:
            await self._sessions.update_one(which, {"$pull": {"unpublished": "created"}})
