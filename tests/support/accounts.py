"""Stores verified accounts directly in a node's database."""

import secrets
from datetime import UTC, datetime
from typing import Any

from support.nodes import mongo_client

# A document of the collection `users`.
Account = dict[str, Any]


def stored_account(database: tuple[str, str], email: str) -> Account:
    """Return the document of the account with this address."""
    url, name = database
    found = mongo_client(url)[name]["users"].find_one({"emailKey": email.casefold()})
    assert found is not None, email
    return dict(found)


def copy_account(database: tuple[str, str], account: Account, email: str) -> None:
    """Store a new account like `account`, with the same password, under another address.

    Raises `DuplicateKeyError` if the address is taken.
    """
    url, name = database
    now = datetime.now(UTC)
    own = {
        "_id": secrets.token_hex(16),
        "email": email,
        "emailKey": email.casefold(),
        "createdAt": now,
        "emailVerifiedAt": now,
    }
    mongo_client(url)[name]["users"].insert_one(account | own)
