"""Challenges: what was begun and waits for its answer. Short-lived, single use, with few tries.

A challenge is known by its secret, of which only the SHA-256 is kept; or, where there is one at a time for
somebody, by its subject.
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
        """Make the indexes by user, by which MongoDB removes what is over, and that keeps one to a subject."""
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
        """Begin a challenge and return its secret, which exists nowhere else.

        `secret` is for one that must have a form of its own; it has 128 random bits or more.
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
        """Begin the one challenge of a subject and return its secret; None: one was begun after `unless_since`.

        An older one is void before the new one is there. Guarantee: there is never more than one, and of any
        number of callers at once one begins it.
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
        return await self._take_try(_waiting(secret, purpose, now))

    @outage_is_unavailable
    async def take_try_of(
        self, subject: bytes, purpose: ChallengePurpose, *, secret: str | None, now: datetime
    ) -> Challenge | None:
        """Use a try of the subject's one challenge, as `take_try` does; with `secret` only if it is that one's."""
        if secret is not None and len(secret) > MAX_SECRET:
            return None
        wanted: Document = {"subject": subject, "purpose": purpose.value, "expiresAt": {"$gt": now}}
        if secret is not None:
            wanted["_id"] = secret_digest(secret)
        return await self._take_try(wanted)

    @outage_is_unavailable
    async def consume(self, secret: str, purpose: ChallengePurpose, *, now: datetime) -> Challenge | None:
        """End the challenge because it was met; of any number of callers one gets it, the others None."""
        if len(secret) > MAX_SECRET:
            return None
        return _challenge(await self._challenges.find_one_and_delete(_waiting(secret, purpose, now)))

    @outage_is_unavailable
    async def withdraw(self, challenge_id: bytes, purpose: ChallengePurpose) -> bool:
        """End the challenge, known by its id alone: whoever holds its secret can do nothing with it any more.

        True for one of any number of callers.
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
