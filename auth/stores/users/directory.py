"""Accounts, for administrators: search, roles, locks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import DESCENDING, ReturnDocument

from auth.core.models import ADMIN, SessionsToEnd, User
from auth.core.paging import Cursor, Page
from auth.core.text import email_key
from auth.stores.mongo import Database, Document, outage_is_unavailable
from auth.stores.users.pending_revocations import SETTLED, ends_sessions
from auth.stores.users.store import name_words, read_user

MAX_QUERY_WORDS = 5
LAST_CHARACTER = "\U0010ffff"
LOCKED: Document = {"$type": "date"}
# Newest first; accounts with the same time are ordered by id.
NEWEST_FIRST = [("createdAt", DESCENDING), ("_id", DESCENDING)]


class Directory:
    """The collection `users`, for administrators."""

    def __init__(self, database: Database) -> None:
        self._users = database["users"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes for searches; those of address and username are in auth/stores/users/store.py."""
        await self._users.create_index(NEWEST_FIRST, name="newest")
        await self._users.create_index([("roles", 1), *NEWEST_FIRST], name="roles")
        await self._users.create_index(
            [("lockedAt", 1), *NEWEST_FIRST], partialFilterExpression={"lockedAt": LOCKED}, name="locked"
        )
        await self._users.create_index(
            "rolesDueAt", partialFilterExpression={"rolesDueAt": {"$type": "date"}}, name="roles_due"
        )
        await self._users.create_index(
            "nameWords", partialFilterExpression={"nameWords": {"$type": "string"}}, name="name_words"
        )
        # Finds the accounts for their migration (auth/stores/schema.py) without a scan; empty afterwards.
        await self._users.create_index(
            "nameKey", partialFilterExpression={"nameKey": {"$type": "string"}}, name="name"
        )

    @outage_is_unavailable
    async def search(
        self, *, query: str, role: str | None, locked: bool | None, before: Cursor | None, limit: int
    ) -> Page[User]:
        """Accounts whose address or username begins with `query`, or whose name has words that begin with its
        words, ignoring case; newest first.
        """
        wanted: list[Document] = []
        if query:
            wanted.append(_matches(query))
        if role is not None:
            wanted.append({"roles": role})
        if locked is not None:
            wanted.append({"lockedAt": LOCKED if locked else None})
        if before is not None:
            wanted.append(_after(before))
        found = self._users.find({"$and": wanted} if wanted else {}, sort=NEWEST_FIRST, limit=limit + 1)
        users = [read_user(document) for document in await found.to_list(limit + 1)]
        last = users[limit - 1] if len(users) > limit else None
        return Page(tuple(users[:limit]), Cursor(last.created_at, last.user_id) if last else None)

    @outage_is_unavailable
    async def set_roles(self, user_id: str, roles: Sequence[str], *, after: int, now: datetime) -> User | None:
        """Replace an account's roles, if their version is still `after`.

        None if there is no such account, or another change came first, which is not overwritten. Guarantee:
        until `roles_in_force` is called, `claim_roles` finds the change.
        """
        # An account whose roles never changed may have no version.
        version: Any = after or {"$in": [0, None]}
        return await self._change(
            {"_id": user_id, "rolesVersion": version},
            {"$set": {"roles": list(roles), "rolesDueAt": now + SETTLED}, "$inc": {"rolesVersion": 1}},
        )

    @outage_is_unavailable
    async def grant_role(self, email: str, role: str, *, now: datetime) -> User | None:
        """Add `role` to the account of `email`, if missing; None if there is no such account. Otherwise like
        `set_roles`.
        """
        key = email_key(email)
        if key is None:
            return None
        return await self._change(
            {"emailKey": key},
            {
                "$addToSet": {"roles": role},
                "$set": {"rolesDueAt": now + SETTLED},
                "$inc": {"rolesVersion": 1},
            },
        )

    @outage_is_unavailable
    async def roles_in_force(self, user_id: str, version: int) -> None:
        """Record that the account's sessions and sockets have the roles of `version`; a no-op after a later
        change.
        """
        await self._users.update_one({"_id": user_id, "rolesVersion": version}, {"$unset": {"rolesDueAt": ""}})

    @outage_is_unavailable
    async def claim_roles(self, *, now: datetime, until: datetime) -> User | None:
        """Claim, until `until`, an account whose role change has not been applied to its sessions; None if
        there is none.
        """
        return await self._change({"rolesDueAt": {"$lte": now}}, {"$set": {"rolesDueAt": until}})

    @outage_is_unavailable
    async def lock(self, user_id: str, *, ends: SessionsToEnd, now: datetime) -> User | None:
        """Lock an account as of `now`, keeping the time of an earlier lock; None if there is no such account.

        Guarantee: this update also schedules the end of the sessions that `ends` describes.
        """
        locked = {"lockedAt": {"$ifNull": ["$lockedAt", now]}}
        return await self._change({"_id": user_id}, [{"$set": locked | ends_sessions(ends)}])

    @outage_is_unavailable
    async def unlock(self, user_id: str) -> User | None:
        """Unlock an account, even if not locked; None if there is no such account."""
        return await self._change({"_id": user_id}, {"$set": {"lockedAt": None}})

    @outage_is_unavailable
    async def has_administrator(self) -> bool:
        """Whether there is an admin who is neither locked nor scheduled for deletion."""
        staying = {"roles": ADMIN, "lockedAt": None, "deletionAt": None}
        return await self._users.find_one(staying, {"_id": 1}) is not None

    async def _change(self, found: Document, change: Any) -> User | None:
        document = await self._users.find_one_and_update(found, change, return_document=ReturnDocument.AFTER)
        return read_user(document) if document else None


def _matches(query: str) -> Document:
    """The accounts found by a query. Ranges, so that the input is never interpreted as a regular expression."""
    key = query.casefold()
    # The partial indexes are used only if the query names their type.
    keys: list[Document] = [{name: _begins(key)} for name in ("emailKey", "usernameKey")]
    words = name_words(query)[:MAX_QUERY_WORDS]
    if words:
        named = [{"nameWords": {"$type": "string", "$elemMatch": _begins(word)}} for word in words]
        keys.append({"$and": named})
    return {"$or": keys}


def _begins(key: str) -> Document:
    return {"$gte": key, "$lt": key + LAST_CHARACTER, "$type": "string"}


def _after(cursor: Cursor) -> Document:
    return {
        "$or": [{"createdAt": {"$lt": cursor.at}}, {"createdAt": cursor.at, "_id": {"$lt": cursor.row_id}}],
    }
