"""Changes of an account's address, stored in the account's document until both mailboxes have confirmed."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from auth.core.models import User
from auth.stores.mongo import Database, outage_is_unavailable
from auth.stores.users.store import EmailTaken, read_user


@dataclass(frozen=True, slots=True)
class EmailConfirmed:
    """A user who confirmed a change of address. `is_made`: the change is complete; `newly`: by this call."""

    user: User
    is_made: bool
    newly: bool = False
    old_email: str = ""


class EmailChanges:
    """The collection `users`, for changes of address. An account has one at a time."""

    def __init__(self, database: Database) -> None:
        self._users = database["users"]

    @outage_is_unavailable
    async def begin(self, user_id: str, *, email: str, now: datetime, expires_at: datetime) -> str:
        """Start a change of address to `email`, replacing any earlier one; return the change's id."""
        change_id = secrets.token_hex(8)
        change = {"id": change_id, "email": email, "expiresAt": expires_at, "old": False, "new": False}
        await self._users.update_one({"_id": user_id}, {"$set": {"emailChange": change | {"askedAt": now}}})
        return change_id

    @outage_is_unavailable
    async def cancel(self, user_id: str, *, now: datetime) -> bool:
        """Remove the change; return whether it could still be confirmed."""
        before = await self._users.find_one_and_update(
            {"_id": user_id, "emailChange": {"$ne": None}}, {"$unset": {"emailChange": ""}}
        )
        return before is not None and bool(before["emailChange"]["expiresAt"] > now)

    @outage_is_unavailable
    async def confirm(self, user_id: str, *, change_id: str, new: bool, now: datetime) -> EmailConfirmed | None:
        """Record the confirmation of one mailbox (`new`: the new one); the second confirmation completes the
        change.

        None if the change has expired or was replaced. Guarantee: under concurrency the change is made once,
        and `newly` is true for one caller. If a caller was interrupted in between, another confirmation
        completes the change. Raises `EmailTaken` if another account has the address by now.
        """
        waiting = {"_id": user_id, "emailChange.id": change_id, "emailChange.expiresAt": {"$gt": now}}
        side = "emailChange.new" if new else "emailChange.old"
        noted = await self._users.find_one_and_update(
            waiting, {"$set": {side: True}}, return_document=ReturnDocument.AFTER
        )
        if noted is None:
            made = await self._users.find_one({"_id": user_id, "emailChangedBy": change_id})
            return None if made is None else EmailConfirmed(read_user(made), is_made=True)
        if not (noted["emailChange"]["old"] and noted["emailChange"]["new"]):
            return EmailConfirmed(read_user(noted), is_made=False)
        email = noted["emailChange"]["email"]
        fields = {
            "email": email,
            "emailKey": email.casefold(),
            "emailVerifiedAt": now,
            "emailChangedBy": change_id,
        }
        try:
            after = await self._users.find_one_and_update(
                waiting | {"emailChange.old": True, "emailChange.new": True},
                {"$set": fields, "$unset": {"emailChange": ""}},
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            raise EmailTaken from None
        if after is None:
            # Another caller has completed it in between.
            return EmailConfirmed(replace(read_user(noted), email=email), is_made=True)
        return EmailConfirmed(read_user(after), is_made=True, newly=True, old_email=noted["email"])
