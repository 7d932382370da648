"""The roles that sessions carry into their tokens, and the news of a change that the bus must get.

The truth about a user's roles is in the collection `users`; what stands here follows it. Each change has a
version, and an earlier one never overwrites a later one, in whatever order two of them arrive.
"""

from collections.abc import Sequence
from datetime import datetime

from auth.models import HeldRoles
from auth.stores.mongo import Database, Document, outage_is_unavailable


class SessionRoles:
    """The collection `sessions`, as a change of roles looks at it."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def set_for_user(self, user_id: str, held: HeldRoles, *, now: datetime) -> None:
        """Give the user's live sessions these roles, for every access token minted from now on.

        Each is marked in the same update: a change that did not reach the bus is told when it is back.
        """
        await self._sessions.update_many(
            {"userId": user_id, "revokedAt": None, "expiresAt": {"$gt": now}, **_before(held)},
            {
                "$set": {"roles": list(held.roles), "rolesVersion": held.version, "unpublishedSince": now},
                "$addToSet": {"unpublished": mark_of(held.version)},
            },
        )

    @outage_is_unavailable
    async def set_for_session(self, session_id: str, held: HeldRoles) -> None:
        """Give one new session the roles that its user got while it was being begun."""
        await self._sessions.update_one(
            {"_id": session_id, **_before(held)},
            {"$set": {"roles": list(held.roles), "rolesVersion": held.version}},
        )

    @outage_is_unavailable
    async def mark_published(self, user_id: str, version: int) -> None:
        """Take the marks of one change off, once the bus has it."""
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
    async def changed_among(self, session_ids: Sequence[str]) -> dict[str, HeldRoles]:
        """The roles of those sessions whose users ever got others: what a node that cannot hear the bus asks."""
        cursor = self._sessions.find(
            {"_id": {"$in": list(session_ids)}, "rolesVersion": {"$gt": 0}}, {"roles": 1, "rolesVersion": 1}
        )
        found = await cursor.to_list(len(session_ids) or 1)
        return {each["_id"]: HeldRoles(tuple(each["roles"]), each["rolesVersion"]) for each in found}


def mark_of(version: int) -> str:
    """The mark of a change in `unpublished`; `relay` reads it back."""
    return f"roles:{version}"


def _before(held: HeldRoles) -> Document:
    return {"rolesVersion": {"$not": {"$gte": held.version}}}
