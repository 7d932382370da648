"""Requests to emit that carry an id: claimed by the first caller, and its answer for repeats, for 24 hours."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson.binary import Binary
from pymongo.errors import DuplicateKeyError

from auth.stores.mongo import Database, outage_is_unavailable

KEPT = timedelta(hours=24)
# A caller that has not answered by then has died.
CLAIM = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """A request with the same id: the digest of its body, and its answer once there is one."""

    digest: bytes
    answer: Mapping[str, Any] | None


class SentMessages:
    """The collection `sent_messages`."""

    def __init__(self, database: Database) -> None:
        self._sent = database["sent_messages"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the TTL index."""
        await self._sent.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def claim(self, key_id: str, request_id: str, digest: bytes, *, now: datetime) -> EarlierRequest | None:
        """Claim an id of a server key; None if this caller has it now, otherwise the earlier request.

        Of concurrent callers one gets it. Once it has an answer, or while its caller may be at work, nobody else
        does.
        """
        claimed = {"digest": Binary(digest), "until": now + CLAIM, "answer": None, "removeAt": now + KEPT}
        found = {"_id": _id(key_id, request_id)}
        # Of an answered request only one that the TTL index has not removed yet.
        free = [{"answer": None, "until": {"$lte": now}}, {"removeAt": {"$lte": now}}]
        try:
            await self._sent.update_one(found | {"$or": free}, {"$set": claimed}, upsert=True)
        except DuplicateKeyError:
            return await self.earlier(key_id, request_id) or await self.claim(key_id, request_id, digest, now=now)
        return None

    @outage_is_unavailable
    async def earlier(self, key_id: str, request_id: str) -> EarlierRequest | None:
        """The request with this id."""
        document = await self._sent.find_one({"_id": _id(key_id, request_id)})
        return None if document is None else EarlierRequest(bytes(document["digest"]), document["answer"])

    @outage_is_unavailable
    async def answered(self, key_id: str, request_id: str, answer: Mapping[str, Any]) -> None:
        """Record the answer for repeats."""
        await self._sent.update_one({"_id": _id(key_id, request_id)}, {"$set": {"answer": dict(answer)}})

    @outage_is_unavailable
    async def release(self, key_id: str, request_id: str) -> None:
        """Give an id back that has no answer, so that a repeat is served."""
        await self._sent.delete_one({"_id": _id(key_id, request_id), "answer": None})


def _id(key_id: str, request_id: str) -> str:
    return f"{key_id} {request_id}"
