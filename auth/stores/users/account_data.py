"""All data of an account besides its own document, in one table that export and erasure both use.

A new collection with user data must be added to `ACCOUNT_COLLECTIONS`; tests/stores/test_account_data.py checks
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auth.stores.mongo import Database, outage_is_unavailable

# Maximum documents exported per collection, more than any account is expected to have.
MAX_EXPORTED = 1000


@dataclass(frozen=True, slots=True)
class AccountCollection:
    """A collection, the field with the user's id, and the exported fields; without `shown`, it is only erased."""

    collection: str
    user_field: str = "userId"
    name: str = ""
    shown: tuple[str, ...] = ()


ACCOUNT_COLLECTIONS = (
    AccountCollection("sessions", name="sessions", shown=(
        "_id", "device", "userAgent", "ip", "location", "amr", "loggedInAt", "lastSeenAt", "expiresAt",
        "revokedAt", "revokedReason",
    )),
    AccountCollection("passkeys", name="passkeys", shown=(
        "name", "transports", "backedUp", "createdAt", "lastUsedAt",
    )),
    AccountCollection("identities", name="linkedLogins", shown=(
        "provider", "issuer", "subject", "label", "linkedAt", "lastUsedAt",
    )),
    AccountCollection("factor_secrets", user_field="_id"),
    AccountCollection("mails", name="messages", shown=("kind", "channel", "to", "subject", "createdAt", "sentAt")),
    AccountCollection("login_approvals"),
    AccountCollection("room_members"),
    AccountCollection("device_presence"),
    AccountCollection("one_time_tokens"),
    AccountCollection("challenges"),
)  # fmt: skip


class AccountData:
    """Exports and erases the data in `ACCOUNT_COLLECTIONS`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @outage_is_unavailable
    async def show(self, user_id: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """The user's data by collection, without secrets, hashes and keys."""
        shown = {}
        for part in ACCOUNT_COLLECTIONS:
            if part.shown:
                cursor = self._database[part.collection].find(
                    {part.user_field: user_id}, dict.fromkeys(part.shown, 1) | {"_id": int("_id" in part.shown)}
                )
                shown[part.name] = [_named(document) for document in await cursor.to_list(MAX_EXPORTED)]
        return shown

    @outage_is_unavailable
    async def erase(self, user_id: str) -> None:
        """Erase the data in all these collections; idempotent. The account's own document is erased last, by
        `Users.erase`.
        """
        for part in ACCOUNT_COLLECTIONS:
            await self._database[part.collection].delete_many({part.user_field: user_id})


def _named(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"id" if field == "_id" else field: value for field, value in document.items()}
