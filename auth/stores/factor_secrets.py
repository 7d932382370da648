"""Second factor secrets: one document per user, with the authenticator app and the recovery codes.

TOTP secrets are stored sealed (auth/crypto/sealing.py), recovery codes hashed: the stored data alone does not
allow a login.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bson.binary import Binary
from pymongo import ReturnDocument

from auth.stores.batched_reads import BatchedReads
from auth.stores.mongo import Database, Document, outage_is_unavailable

PAGE = 500


@dataclass(frozen=True, slots=True)
class EnabledTotp:
    """An enabled authenticator app."""

    sealed_secret: bytes
    enabled_at: datetime

    def __repr__(self) -> str:
        return f"EnabledTotp(enabled_at={self.enabled_at!r}, …)"


@dataclass(frozen=True, slots=True)
class StoredFactors:
    """A user's second factors. `codes_left` is None if the user never had recovery codes."""

    totp: EnabledTotp | None = None
    codes_left: int | None = None


class FactorSecrets:
    """The collection `factor_secrets`."""

    def __init__(self, database: Database) -> None:
        self._factors = database["factor_secrets"]
        self._of_user = BatchedReads(self._read)

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the TTL index, which removes unfinished setups."""
        await self._factors.create_index("removeAt", expireAfterSeconds=60, name="removal")

    @outage_is_unavailable
    async def of_user(self, user_id: str) -> StoredFactors:
        """The user's second factors."""
        return _stored_factors(await self._of_user.ask(user_id))

    async def _read(self, user_ids: Sequence[str]) -> dict[str, Document]:
        cursor = self._factors.find({"_id": {"$in": user_ids}})
        return {document["_id"]: document for document in await cursor.to_list(len(user_ids))}

    @outage_is_unavailable
    async def begin_totp(self, user_id: str, *, sealed_secret: bytes, expires_at: datetime) -> None:
        """Store a secret that awaits its first code, replacing one that was pending.

        An app that is already enabled stays enabled until `enable_totp`.
        """
        await self._factors.update_one(
            {"_id": user_id},
            [
                {
                    "$set": {
                        "waiting": {"secret": Binary(sealed_secret), "expiresAt": expires_at},
                        # An unfinished setup is removed, unless the document has other factors.
                        "removeAt": {
                            "$cond": [
                                {"$or": [{"$ifNull": ["$totp", False]}, {"$ifNull": ["$codes", False]}]},
                                "$$REMOVE",
                                expires_at,
                            ]
                        },
                    }
                }
            ],
            upsert=True,
        )

    @outage_is_unavailable
    async def waiting_totp(self, user_id: str, *, now: datetime) -> bytes | None:
        """The sealed secret that awaits its first code; None if there is none or it has expired."""
        document = await self._factors.find_one(
            {"_id": user_id, "waiting.expiresAt": {"$gt": now}}, {"waiting.secret": 1}
        )
        return bytes(document["waiting"]["secret"]) if document else None

    @outage_is_unavailable
    async def enable_totp(
        self, user_id: str, *, sealed_secret: bytes, used_step: int, code_digests: Sequence[bytes], now: datetime
    ) -> bool:
        """Enable the pending secret, mark its first code as used, and replace all recovery codes.

        One conditional update: of concurrent callers one succeeds, and none if another secret is pending by
        then.
        """
        done = await self._factors.update_one(
            {"_id": user_id, "waiting.secret": Binary(sealed_secret), "waiting.expiresAt": {"$gt": now}},
            {
                "$set": {
                    "totp": {"secret": Binary(sealed_secret), "enabledAt": now, "lastStep": used_step},
                    "codes": [Binary(digest) for digest in code_digests],
                },
                "$unset": {"waiting": "", "removeAt": ""},
            },
        )
        return bool(done.modified_count)

    @outage_is_unavailable
    async def use_step(self, user_id: str, *, sealed_secret: bytes, step: int) -> bool:
        """Use the code of a time step; False if that step or a later one was already used.

        One conditional update: of concurrent callers with one code, on any nodes, one succeeds. Codes of a
        replaced secret are rejected.
        """
        done = await self._factors.update_one(
            {"_id": user_id, "totp.secret": Binary(sealed_secret), "totp.lastStep": {"$lt": step}},
            {"$set": {"totp.lastStep": step}},
        )
        return bool(done.modified_count)

    @outage_is_unavailable
    async def use_code(self, user_id: str, code_digest: bytes) -> int | None:
        """Use up a recovery code; return how many are left, or None if the code is not valid.

        One conditional update: of concurrent callers with one code, one succeeds.
        """
        document = await self._factors.find_one_and_update(
            {"_id": user_id, "codes": Binary(code_digest)},
            {"$pull": {"codes": Binary(code_digest)}},
            return_document=ReturnDocument.AFTER,
        )
        return len(document["codes"]) if document else None

    @outage_is_unavailable
    async def replace_codes(self, user_id: str, code_digests: Sequence[bytes]) -> None:
        """Replace all recovery codes, in one update."""
        await self._factors.update_one(
            {"_id": user_id},
            {"$set": {"codes": [Binary(digest) for digest in code_digests]}, "$unset": {"removeAt": ""}},
            upsert=True,
        )

    @outage_is_unavailable
    async def sealed_after(self, user_id: str) -> Sequence[tuple[str, bytes]]:
        """The next users after `user_id` and their sealed secrets, in order of the users; empty at the end."""
        found = {"_id": {"$gt": user_id}, "totp": {"$exists": True}}
        documents = await self._factors.find(found, {"totp.secret": 1}, sort=[("_id", 1)], limit=PAGE).to_list(
            PAGE
        )
        return [(document["_id"], bytes(document["totp"]["secret"])) for document in documents]

    @outage_is_unavailable
    async def replace_seal(self, user_id: str, *, sealed: bytes, renewed: bytes) -> bool:
        """Replace a sealed secret by the same one, sealed anew; False if it is not the current one any more."""
        found = {"_id": user_id, "totp.secret": Binary(sealed)}
        return bool(
            (await self._factors.update_one(found, {"$set": {"totp.secret": Binary(renewed)}})).matched_count
        )

    @outage_is_unavailable
    async def disable_totp(self, user_id: str, *, enabled_at: datetime | None = None) -> bool:
        """Remove the authenticator app and any pending one; return whether one was enabled. Recovery codes
        stay.

        With `enabled_at`, only the app that was enabled at that time.
        """
        which = {} if enabled_at is None else {"totp.enabledAt": enabled_at}
        before = await self._factors.find_one_and_update(
            {"_id": user_id} | which,
            {"$unset": {"totp": "", "waiting": ""}},
            return_document=ReturnDocument.BEFORE,
        )
        return before is not None and "totp" in before

    @outage_is_unavailable
    async def forget_codes(self, user_id: str) -> None:
        """Delete the recovery codes, and the whole document, of a user without an authenticator app.

        One conditional update: an app enabled concurrently keeps its codes.
        """
        await self._factors.delete_one({"_id": user_id, "totp": {"$exists": False}})


def _stored_factors(document: Document | None) -> StoredFactors:
    if document is None:
        return StoredFactors()
    totp, codes = document.get("totp"), document.get("codes")
    return StoredFactors(
        totp=EnabledTotp(bytes(totp["secret"]), totp["enabledAt"]) if totp else None,
        codes_left=None if codes is None else len(codes),
    )
