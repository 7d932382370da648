"""Challenges: operations that wait for the user's answer. Short-lived, single use, with few tries.

A challenge is identified by its secret, of which only the SHA-256 is stored; or by its subject, where a subject
has only one at a time.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from auth.stores.mongo import Database, Document, outage_is_unavailable
from auth.stores.one_time_tokens import secret_digest

SECRET_BYTES = 32
# Longer than any of our secrets; longer input is not hashed.
MAX_SECRET = 256


class ChallengePurpose(StrEnum):
    """The purpose of a challenge, for which alone it is valid."""

    SECOND_FACTOR = "second_factor"
    PROVIDER = "provider"
    PASSKEY_REGISTER = "passkey_register"
    PASSKEY_LOGIN = "passkey_login"
    PASSKEY_SECOND = "passkey_second"
    PASSKEY_STEP_UP = "passkey_step_up"
    PHONE_LOGIN = "phone_login"
    PHONE_ADD = "phone_add"


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge without its secret."""

    challenge_id: bytes
    purpose: ChallengePurpose
    user_id: str | None
    issued_at: datetime
    expires_at: datetime
    tries_left: int
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Challenges:
    """The collection `challenges`."""

    def __init__(self, database: Database) -> None:
        self._challenges = database["challenges"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the TTL index, the unique index by subject, and the index by user."""
        await self._challenges.create_index("expiresAt", expireAfterSeconds=60, name="removal")
        await self._challenges.create_index(
            [("subject", 1), ("purpose", 1)],
            unique=True,
            partialFilterExpression={"subject": {"$exists": True}},
            name="subject",
        )
        await self._challenges.create_index("userId", name="user")

    @outage_is_unavailable
    async def issue(
        self,
        purpose: ChallengePurpose,
        *,
        user_id: str | None,
        data: Mapping[str, Any],
        tries: int,
        now: datetime,
        expires_at: datetime,
        secret: str | None = None,
    ) -> str:
        """Create a challenge and return its secret, which is not stored.

        `secret` is for secrets that need a specific format; it must have at least 128 random bits.
        """
        secret = secret or secrets.token_urlsafe(SECRET_BYTES)
        await self._challenges.insert_one(
            _document(secret, purpose, user_id=user_id, data=data, tries=tries, now=now, expires_at=expires_at)
        )
        return secret

    @outage_is_unavailable
    async def issue_only(
        self,
        purpose: ChallengePurpose,
        *,
        subject: bytes,
        user_id: str | None,
        data: Mapping[str, Any],
        tries: int,
        now: datetime,
        expires_at: datetime,
        unless_since: datetime,
    ) -> str | None:
        """Create the only challenge of a subject and return its secret; None if one was issued after
        `unless_since`.

        An older one is deleted first. Guarantee: a subject never has more than one challenge, and of concurrent
        callers one succeeds.
        """
        secret = secrets.token_urlsafe(SECRET_BYTES)
        document = _document(
            secret, purpose, user_id=user_id, data=data, tries=tries, now=now, expires_at=expires_at
        )
        await self._challenges.delete_one(
            {"subject": subject, "purpose": purpose.value, "issuedAt": {"$lte": unless_since}}
        )
        try:
            await self._challenges.insert_one(document | {"subject": subject})
        except DuplicateKeyError:
            return None
        return secret

    @outage_is_unavailable
    async def find(self, secret: str, purpose: ChallengePurpose, *, now: datetime) -> Challenge | None:
        """The challenge if it is pending; changes nothing."""
        if len(secret) > MAX_SECRET:
            return None
        return _challenge(await self._challenges.find_one(_waiting(secret, purpose, now)))

    @outage_is_unavailable
    async def take_try(self, secret: str, purpose: ChallengePurpose, *, now: datetime) -> Challenge | None:
        """Use up one try; None if no try is left, or the challenge is expired or unknown.

        One conditional update: concurrent guesses cannot exceed the number of tries.
        """
        if len(secret) > MAX_SECRET:
            return None
        return await self._take_try(_waiting(secret, purpose, now))

    @outage_is_unavailable
    async def take_try_of(self, subject: bytes, purpose: ChallengePurpose, *, now: datetime) -> Challenge | None:
        """Use up one try of the subject's only challenge, like `take_try`."""
        return await self._take_try({"subject": subject, "purpose": purpose.value, "expiresAt": {"$gt": now}})

    @outage_is_unavailable
    async def keep(self, secret: str, purpose: ChallengePurpose, *, data: Mapping[str, Any]) -> None:
        """Replace the challenge's data; a no-op if it no longer exists."""
        await self._challenges.update_one(
            {"_id": secret_digest(secret), "purpose": purpose.value}, {"$set": {"data": dict(data)}}
        )

    @outage_is_unavailable
    async def consume(self, secret: str, purpose: ChallengePurpose, *, now: datetime) -> Challenge | None:
        """Complete and delete the challenge; of concurrent callers one gets it, the others None."""
        if len(secret) > MAX_SECRET:
            return None
        return _challenge(await self._challenges.find_one_and_delete(_waiting(secret, purpose, now)))

    @outage_is_unavailable
    async def withdraw(self, challenge_id: bytes, purpose: ChallengePurpose) -> bool:
        """Delete the challenge by its id; its secret becomes useless.

        Returns True to one of several concurrent callers.
        """
        done = await self._challenges.delete_one({"_id": challenge_id, "purpose": purpose.value})
        return bool(done.deleted_count)

    async def _take_try(self, wanted: Document) -> Challenge | None:
        document = await self._challenges.find_one_and_update(
            wanted | {"triesLeft": {"$gt": 0}},
            {"$inc": {"triesLeft": -1}},
            return_document=ReturnDocument.AFTER,
        )
        return _challenge(document)


def _document(
    secret: str,
    purpose: ChallengePurpose,
    *,
    user_id: str | None,
    data: Mapping[str, Any],
    tries: int,
    now: datetime,
    expires_at: datetime,
) -> Document:
    return {
        "_id": secret_digest(secret),
        "purpose": purpose.value,
        "userId": user_id,
        "issuedAt": now,
        "expiresAt": expires_at,
        "triesLeft": tries,
        "data": dict(data),
    }


def _waiting(secret: str, purpose: ChallengePurpose, now: datetime) -> Document:
    return {"_id": secret_digest(secret), "purpose": purpose.value, "expiresAt": {"$gt": now}}


def _challenge(document: Document | None) -> Challenge | None:
    if document is None:
        return None
    return Challenge(
        challenge_id=bytes(document["_id"]),
        purpose=ChallengePurpose(document["purpose"]),
        user_id=document["userId"],
        issued_at=document["issuedAt"],
        expires_at=document["expiresAt"],
        tries_left=document["triesLeft"],
        data=document["data"],
    )
