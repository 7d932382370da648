"""The roles that sessions put into their tokens, and marks for role changes to be published on the bus.

The collection `users` is the source of truth; these are copies. Each change has a version, and an earlier one
never overwrites a later one, in whatever order they arrive.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from auth.core.models import HeldRoles
from auth.stores.mongo import Database, Document, outage_is_unavailable
from auth.stores.sessions.documents import found, live_at


class SessionRoles:
    """The collection `sessions`, for role changes."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def set_for_user(self, user_id: str, held: HeldRoles, *, now: datetime) -> None:
        """Set the roles of the user's live sessions, for all access tokens issued from now on.

        The same update marks each session: a change that could not be published is published once the bus is
        back.
        """
        await self._sessions.update_many(
            {"userId": user_id, **live_at(now), **_before(held)},
            {
                "$set": {"roles": list(held.roles), "rolesVersion": held.version, "unpublishedSince": now},
                "$addToSet": {"unpublished": mark_of(held.version)},
            },
        )

    @outage_is_unavailable
    async def set_for_session(self, session_id: str, held: HeldRoles, *, user_id: str) -> None:
        """Set the roles of a new session, if they changed while it was being created."""
        await self._sessions.update_one(
            {**found(session_id, user_id), **_before(held)},
            {"$set": {"roles": list(held.roles), "rolesVersion": held.version}},
        )

    @outage_is_unavailable
    async def mark_published(self, user_id: str, version: int) -> None:
        """Remove the marks of a change that has been published."""
        mark = mark_of(version)
        await self._sessions.update_many(
            {"userId": user_id, "unpublished": mark},
            [
                {"$set": {"unpublished": {"$setDifference": ["$unpublished", [mark]]}}},
                {
                    "$set": {
                        "unpublishedSince": {
                            "$cond": [{"$eq": ["$unpublished", []]}, "$$REMOVE", "$unpublishedSince"]
                        }
                    }
                },
            ],
        )

    @outage_is_unavailable
    async def changed_among(
        self, session_ids: Sequence[str], *, user_ids: Collection[str]
    ) -> dict[str, HeldRoles]:
        """The roles of those sessions, of these users, whose roles ever changed: a fallback for nodes that do not
        receive the bus.
        """
        cursor = self._sessions.find(
            {"_id": {"$in": list(session_ids)}, "userId": {"$in": list(user_ids)}, "rolesVersion": {"$gt": 0}},
            {"roles": 1, "rolesVersion": 1},
        )
        changed = await cursor.to_list(len(session_ids) or 1)
        return {each["_id"]: HeldRoles(tuple(each["roles"]), each["rolesVersion"]) for each in changed}


def mark_of(version: int) -> str:
    """The mark of a change in `unpublished`, parsed by `relay`."""
    return f"roles:{version}"


def _before(held: HeldRoles) -> Document:
    return {"rolesVersion": {"$not": {"$gte": held.version}}}
