"""Server keys. Revoked and expired keys stay, so that the list shows them and their uses can be explained."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import DESCENDING

from auth.core.server_keys import USE_INTERVAL, Scope, ServerKey
from auth.stores.batched_reads import BatchedReads
from auth.stores.mongo import Database, Document, outage_is_unavailable

# More than any installation is expected to have; the newest are listed.
MAX_LISTED = 1000


class ServerKeyStore:
    """The collection `server_keys`."""

    def __init__(self, database: Database) -> None:
        self._keys = database["server_keys"]
        self._by_id = BatchedReads(self._read)

    @outage_is_unavailable
    async def add(self, key: ServerKey) -> None:
        """Store a new key."""
        await self._keys.insert_one(
            {
                "_id": key.key_id,
                "name": key.name,
                "scopes": list(key.scopes),
                "secretHash": key.secret_hash,
                "createdAt": key.created_at,
                "expiresAt": key.expires_at,
                "revokedAt": None,
                "lastUsedAt": None,
            }
        )

    @outage_is_unavailable
    async def get(self, key_id: str) -> ServerKey | None:
        """The key of this id. Guarantee: a revocation that any node has answered is seen."""
        return await self._by_id.ask(key_id)

    @outage_is_unavailable
    async def all(self) -> Sequence[ServerKey]:
        """Every key, newest first."""
        found = self._keys.find({}, sort=[("createdAt", DESCENDING), ("_id", DESCENDING)], limit=MAX_LISTED)
        return [_key(document) for document in await found.to_list(MAX_LISTED)]

    @outage_is_unavailable
    async def revoke(self, key_id: str, *, now: datetime) -> bool:
        """Revoke a key, keeping the time of an earlier revocation; False if there is no such key."""
        done = await self._keys.update_one(
            {"_id": key_id}, [{"$set": {"revokedAt": {"$ifNull": ["$revokedAt", now]}}}]
        )
        return bool(done.matched_count)

    @outage_is_unavailable
    async def note_use(self, key_id: str, *, now: datetime) -> None:
        """Record a use. Of concurrent callers, on all nodes, one writes."""
        # `$not` also matches a key that was never used.
        stale = {"$not": {"$gt": now - USE_INTERVAL}}
        await self._keys.update_one({"_id": key_id, "lastUsedAt": stale}, {"$set": {"lastUsedAt": now}})

    async def _read(self, key_ids: Sequence[str]) -> dict[str, ServerKey]:
        cursor = self._keys.find({"_id": {"$in": key_ids}})
        return {document["_id"]: _key(document) for document in await cursor.to_list(len(key_ids))}


def _key(document: Document) -> ServerKey:
    return ServerKey(
        key_id=document["_id"],
        name=document["name"],
        scopes=tuple(map(Scope, document["scopes"])),
        secret_hash=bytes(document["secretHash"]),
        created_at=document["createdAt"],
        expires_at=document["expiresAt"],
        revoked_at=document["revokedAt"],
        last_used_at=document["lastUsedAt"],
    )
