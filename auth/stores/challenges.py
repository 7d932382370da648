"""Challenges: what was begun and waits for its answer. Short-lived, single use, with few tries.

A challenge is known by its secret alone, of which only the SHA-256 is kept.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pymongo import ReturnDocument

from auth.stores.mongo import Database, Document, outage_is_unavailable
from auth.stores.one_time_tokens import secret_digest

SECRET_BYTES = 32
# Longer than any secret of ours: what is longer is not hashed.
MAX_SECRET = 256


class ChallengePurpose(StrEnum):
    """What a challenge was begun for; it is good for nothing else."""

    SECOND_FACTOR = "second_factor"
    PROVIDER = "provider"
    PASSKEY_REGISTER = "passkey_register"
    PASSKEY_LOGIN = "passkey_login"
    PASSKEY_SECOND = "passkey_second"
    PASSKEY_STEP_UP = "passkey_step_up"


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
        """Make the index by which MongoDB removes what is over."""
        await self._challenges.create_index("expiresAt", expireAfterSeconds=60, name="removal")

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
        """Begin a challenge and return its secret, which exists nowhere else.

        `secret` is for one that must have a form of its own; it has 128 random bits or more.
        """
        secret = secret or secrets.token_urlsafe(SECRET_BYTES)
        await self._challenges.insert_one(
            {
                "_id": secret_digest(secret),
                "purpose": purpose.value,
                "userId": user_id,
                "issuedAt": now,
                "expiresAt": expires_at,
                "triesLeft": tries,
                "data": dict(data),
            }
        )
        return secret

    @outage_is_unavailable
    async def find(self, secret: str, purpose: ChallengePurpose, *, now: datetime) -> Challenge | None:
        """The challenge while it waits; changes nothing."""
        if len(secret) > MAX_SECRET:
            return None
        return _challenge(await self._challenges.find_one(_waiting(secret, purpose, now)))

    @outage_is_unavailable
    async def take_try(self, secret: str, purpose: ChallengePurpose, *, now: datetime) -> Challenge | None:
        """Use one of its tries; None when it has none left, is over, or never was.

        One conditional update: of any number of guesses at once no more are let through than it has tries.
        """
        if len(secret) > MAX_SECRET:
            return None
        document = await self._challenges.find_one_and_update(
            _waiting(secret, purpose, now) | {"triesLeft": {"$gt": 0}},
            {"$inc": {"triesLeft": -1}},
            return_document=ReturnDocument.AFTER,
        )
        return _challenge(document)

    @outage_is_unavailable
    async def consume(self, secret: str, purpose: ChallengePurpose, *, now: datetime) -> Challenge | None:
        """End the challenge because it was met; of any number of callers one gets it, the others None."""
        if len(secret) > MAX_SECRET:
            return None
        return _challenge(await self._challenges.find_one_and_delete(_waiting(secret, purpose, now)))

    @outage_is_unavailable
    async def withdraw(self, challenge_id: bytes, purpose: ChallengePurpose) -> None:
        """End the challenge, known by its id alone: whoever holds its secret can do nothing with it any more."""
        await self._challenges.delete_one({"_id": challenge_id, "purpose": purpose.value})


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
