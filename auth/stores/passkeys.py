"""Passkeys: one document per credential, keyed by credential id. Public keys are not secret."""

from collections.abc import Sequence
from datetime import datetime

from bson.binary import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from auth.core.models import Passkey
from auth.stores.mongo import Database, Document, outage_is_unavailable


class PasskeyTaken(Exception):
    """The credential id already exists."""


class Passkeys:
    """The collection `passkeys`."""

    def __init__(self, database: Database) -> None:
        self._passkeys = database["passkeys"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the index by user. Credential ids are unique as the documents' `_id`."""
        await self._passkeys.create_index([("userId", 1), ("createdAt", 1)], name="user")

    @outage_is_unavailable
    async def add(self, passkey: Passkey) -> None:
        """Store a new passkey. Raises `PasskeyTaken`; of concurrent calls with one id, one succeeds."""
        document: Document = {
            "_id": Binary(passkey.credential_id),
            "userId": passkey.user_id,
            "publicKey": Binary(passkey.public_key),
            "signCount": passkey.sign_count,
            "name": passkey.name,
            "transports": list(passkey.transports),
            "backedUp": passkey.backed_up,
            "createdAt": passkey.created_at,
            "lastUsedAt": None,
        }
        try:
            await self._passkeys.insert_one(document)
        except DuplicateKeyError:
            raise PasskeyTaken from None

    @outage_is_unavailable
    async def get(self, credential_id: bytes) -> Passkey | None:
        """The passkey with this id, whichever user it belongs to."""
        return _passkey(await self._passkeys.find_one({"_id": Binary(credential_id)}))

    @outage_is_unavailable
    async def of_user(self, user_id: str, *, limit: int) -> list[Passkey]:
        """The user's passkeys, oldest first."""
        found = await self._passkeys.find({"userId": user_id}).sort("createdAt", 1).to_list(limit)
        return [passkey for passkey in map(_passkey, found) if passkey is not None]

    @outage_is_unavailable
    async def has_any(self, user_id: str) -> bool:
        """Whether the user has a passkey."""
        return await self._passkeys.find_one({"userId": user_id}, {"_id": 1}) is not None

    @outage_is_unavailable
    async def count(self, user_id: str) -> int:
        """The number of the user's passkeys."""
        return int(await self._passkeys.count_documents({"userId": user_id}))

    @outage_is_unavailable
    async def use(self, credential_id: bytes, *, sign_count: int, backed_up: bool, now: datetime) -> bool:
        """Record a use and the new sign count; False if the count did not increase, as with a cloned
        authenticator.

        Authenticators without a counter always report 0 (WebAuthn level 3, section 6.1.1). One conditional
        update: of two uses with the same count, one succeeds.
        """
        grows: Document = {"signCount": {"$lt": sign_count}} if sign_count else {"signCount": 0}
        done = await self._passkeys.update_one(
            {"_id": Binary(credential_id)} | grows,
            {"$set": {"signCount": sign_count, "backedUp": backed_up, "lastUsedAt": now}},
        )
        return bool(done.matched_count)

    @outage_is_unavailable
    async def rename(self, user_id: str, credential_id: bytes, *, name: str) -> Passkey | None:
        """Rename a user's passkey; None if the user has no such passkey."""
        return _passkey(
            await self._passkeys.find_one_and_update(
                {"_id": Binary(credential_id), "userId": user_id},
                {"$set": {"name": name}},
                return_document=ReturnDocument.AFTER,
            )
        )

    @outage_is_unavailable
    async def remove(self, user_id: str, credential_id: bytes) -> Passkey | None:
        """Delete and return a user's passkey; None if the user has no such passkey."""
        return _passkey(
            await self._passkeys.find_one_and_delete({"_id": Binary(credential_id), "userId": user_id})
        )


def _passkey(document: Document | None) -> Passkey | None:
    if document is None:
        return None
    transports: Sequence[str] = document["transports"]
    return Passkey(
        credential_id=bytes(document["_id"]),
        user_id=document["userId"],
        public_key=bytes(document["publicKey"]),
        sign_count=document["signCount"],
        name=document["name"],
        transports=tuple(transports),
        backed_up=document["backedUp"],
        created_at=document["createdAt"],
        last_used_at=document["lastUsedAt"],
    )
