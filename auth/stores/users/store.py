"""Users: one document per account, unique by the key of its e-mail address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from auth.core.models import PendingEmail, SessionsToEnd, User
from auth.stores.batched_reads import BatchedReads
from auth.stores.mongo import Database, Document, outage_is_unavailable
from auth.stores.users.pending_revocations import NEW_CREDENTIALS, ends_sessions, read_ending


class EmailTaken(Exception):
    """Another account has this address."""


class UsernameTaken(Exception):
    """Another account has this username."""


class PhoneTaken(Exception):
    """Another account has this phone number."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A user whose address is verified; `newly`: by this call.

    If the account had another password before, `user.sessions_to_end` is set until those sessions have been
    ended.
    """

    user: User
    newly: bool


class Users:
    """The collection `users`. Large because updates of one document depend on each other."""

    def __init__(self, database: Database) -> None:
        self._users = database["users"]
        self._by_id = BatchedReads(self._read)

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes, including the unique ones."""
        await self._users.create_index("emailKey", unique=True, name="email")
        await self._users.create_index(
            "deletionAt", partialFilterExpression={"deletionAt": {"$type": "date"}}, name="deletion"
        )
        await self._users.create_index(
            "usernameKey",
            unique=True,
            partialFilterExpression={"usernameKey": {"$type": "string"}},
            name="username",
        )
        await self._users.create_index(
            "phoneNumber",
            unique=True,
            partialFilterExpression={"phoneNumber": {"$type": "string"}},
            name="phone",
        )

    @outage_is_unavailable
    async def create(self, user: User) -> None:
        """Add an account. Of concurrent calls for one address or username, one succeeds.

        Raises `EmailTaken` or `UsernameTaken`.
        """
        try:
            await self._users.insert_one(user_document(user))
        except DuplicateKeyError as error:
            raise _duplicate_error(error) from None

    @outage_is_unavailable
    async def by_id(self, user_id: str) -> User | None:
        """The user with this id."""
        return _user(await self._by_id.ask(user_id))

    async def _read(self, user_ids: Sequence[str]) -> dict[str, Document]:
        cursor = self._users.find({"_id": {"$in": user_ids}})
        return {document["_id"]: document for document in await cursor.to_list(len(user_ids))}

    @outage_is_unavailable
    async def by_email(self, key: str) -> User | None:
        """The user whose address has this key (`auth.core.text.email_key`)."""
        return _user(await self._users.find_one({"emailKey": key}))

    @outage_is_unavailable
    async def by_phone(self, number: str) -> User | None:
        """The user with this confirmed number, in E.164."""
        return _user(await self._users.find_one({"phoneNumber": _equals_string(number)}))

    @outage_is_unavailable
    async def bind_phone(self, user_id: str, number: str, *, now: datetime) -> User | None:
        """Set the account's confirmed number, replacing an earlier one; None if the account does not exist.

        Of concurrent accounts one gets the number. Raises `PhoneTaken` if another account has it.
        """
        change = {"phoneNumber": number, "phoneVerifiedAt": now}
        try:
            after = await self._users.find_one_and_update(
                {"_id": user_id}, {"$set": change}, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            raise PhoneTaken from None
        return _user(after)

    @outage_is_unavailable
    async def set_login_approval(self, user_id: str, allowed: bool) -> bool:
        """Set whether logins may be approved on another device; return whether that is a change."""
        before = await self._users.find_one_and_update(
            {"_id": user_id}, {"$set": {"loginApproval": allowed}}, return_document=ReturnDocument.BEFORE
        )
        return before is not None and before.get("loginApproval", True) != allowed

    @outage_is_unavailable
    async def has_username(self, username: str) -> bool:
        """Whether the username is taken, ignoring case."""
        key = _equals_string(username.casefold())
        return await self._users.find_one({"usernameKey": key}, {"_id": 1}) is not None

    @outage_is_unavailable
    async def note_registration(self, user_id: str, *, now: datetime) -> None:
        """Record that this account's address was registered again. Changes nothing else."""
        await self._users.update_one({"_id": user_id}, {"$set": {"registeredAgainAt": now}})

    @outage_is_unavailable
    async def mark_verified(
        self,
        user_id: str,
        *,
        key: str,
        registration_id: str,
        password_hash: str | None,
        name: str | None,
        username: str | None,
        ends: SessionsToEnd,
        now: datetime,
        anew: bool = False,
    ) -> Verified | None:
        """Verify the address and put the registration's password into effect.

        If the registration has a different password than the account, it also sets its names, ends the sessions
        of `ends` and cancels a scheduled deletion, since the account may have been a stranger's. So does a
        registration with `anew`, which matters if neither has a password. A username that was taken meanwhile
        is left out. Guarantee: one update, applied at most once per account. Repeating the call for the same
        registration changes nothing and returns `newly=False`; for another registration, or if the account's
        address is no longer `key`, the result is None.
        """
        verified: Document = {
            "emailVerifiedAt": now,
            "verifiedRegistration": registration_id,
        }
        theirs = verified | {"passwordHash": password_hash, **_name_fields(name)}
        new_password = NEW_CREDENTIALS | ends_sessions(ends) | {"deletionAt": "$$REMOVE"}
        same_password = {"passwordHash": password_hash}
        attempts: tuple[tuple[Document, Document], ...] = (
            (same_password | {"usernameKey": None}, _as_literals(verified | _username_fields(username))),
            (same_password, _as_literals(verified)),
            ({}, _as_literals(theirs | _username_fields(username)) | new_password),
            ({}, _as_literals(theirs | _username_fields(None)) | new_password),
        )
        for condition, change in attempts[2:] if anew else attempts:
            found = {"_id": user_id, "emailKey": key, "emailVerifiedAt": None} | condition
            try:
                after = await self._users.find_one_and_update(
                    found, [{"$set": change}], return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:
                continue
            if after is not None:
                return _verified(after, newly=True)
        again = await self._users.find_one(
            {"_id": user_id, "emailKey": key, "verifiedRegistration": registration_id}
        )
        return _verified(again, newly=False) if again else None

    @outage_is_unavailable
    async def was_verified_by(self, user_id: str, registration_id: str) -> bool:
        """Whether this registration's link verified the account's address."""
        found = {"_id": user_id, "verifiedRegistration": registration_id}
        return await self._users.find_one(found, {"_id": 1}) is not None

    @outage_is_unavailable
    async def set_password_hash(self, user_id: str, *, old_hash: str, new_hash: str) -> bool:
        """Replace the hash if it is still `old_hash`, so that a password changed meanwhile is kept."""
        done = await self._users.update_one(
            {"_id": user_id, "passwordHash": old_hash}, {"$set": {"passwordHash": new_hash}}
        )
        return bool(done.matched_count)

    @outage_is_unavailable
    async def replace_password(
        self,
        user_id: str,
        *,
        after: int,
        new_hash: str,
        ends: SessionsToEnd | None,
        now: datetime,
        verifies: str | None = None,
    ) -> User | None:
        """Set a new password, if the credentials version is still `after`.

        None if there is no such account, or the credentials changed meanwhile; those are kept.

        `ends`: the sessions that end with the old password. Guarantee: this update schedules their end,
        whatever happens to the caller (auth/sessions/endings.py).

        `verifies`: the key of an address whose ownership the caller has proved. The account must still have it,
        and it becomes verified. If it was not verified before, a scheduled deletion is cancelled, since it may
        have been a stranger's.
        """
        # An account whose credentials never changed may have no version.
        found: Document = {"_id": user_id, "credentialsVersion": after or {"$in": [0, None]}}
        change = _as_literals({"passwordHash": new_hash, "passwordChangedAt": now}) | NEW_CREDENTIALS
        if ends is not None:
            change |= ends_sessions(ends)
        if verifies is not None:
            found["emailKey"] = verifies
            change["emailVerifiedAt"] = {"$ifNull": ["$emailVerifiedAt", now]}
            was_verified = {"$gt": ["$emailVerifiedAt", None]}
            change["deletionAt"] = {"$cond": [was_verified, "$deletionAt", "$$REMOVE"]}
        changed = await self._users.find_one_and_update(
            found, [{"$set": change}], return_document=ReturnDocument.AFTER
        )
        return _user(changed)

    @outage_is_unavailable
    async def schedule_deletion(self, user_id: str, *, at: datetime, ends: SessionsToEnd) -> datetime | None:
        """Schedule the account's erasure at `at`, unless scheduled already; return the time, or None without an
        account.

        Guarantee: this update also schedules the end of the sessions that `ends` describes.
        """
        after = await self._users.find_one_and_update(
            {"_id": user_id},
            [{"$set": {"deletionAt": {"$ifNull": ["$deletionAt", at]}} | ends_sessions(ends)}],
            return_document=ReturnDocument.AFTER,
        )
        return after["deletionAt"] if after else None

    @outage_is_unavailable
    async def cancel_deletion(self, user_id: str) -> User | None:
        """Cancel the scheduled erasure, unless it has begun; return the user, or None if there is no such
        account.
        """
        after = await self._users.find_one_and_update(
            {"_id": user_id, "erasingUntil": None},
            {"$unset": {"deletionAt": ""}},
            return_document=ReturnDocument.AFTER,
        )
        return _user(after)

    @outage_is_unavailable
    async def claim_deletion(self, *, now: datetime, until: datetime) -> str | None:
        """Claim an account that is due for erasure until `until`; None if there is none.

        The same update locks it, so that nobody can log in to an account that is being erased.
        """
        claimed = await self._users.find_one_and_update(
            {
                "deletionAt": {"$lte": now, "$type": "date"},
                "$or": [{"erasingUntil": None}, {"erasingUntil": {"$lte": now}}],
            },
            {"$set": {"erasingUntil": until, "lockedAt": now}},
        )
        return claimed["_id"] if claimed else None

    @outage_is_unavailable
    async def erase(self, user_id: str) -> None:
        """Delete the document of a claimed account."""
        await self._users.delete_one({"_id": user_id, "erasingUntil": {"$ne": None}})

    @outage_is_unavailable
    async def update_profile(self, user_id: str, changes: Mapping[str, str | None]) -> User | None:
        """Set `name`, `username`, `metadata` and `privateMetadata`, those in `changes`, in one update.

        Returns the updated user.

        Raises `UsernameTaken`, having changed nothing.
        """
        if not changes:
            return _user(await self._users.find_one({"_id": user_id}))
        fields: Document = {key: changes[key] for key in ("metadata", "privateMetadata") if key in changes}
        if "name" in changes:
            fields |= _name_fields(changes["name"])
        if "username" in changes:
            fields |= _username_fields(changes["username"])
        try:
            after = await self._users.find_one_and_update(
                {"_id": user_id}, {"$set": fields}, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            raise UsernameTaken from None
        return _user(after)


def user_document(user: User) -> Document:
    """The document of a new account."""
    document: Document = {
        "_id": user.user_id,
        "email": user.email,
        "emailKey": user.email.casefold(),
        "emailVerifiedAt": user.email_verified_at,
        **_name_fields(user.name),
        **_username_fields(user.username),
        "roles": list(user.roles),
        "rolesVersion": user.roles_version,
        "passwordHash": user.password_hash,
        "createdAt": user.created_at,
        "metadata": user.metadata,
        "privateMetadata": user.private_metadata,
    }
    return document if user.locked_at is None else document | {"lockedAt": user.locked_at}


def name_words(name: str) -> list[str]:
    """The words of a name, or of a search for one, without case."""
    return name.casefold().split()


def _name_fields(name: str | None) -> Document:
    """The display name and its search keys: each of its words."""
    return {"name": name, "nameWords": name_words(name) if name else None}


def _username_fields(username: str | None) -> Document:
    return {"username": username, "usernameKey": username.casefold() if username else None}


def _as_literals(fields: Document) -> Document:
    """Wrap values in `$literal` for an update stage, so that user input is never evaluated as an expression."""
    return {name: {"$literal": value} for name, value in fields.items()}


def _equals_string(text: str) -> Document:
    """Equality with `text`, including the type, which MongoDB needs to use the partial index over strings."""
    return {"$eq": text, "$type": "string"}


def _duplicate_error(error: DuplicateKeyError) -> EmailTaken | UsernameTaken:
    pattern = (error.details or {}).get("keyPattern", {})
    return UsernameTaken() if "usernameKey" in pattern else EmailTaken()


def _verified(document: Document, *, newly: bool) -> Verified:
    return Verified(_known(document), newly)


def _known(document: Document) -> User:
    user = _user(document)
    assert user is not None
    return user


def _user(document: Document | None) -> User | None:
    return None if document is None else read_user(document)


def read_user(document: Document) -> User:
    """The account in a document."""
    return User(
        user_id=document["_id"],
        email=document["email"],
        name=document["name"],
        username=document["username"],
        roles=tuple(document["roles"]),
        created_at=document["createdAt"],
        email_verified_at=document["emailVerifiedAt"],
        password_hash=document["passwordHash"],
        locked_at=document.get("lockedAt"),
        phone_number=document.get("phoneNumber"),
        phone_verified_at=document.get("phoneVerifiedAt"),
        login_approval=document.get("loginApproval", True),
        deletion_at=document.get("deletionAt"),
        roles_version=document.get("rolesVersion", 0),
        credentials_version=document.get("credentialsVersion", 0),
        login_methods_version=document.get("waysVersion", 0),
        methods_to_remove=tuple(document.get("waysThatGo", ())),
        metadata=document.get("metadata"),
        private_metadata=document.get("privateMetadata"),
        sessions_to_end=read_ending(document),
        pending_email=_pending_email(document.get("emailChange")),
    )


def _pending_email(change: Document | None) -> PendingEmail | None:
    if change is None:
        return None
    confirmed: Literal["old", "new"] | None = "old" if change["old"] else "new" if change["new"] else None
    return PendingEmail(change["email"], change["expiresAt"], confirmed)
