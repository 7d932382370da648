"""Signing keys of access tokens. Private keys are sealed: the collection alone is not enough to sign."""

from datetime import datetime

from bson.binary import Binary
from pymongo.errors import DuplicateKeyError

from auth.crypto.signing_keys import SigningKey
from auth.stores.mongo import Database, Document, outage_is_unavailable

MAX_KEYS = 100


class SigningKeys:
    """The collection `signing_keys`; `sequence` is unique, so that two nodes never add the same number."""

    def __init__(self, database: Database) -> None:
        self._keys = database["signing_keys"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes if missing."""
        await self._keys.create_index("sequence", unique=True)
        await self._keys.create_index("purgeAt", expireAfterSeconds=0)

    @outage_is_unavailable
    async def all(self) -> list[SigningKey]:
        """All keys, oldest first."""
        return [_key(document) for document in await self._keys.find().sort("sequence", 1).to_list(MAX_KEYS)]

    @outage_is_unavailable
    async def add(self, key: SigningKey) -> bool:
        """Add `key`; False if its sequence number is taken: of concurrent callers one succeeds."""
        try:
            await self._keys.insert_one(
                {
                    "_id": key.key_id,
                    "sequence": key.sequence,
                    "public": Binary(key.public),
                    "sealed": Binary(key.sealed),
                    "createdAt": key.created_at,
                    "activatedAt": key.activated_at,
                }
            )
        except DuplicateKeyError:
            return False
        return True

    @outage_is_unavailable
    async def discard_before(self, sequence: int) -> None:
        """Delete all keys with a lower sequence number."""
        await self._keys.delete_many({"sequence": {"$lt": sequence}})

    @outage_is_unavailable
    async def replace_seal(self, key_id: str, sealed: bytes) -> None:
        """Replace the sealed private half of a key by the same one, sealed anew."""
        await self._keys.update_one({"_id": key_id}, {"$set": {"sealed": Binary(sealed)}})

    @outage_is_unavailable
    async def activate(self, key_id: str, *, now: datetime, retire_older_at: datetime) -> bool:
        """Activate a next key, at most once; older keys are removed by the TTL index at `retire_older_at`."""
        activated = await self._keys.find_one_and_update(
            {"_id": key_id, "activatedAt": None}, {"$set": {"activatedAt": now}}
        )
        if activated is None:
            return False
        await self._keys.update_many(
            {"sequence": {"$lt": activated["sequence"]}, "purgeAt": None}, {"$set": {"purgeAt": retire_older_at}}
        )
        return True


def _key(document: Document) -> SigningKey:
    return SigningKey(
        key_id=document["_id"],
        sequence=document["sequence"],
        public=bytes(document["public"]),
        sealed=bytes(document["sealed"]),
        created_at=document["createdAt"],
        activated_at=document["activatedAt"],
    )
