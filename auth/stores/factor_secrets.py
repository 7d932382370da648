"""Secrets of second factors: one document a user, for the authenticator app and the recovery codes.

A TOTP secret comes in sealed (auth/sealing.py), a recovery code as its hash: nothing here lets anybody in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bson.binary import Binary
from pymongo import ReturnDocument

from auth.stores.gathering import Gathering
from auth.stores.mongo import Database, Document, outage_is_unavailable


@dataclass(frozen=True, slots=True)
class EnabledTotp:
    """An authenticator app that was set up."""

    sealed_secret: bytes
    enabled_at: datetime

    def __repr__(self) -> str:
        return f"EnabledTotp(enabled_at={self.enabled_at!r}, …)"


@dataclass(frozen=True, slots=True)
class KeptFactors:
    """What a user has set up. `codes_left` is None for somebody who never had recovery codes."""

    totp: EnabledTotp | None = None
    codes_left: int | None = None


class FactorSecrets:
    """The collection `factor_secrets`."""

    def __init__(self, database: Database) -> None:
        self._factors = database["factor_secrets"]
        self._of_user = Gathering(self._read)

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Make the index by which MongoDB removes what was begun and never finished."""
        await self._factors.create_index("removeAt", expireAfterSeconds=60, name="removal")

    @outage_is_unavailable
    async def of_user(self, user_id: str) -> KeptFactors:
        """What the user has set up."""
        return _kept(await self._of_user.ask(user_id))

    async def _read(self, user_ids: Sequence[str]) -> dict[str, Document]:
        cursor = self._factors.find({"_id": {"$in": user_ids}})
        return {document["_id"]: document for document in await cursor.to_list(len(user_ids))}

    @outage_is_unavailable
    async def begin_totp(self, user_id: str, *, sealed_secret: bytes, expires_at: datetime) -> None:
        """Keep a secret that waits for its first code; one that waited before is forgotten.

        What is set up already stays in force until `enable_totp`.
        """
        await self._factors.update_one(
            {"_id": user_id},
            [
                {
                    "$set": {
                        "waiting": {"secret": Binary(sealed_secret), "expiresAt": expires_at},
                        # Somebody who never comes back leaves nothing behind.
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
        """The sealed secret that waits for its first code; None when there is none, or its time is over."""
        document = await self._factors.find_one(
            {"_id": user_id, "waiting.expiresAt": {"$gt": now}}, {"waiting.secret": 1}
        )
        return bytes(document["waiting"]["secret"]) if document else None

    @outage_is_unavailable
    async def enable_totp(
        self, user_id: str, *, sealed_secret: bytes, used_step: int, code_digests: Sequence[bytes], now: datetime
    ) -> bool:
        """Put the waiting secret in force, with its first code used up and these recovery codes in place of all.

        One conditional update: of any number of callers one succeeds, and none once another secret waits.
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
        """Take the code of a time step; False when that step or a later one was taken already.

        One conditional update: of any number of callers with one code, on whatever nodes, one succeeds. A
        secret that was replaced meanwhile takes no code.
        """
        done = await self._factors.update_one(
            {"_id": user_id, "totp.secret": Binary(sealed_secret), "totp.lastStep": {"$lt": step}},
            {"$set": {"totp.lastStep": step}},
        )
        return bool(done.modified_count)

    @outage_is_unavailable
    async def use_code(self, user_id: str, code_digest: bytes) -> int | None:
        """Use a recovery code up: how many are left, or None when it is none of them.

        One conditional update: of any number of callers with one code one gets an answer.
        """
        document = await self._factors.find_one_and_update(
            {"_id": user_id, "codes": Binary(code_digest)},
            {"$pull": {"codes": Binary(code_digest)}},
            return_document=ReturnDocument.AFTER,
        )
        return len(document["codes"]) if document else None

    @outage_is_unavailable
    async def replace_codes(self, user_id: str, code_digests: Sequence[bytes]) -> None:
        """Put these recovery codes in place of all before them, in one update: the old are void."""
        await self._factors.update_one(
            {"_id": user_id},
            {"$set": {"codes": [Binary(digest) for digest in code_digests]}, "$unset": {"removeAt": ""}},
            upsert=True,
        )

    @outage_is_unavailable
    async def disable_totp(self, user_id: str) -> bool:
        """Forget the authenticator app, and one that waits; whether there was one in force. Codes stay."""
        before = await self._factors.find_one_and_update(
            {"_id": user_id},
            {"$unset": {"totp": "", "waiting": ""}},
            return_document=ReturnDocument.BEFORE,
        )
        return before is not None and "totp" in before

    @outage_is_unavailable
    async def forget_codes(self, user_id: str) -> None:
        """Forget the recovery codes of a user without an authenticator app, and all else that is kept of them.

        One conditional update: an app that was set up meanwhile keeps the codes that came with it.
        """
        await self._factors.delete_one({"_id": user_id, "totp": {"$exists": False}})


def _kept(document: Document | None) -> KeptFactors:
    if document is None:
        return KeptFactors()
    totp, codes = document.get("totp"), document.get("codes")
    return KeptFactors(
        totp=EnabledTotp(bytes(totp["secret"]), totp["enabledAt"]) if totp else None,
        codes_left=None if codes is None else len(codes),
    )
