"""Accounts of an import, stored in batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pymongo
from pymongo.errors import BulkWriteError

from auth.core.models import User
from auth.stores.identities import Identity, identity_document
from auth.stores.mongo import DUPLICATE_KEY, Database, Document, outage_is_unavailable, write_errors
from auth.stores.users.store import user_document

# For one batch: it is larger than any other operation.
BATCH_SECONDS = 30
# The unique keys of an account, and the names of their fields in a line.
UNIQUE = {"emailKey": "email", "usernameKey": "username"}


@dataclass(frozen=True, slots=True)
class ImportedUser:
    """An account and its identities."""

    user: User
    identities: Sequence[Identity]


@dataclass(frozen=True, slots=True)
class ImportFindings:
    """Accounts that exist from an earlier run, and the field of each other whose value is taken, by its key."""

    known: int
    taken: Mapping[int, str]


class UserImports:
    """The collections `users` and `identities`, for imports."""

    def __init__(self, database: Database) -> None:
        self._users = database["users"]
        self._identities = database["identities"]
        # Of the accounts that `check` has seen.
        self._checked: set[int] = set()

    async def check(self, accounts: Mapping[int, ImportedUser]) -> ImportFindings:
        """What `add` would find, had it stored the accounts of the earlier calls. Changes nothing."""
        known, taken = await self._find(accounts, self._checked)
        return ImportFindings(len(known), taken)

    async def add(self, accounts: Mapping[int, ImportedUser]) -> ImportFindings:
        """Store the accounts that do not exist, each with its identities.

        Idempotent. Guarantee: an account that exists has its identities. Of accounts with one address, username
        or identity, also of concurrent callers, one is stored.
        """
        known, taken = await self._find(accounts, set())
        new = {key: each for key, each in accounts.items() if key not in taken and key not in known}
        await self._add_identities(new, taken)
        new = {key: each for key, each in new.items() if key not in taken}
        by_id = {each.user.user_id: key for key, each in new.items()}
        documents = [user_document(each.user) for each in new.values()]
        for document, pattern in await self._insert(self._users, documents):
            if "_id" not in pattern:
                taken[by_id[document["_id"]]] = next((UNIQUE[name] for name in pattern if name in UNIQUE), "email")
        await self._drop_identities([new[key] for key in new.keys() & taken.keys()])
        return ImportFindings(len(known), taken)

    async def _add_identities(self, new: Mapping[int, ImportedUser], taken: dict[int, str]) -> None:
        by_user = {each.user.user_id: key for key, each in new.items()}
        documents = [identity_document(identity) for each in new.values() for identity in each.identities]
        for document, pattern in await self._insert(self._identities, documents):
            if "_id" not in pattern:
                taken[by_user[document["userId"]]] = "identities"
        await self._drop_identities([new[key] for key in new.keys() & taken.keys()])

    @outage_is_unavailable
    async def _drop_identities(self, refused: Sequence[ImportedUser]) -> None:
        users = {each.user.user_id for each in refused if each.identities}
        if users:
            # Another run may have stored the account by now.
            users -= await self._present(self._users, "_id", list(users))
            await self._identities.delete_many({"userId": {"$in": list(users)}})

    @outage_is_unavailable
    async def _insert(self, collection: Any, documents: Sequence[Document]) -> list[tuple[Document, Document]]:
        """Insert what does not exist; return the documents refused as duplicates, each with the key's pattern."""
        if not documents:
            return []
        try:
            with pymongo.timeout(BATCH_SECONDS):
                await collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failed = write_errors(error)
            if not failed or any(each["code"] != DUPLICATE_KEY for each in failed):
                raise
            return [(each["op"], each.get("keyPattern", {})) for each in failed]
        return []

    @outage_is_unavailable
    async def _find(self, accounts: Mapping[int, ImportedUser], seen: set[int]) -> tuple[set[int], dict[int, str]]:
        """Who is known or taken. `seen`: what accounts that would be stored have taken; grows."""
        users = {key: each.user for key, each in accounts.items()}
        with pymongo.timeout(BATCH_SECONDS):
            emails = await self._present(self._users, "emailKey", [_email_key(user) for user in users.values()])
            names = await self._present(
                self._users, "usernameKey", [user.username.casefold() for user in users.values() if user.username]
            )
            linked = await self._linked([each for one in accounts.values() for each in one.identities])
            # Last: what another run has stored meanwhile is known, rather than taken by somebody else.
            ids = await self._present(self._users, "_id", [user.user_id for user in users.values()])
        known = {key for key, user in users.items() if user.user_id in ids}
        taken: dict[int, str] = {}
        for key, each in accounts.items():
            line, unique = hash(("account", each.user.user_id)), _unique(each)
            if key in known or line in seen:
                known.add(key)
                continue
            username, identities = each.user.username, each.identities
            is_taken = {
                "email": _email_key(each.user) in emails,
                "username": username is not None and username.casefold() in names,
                "identities": any(
                    linked.get((one.issuer, one.subject), each.user.user_id) != each.user.user_id
                    for one in identities
                ),
            }
            field = next((name for name in is_taken if is_taken[name] or unique[name] & seen), None)
            if field is not None:
                taken[key] = field
            else:
                seen |= {line}.union(*unique.values())
        return known, taken

    async def _present(self, collection: Any, field: str, values: Sequence[str]) -> set[str]:
        if not values:
            return set()
        # The type lets MongoDB use a partial index.
        found = collection.find({field: {"$in": list(values), "$type": "string"}}, {field: 1})
        return {document[field] for document in await found.to_list(len(values))}

    async def _linked(self, identities: Sequence[Identity]) -> dict[tuple[str, str], str]:
        if not identities:
            return {}
        wanted = [{"issuer": each.issuer, "subject": each.subject} for each in identities]
        found = self._identities.find({"$or": wanted}, {"issuer": 1, "subject": 1, "userId": 1})
        documents = await found.to_list(len(wanted))
        return {(each["issuer"], each["subject"]): each["userId"] for each in documents}


def _email_key(user: User) -> str:
    return user.email.casefold()


def _unique(account: ImportedUser) -> Mapping[str, set[int]]:
    """What no two accounts may have, by field; as hashes, because a dry run keeps those of a whole file."""
    username = account.user.username
    return {
        "email": {hash(("email", _email_key(account.user)))},
        "username": {hash(("username", username.casefold()))} if username else set(),
        "identities": {hash(("identity", each.issuer, each.subject)) for each in account.identities},
    }
