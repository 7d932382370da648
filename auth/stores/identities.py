"""Identities: links between provider accounts and local accounts. One document each.

An identity is the pair of issuer and subject. E-mail addresses never link accounts, and subjects of different
providers are never mixed (ASVS 5.0, 6.8.1; OpenID Connect Core 1.0, section 5.7).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from auth.stores.mongo import Database, Document, outage_is_unavailable

# An account has at most one per provider, and there are fewer providers.
MAX_PER_USER = 32


class ProviderTaken(Exception):
    """The account already has an identity of this issuer."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A provider identity. `label` is shown to its owner.

    `registration_id` is set if the identity was created with an unconfirmed address; the identity is void once
    that address is confirmed by anything but this registration's link. The account `user_id` may not exist yet:
    the identity is claimed before the account is created.
    """

    identity_id: str
    issuer: str
    subject: str
    user_id: str
    provider_id: str
    label: str
    linked_at: datetime
    last_used_at: datetime
    registration_id: str | None = None


class Identities:
    """The collection `identities`."""

    def __init__(self, database: Database) -> None:
        self._identities = database["identities"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the unique indexes."""
        await self._identities.create_index([("issuer", 1), ("subject", 1)], unique=True, name="identity")
        await self._identities.create_index([("userId", 1), ("issuer", 1)], unique=True, name="user")

    @outage_is_unavailable
    async def find(self, issuer: str, subject: str) -> Identity | None:
        """The identity, whichever user it belongs to."""
        return _identity(await self._identities.find_one({"issuer": issuer, "subject": subject}))

    @outage_is_unavailable
    async def of_user(self, user_id: str) -> Sequence[Identity]:
        """All identities of the user, oldest first."""
        cursor = self._identities.find({"userId": user_id}).sort([("linkedAt", 1), ("_id", 1)])
        return [_known(document) for document in await cursor.to_list(MAX_PER_USER)]

    @outage_is_unavailable
    async def claim(self, identity: Identity) -> Identity:
        """Store `identity` unless its issuer and subject exist already; return the stored one.

        Of concurrent callers for one subject one stores its identity; all get the same result. Raises
        `ProviderTaken`.
        """
        try:
            await self._identities.insert_one(identity_document(identity))
        except DuplicateKeyError:
            existing = await self.find(identity.issuer, identity.subject)
            if existing is None:
                raise ProviderTaken from None
            return existing
        return identity

    @outage_is_unavailable
    async def note_use(self, identity_id: str, *, label: str, now: datetime) -> None:
        """Record a login and the label that the provider currently gives."""
        await self._identities.update_one({"_id": identity_id}, {"$set": {"label": label, "lastUsedAt": now}})

    @outage_is_unavailable
    async def bind(self, identity: Identity, registration_id: str) -> str:
        """Bind the identity to a registration, unless it is bound already; return the registration it is bound
        to.

        Does nothing if the identity was deleted or moved to another user.
        """
        bound = {"registrationId": {"$ifNull": ["$registrationId", registration_id]}}
        after = await self._identities.find_one_and_update(
            {"_id": identity.identity_id, "userId": identity.user_id},
            [{"$set": bound}],
            return_document=ReturnDocument.AFTER,
        )
        return str(after["registrationId"]) if after else registration_id

    @outage_is_unavailable
    async def move(self, identity: Identity, to: Identity) -> bool:
        """Move an identity, if unchanged since it was read, to the user of `to`, as if claimed by that user.

        Of concurrent callers for one identity, one moves it. Raises `ProviderTaken`.
        """
        moved = {name: value for name, value in identity_document(to).items() if name != "_id"}
        try:
            done = await self._identities.update_one(
                {"_id": identity.identity_id, "userId": identity.user_id}, {"$set": moved}
            )
        except DuplicateKeyError:
            raise ProviderTaken from None
        return bool(done.matched_count)

    @outage_is_unavailable
    async def confirm(self, identity_id: str) -> None:
        """Make the identity valid for the account regardless of how the account's address is confirmed.

        For a user who followed its registration's link, or linked it from inside a verified account.
        """
        await self._identities.update_one({"_id": identity_id}, {"$set": {"registrationId": None}})

    @outage_is_unavailable
    async def establish(self, identity: Identity) -> bool:
        """Make the identity valid for its user, recreating it if another login has just deleted it.

        False if its issuer and subject, or its user and issuer, belong to another identity by now.
        """
        established = identity_document(identity) | {"registrationId": None}
        try:
            await self._identities.update_one({"_id": identity.identity_id}, {"$set": established}, upsert=True)
        except DuplicateKeyError:
            mine = {"issuer": identity.issuer, "subject": identity.subject, "userId": identity.user_id}
            done = await self._identities.update_one(mine, {"$set": {"registrationId": None}})
            return bool(done.matched_count)
        return True

    @outage_is_unavailable
    async def remove(self, user_id: str, identity_id: str) -> Identity | None:
        """Delete an identity of the user; of concurrent callers one gets it, the others None."""
        return _identity(await self._identities.find_one_and_delete({"_id": identity_id, "userId": user_id}))


def identity_document(identity: Identity) -> Document:
    """The document of an identity."""
    return {
        "_id": identity.identity_id,
        "issuer": identity.issuer,
        "subject": identity.subject,
        "userId": identity.user_id,
        "provider": identity.provider_id,
        "label": identity.label,
        "linkedAt": identity.linked_at,
        "lastUsedAt": identity.last_used_at,
        "registrationId": identity.registration_id,
    }


def _identity(document: Document | None) -> Identity | None:
    return None if document is None else _known(document)


def _known(document: Document) -> Identity:
    return Identity(
        identity_id=document["_id"],
        issuer=document["issuer"],
        subject=document["subject"],
        user_id=document["userId"],
        provider_id=document["provider"],
        label=document["label"],
        linked_at=document["linkedAt"],
        last_used_at=document["lastUsedAt"],
        registration_id=document["registrationId"],
    )
