"""Identities: who at a provider belongs to which account here. One document each.

An identity is its issuer and its subject, together and alone: no address ever leads from one account to another,
and two providers' subjects never meet (ASVS 5.0, 6.8.1; OpenID Connect Core 1.0, section 5.7).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from auth.stores.mongo import Database, Document, outage_is_unavailable

# One for each provider, of which there are fewer.
MOST_OF_A_USER = 32


class ProviderTaken(Exception):
    """The account has another identity of this issuer."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity. `label` is for its owner to recognise it by.

    `registration_id`: it was made with an address that nobody had confirmed, and is worth something only until
    that address is confirmed by anything but the link of this registration. There may be no account `user_id`: it
    is claimed first and made then.
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
        """Make the indexes that uniqueness rests on."""
        await self._identities.create_index([("issuer", 1), ("subject", 1)], unique=True, name="identity")
        await self._identities.create_index([("userId", 1), ("issuer", 1)], unique=True, name="user")

    @outage_is_unavailable
    async def find(self, issuer: str, subject: str) -> Identity | None:
        """The identity, whosever it is."""
        return _identity(await self._identities.find_one({"issuer": issuer, "subject": subject}))

    @outage_is_unavailable
    async def of_user(self, user_id: str) -> Sequence[Identity]:
        """Every identity of the user, the oldest first."""
        cursor = self._identities.find({"userId": user_id}).sort([("linkedAt", 1), ("_id", 1)])
        return [_known(document) for document in await cursor.to_list(MOST_OF_A_USER)]

    @outage_is_unavailable
    async def claim(self, identity: Identity) -> Identity:
        """The identity of this issuer and subject: the one given if there was none, else the one there is.

        Of any number of callers for one subject, at once or not, one gives it away; all get the same answer.
        Raises `ProviderTaken`.
        """
        try:
            await self._identities.insert_one(_document(identity))
        except DuplicateKeyError:
            there = await self.find(identity.issuer, identity.subject)
            if there is None:
                raise ProviderTaken from None
            return there
        return identity

    @outage_is_unavailable
    async def note_use(self, identity_id: str, *, label: str, now: datetime) -> None:
        """Note that somebody logged in by it, and what the provider calls them by now."""
        await self._identities.update_one({"_id": identity_id}, {"$set": {"label": label, "lastUsedAt": now}})

    @outage_is_unavailable
    async def bind(self, identity: Identity, registration_id: str) -> str:
        """Bind the identity to a registration, unless it is bound to one; to which it is then.

        Does nothing where the identity has gone or came to be another user's.
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
        """Give an identity, as it was read, to the user of `to`, as if it had been claimed by that one.

        Of any number of callers for one identity, at once or not, one moves it. Raises `ProviderTaken`.
        """
        moved = {name: value for name, value in _document(to).items() if name != "_id"}
        try:
            done = await self._identities.update_one(
                {"_id": identity.identity_id, "userId": identity.user_id}, {"$set": moved}
            )
        except DuplicateKeyError:
            raise ProviderTaken from None
        return bool(done.matched_count)

    @outage_is_unavailable
    async def confirm(self, identity_id: str) -> None:
        """Have it stand for the account from now on, however the account's address is confirmed.

        For whoever followed its registration's link, or asked for it from inside a verified account.
        """
        await self._identities.update_one({"_id": identity_id}, {"$set": {"registrationId": None}})

    @outage_is_unavailable
    async def remove(self, user_id: str, identity_id: str) -> Identity | None:
        """Forget an identity of the user; of any number of callers one gets it, the others None."""
        return _identity(await self._identities.find_one_and_delete({"_id": identity_id, "userId": user_id}))

    @outage_is_unavailable
    async def put_back(self, identity: Identity) -> None:
        """Undo `remove`. Does nothing where somebody has linked the identity, or another one, meanwhile."""
        try:
            await self._identities.insert_one(_document(identity))
        except DuplicateKeyError:
            return


def _document(identity: Identity) -> Document:
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
