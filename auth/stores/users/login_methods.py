"""Pending removals of login methods, stored in the account's document and serialised by a version."""

from pymongo import ReturnDocument

from auth.core.models import User
from auth.stores.mongo import Database, Document, outage_is_unavailable
from auth.stores.users.store import read_user


class AccountLoginMethods:
    """The collection `users`, for removals of login methods.

    Each update requires the version that was read with the account: of concurrent callers one succeeds.
    """

    def __init__(self, database: Database) -> None:
        self._users = database["users"]

    @outage_is_unavailable
    async def remove_phone(self, user_id: str, number: str, *, after: int) -> User | None:
        """Remove this phone number; None if the account no longer has it, or another change came first."""
        gone = {"$unset": {"phoneNumber": "", "phoneVerifiedAt": ""}}
        return await self._update_if_version({"_id": user_id, "phoneNumber": number}, gone, after)

    @outage_is_unavailable
    async def claim_method(self, user_id: str, way: str, *, after: int) -> User | None:
        """Mark a login method for removal; None if another change came first."""
        return await self._update_if_version({"_id": user_id}, {"$addToSet": {"waysThatGo": way}}, after)

    @outage_is_unavailable
    async def forget_method(self, user_id: str, way: str) -> None:
        """Remove the mark of a login method that has been removed."""
        await self._users.update_one({"_id": user_id}, {"$pull": {"waysThatGo": way}})

    async def _update_if_version(self, found: Document, change: Document, after: int) -> User | None:
        # An account that never removed a login method has no version.
        changed = await self._users.find_one_and_update(
            found | {"waysVersion": after or {"$in": [0, None]}},
            change | {"$inc": {"waysVersion": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return read_user(changed) if changed else None
