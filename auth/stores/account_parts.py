"""What is kept of an account beside its own document: one table, so that none of it is forgotten when it is shown
to its user or erased.

A new collection that knows users belongs in `PARTS`; tests/stores/test_account_parts.py looks for those that are
not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auth.stores.mongo import Database, outage_is_unavailable

# More than anybody has of anything; an export that is longer is cut there.
MOST = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """A collection: by which field it knows its user, and which fields its user is shown; none: it is erased
    alone."""

    collection: str
    user_field: str = "userId"
    name: str = ""
    shown: tuple[str, ...] = ()


PARTS = (
    Part(
        "sessions",
        name="sessions",
        shown=("_id", "device", "userAgent", "ip", "location", "amr", "loggedInAt", "lastSeenAt", "expiresAt",
               "revokedAt", "revokedReason"),
    ),
    Part("passkeys", name="passkeys", shown=("name", "transports", "backedUp", "createdAt", "lastUsedAt")),
    Part("identities", name="linkedLogins", shown=("provider", "issuer", "subject", "label", "linkedAt",
    "lastUsedAt")), Part("factor_secrets", user_field="_id"),
    Part("mails", name="messages", shown=("kind", "channel", "to", "subject", "createdAt", "sentAt")),
    Part("login_approvals"),
    Part("one_time_tokens"),
    Part("challenges"),
)  # fmt: skip


class AccountParts:
    """Every part of an account, by the table above."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @outage_is_unavailable
    async def show(self, user_id: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What is kept, part by part, as far as it is its user's to see: no secret, no hash, no key."""
        shown = {}
        for part in PARTS:
            if part.shown:
                cursor = self._database[part.collection].find(
                    {part.user_field: user_id}, dict.fromkeys(part.shown, 1) | {"_id": int("_id" in part.shown)}
                )
                shown[part.name] = [_named(document) for document in await cursor.to_list(MOST)]
        return shown

    @outage_is_unavailable
    async def erase(self, user_id: str) -> None:
        """Erase every part; again is a no-op. The account's own document goes last, and elsewhere."""
        for part in PARTS:
            await self._database[part.collection].delete_many({part.user_field: user_id})


def _named(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"id" if field == "_id" else field: value for field, value in document.items()}
