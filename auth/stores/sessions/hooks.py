"""Failed application hooks of a session, stored in the session and retried later."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import ReturnDocument

from auth.core.models import Session
from auth.stores.mongo import Database, outage_is_unavailable
from auth.stores.sessions.documents import found, session_of


class SessionHookStore:
    """The collection `sessions`, for failed hooks. They are removed with the session."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the index if missing."""
        await self._sessions.create_index("hooksDueAt", partialFilterExpression={"hooksDueAt": {"$exists": True}})

    @outage_is_unavailable
    async def add(self, session_id: str, hooks: Sequence[str], *, user_id: str, at: datetime) -> None:
        """Record failed hooks, to be retried at `at`."""
        await self._sessions.update_one(
            found(session_id, user_id),
            {"$addToSet": {"hooksDue": {"$each": list(hooks)}}, "$set": {"hooksDueAt": at, "hooksTried": 0}},
        )

    @outage_is_unavailable
    async def claim(self, *, now: datetime, until: datetime) -> tuple[Session, frozenset[str], int] | None:
        """Claim a session with due hooks until `until`; return it with its hooks and the number of claims.

        One conditional update: of concurrent nodes, one gets it.
        """
        document = await self._sessions.find_one_and_update(
            {"hooksDueAt": {"$lte": now}},
            {"$set": {"hooksDueAt": until}, "$inc": {"hooksTried": 1}},
            sort=[("hooksDueAt", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return (
            (session_of(document), frozenset(document["hooksDue"]), document["hooksTried"]) if document else None
        )

    @outage_is_unavailable
    async def settle(self, session_id: str, done: Sequence[str], *, user_id: str, again_at: datetime) -> None:
        """Remove completed hooks; the others, including hooks added meanwhile, are due `again_at`."""
        await self._sessions.update_one(
            found(session_id, user_id),
            [
                {"$set": {"hooksDue": {"$setDifference": ["$hooksDue", list(done)]}}},
                {"$set": {"hooksDueAt": {"$cond": [{"$eq": ["$hooksDue", []]}, "$$REMOVE", again_at]}}},
            ],
        )
