"""One-time tokens of mailed links: 256 random bits, stored only as their SHA-256.

A token is bound to a purpose, a user and the address it was mailed to, and may carry data that takes effect on
its use. It is valid until `expires_at`; the document is kept until `remove_at`.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pymongo import DESCENDING, ReturnDocument

from auth.stores.mongo import Database, Document, outage_is_unavailable

TOKEN_BYTES = 32
# Documents written only for constant timing are removed later, so that their removal does not show in the timing.
DUMMY_KEPT = timedelta(hours=1)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Purpose(StrEnum):
    """The purpose of a token. `NOTHING` marks dummy writes for constant timing."""

    VERIFY_EMAIL = "verify_email"
    NOT_ME = "not_me"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose
    CHANGE_EMAIL = "change_email"
    UNDO_FACTOR = "undo_factor"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class OneTimeToken:
    """A token without its secret. `fresh`: this call used it up."""

    purpose: Purpose
    user_id: str
    email_key: str
    issued_at: datetime
    fresh: bool
    data: Mapping[str, str | None] = field(default_factory=dict, repr=False)


class OneTimeTokens:
    """The collection `one_time_tokens`."""

    def __init__(self, database: Database) -> None:
        self._tokens = database["one_time_tokens"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the index by user and the TTL index."""
        await self._tokens.create_index([("userId", 1), ("purpose", 1), ("issuedAt", -1)], name="user")
        await self._tokens.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def issue(
        self,
        purpose: Purpose,
        *,
        user_id: str,
        email_key: str,
        now: datetime,
        expires_at: datetime,
        remove_at: datetime,
        data: Mapping[str, str | None],
    ) -> str:
        """Create a token and return its secret, which is not stored. Other tokens are not affected."""
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        await self._tokens.insert_one(
            {
                "_id": secret_digest(secret),
                "purpose": purpose.value,
                "userId": user_id,
                "emailKey": email_key,
                "issuedAt": now,
                "expiresAt": expires_at,
                "removeAt": remove_at,
                "consumedAt": None,
                "data": dict(data),
            }
        )
        return secret

    @outage_is_unavailable
    async def pretend(self, *, writes: int = 1, now: datetime) -> None:
        """Make dummy writes that take as long as issuing `writes` tokens."""
        for _ in range(writes):
            await self.issue(
                Purpose.NOTHING,
                user_id="",
                email_key="",
                now=now,
                expires_at=now,
                remove_at=now + DUMMY_KEPT,
                data={},
            )

    @outage_is_unavailable
    async def find(
        self, secret: str, purpose: Purpose, *, now: datetime, also_used: bool = False
    ) -> OneTimeToken | None:
        """The token if it is unused, or with `also_used` even if used; changes nothing."""
        if _TOKEN.fullmatch(secret) is None:
            return None
        unused = {} if also_used else {"consumedAt": None}
        document = await self._tokens.find_one(_good(secret, purpose, now) | unused)
        return _token(document, fresh=False) if document else None

    @outage_is_unavailable
    async def consume(self, secret: str, purpose: Purpose, *, now: datetime) -> OneTimeToken | None:
        """Use up the token; None if it is unknown, expired, or for another purpose.

        Guarantee: of all calls, concurrent or not, one gets `fresh=True`. The others get `fresh=False` until
        the token expires, so that a caller whose first attempt was interrupted can tell its own token from an
        invalid one.
        """
        if _TOKEN.fullmatch(secret) is None:
            return None
        good = _good(secret, purpose, now)
        document = await self._tokens.find_one_and_update(
            good | {"consumedAt": None},
            {"$set": {"consumedAt": now}},
            return_document=ReturnDocument.AFTER,
        )
        if document is not None:
            return _token(document, fresh=True)
        document = await self._tokens.find_one(good)
        return _token(document, fresh=False) if document else None

    @outage_is_unavailable
    async def of_user(self, user_id: str, purpose: Purpose, *, limit: int = 20) -> list[OneTimeToken]:
        """A user's tokens, newest first, including used and expired ones."""
        found = self._tokens.find(
            {"userId": user_id, "purpose": purpose.value},
            sort=[("issuedAt", DESCENDING), ("_id", DESCENDING)],
            limit=limit,
        )
        return [_token(document, fresh=False) for document in await found.to_list(limit)]

    @outage_is_unavailable
    async def discard(self, user_id: str, purpose: Purpose, *, keep_where: Mapping[str, str | None]) -> int:
        """Delete the user's tokens except those whose data contains all of `keep_where`; return how many."""
        kept = {f"data.{name}": value for name, value in keep_where.items()}
        done = await self._tokens.delete_many({"userId": user_id, "purpose": purpose.value, "$nor": [kept]})
        return int(done.deleted_count)


def _good(secret: str, purpose: Purpose, now: datetime) -> Document:
    return {"_id": secret_digest(secret), "purpose": purpose.value, "expiresAt": {"$gt": now}}


def secret_digest(secret: str) -> bytes:
    """The stored hash of a secret. A fast hash is safe, since the secret has at least 128 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _token(document: Document, *, fresh: bool) -> OneTimeToken:
    return OneTimeToken(
        purpose=Purpose(document["purpose"]),
        user_id=document["userId"],
        email_key=document["emailKey"],
        issued_at=document["issuedAt"],
        fresh=fresh,
        data=document["data"],
    )
