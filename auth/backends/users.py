"""Accounts, for backends: provision, look up, metadata.

A backend gives no roles: a key that may write accounts must not be able to make an administrator.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.core.errors import Conflict, FieldError, InvalidRequest, NotFound
from auth.core.json_values import as_json
from auth.core.models import User
from auth.core.text import clean_name, clean_username, require_email, username_taken
from auth.crypto.password_hashes import usable_password_hash
from auth.services import Operation
from auth.stores.users.store import EmailTaken, UsernameTaken

MAX_METADATA_BYTES = 8 * 1024

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """An account to create. `password_hash`: in a form of auth/crypto/password_hashes.py; without it the user
    sets a password by mail.
    """

    email: str
    email_verified: bool
    name: str | None
    username: str | None
    password_hash: str | None
    metadata: Json | None
    private_metadata: Json | None

    def __repr__(self) -> str:
        return "NewUser(…)"


class BackendUsers(Operation):
    """Creates, finds and changes accounts."""

    async def create(self, new: NewUser) -> User:
        """Create an account. Sends no mail. Raises `InvalidRequest`, or `Conflict` if the address is taken."""
        now = self._clock()
        user = new_user(new, user_id=secrets.token_hex(16), now=now)
        try:
            await self._users.create(user)
        except EmailTaken:
            raise Conflict("An account has this address already.") from None
        except UsernameTaken:
            raise username_taken() from None
        await self._audit.record("user_provisioned", user_id=user.user_id, details={"by": "server"}, now=now)
        return user

    async def by_email(self, email: str) -> User | None:
        """Return the account with this address, if there is one. Raises `InvalidRequest` for no address."""
        return await self._users.by_email(require_email(email).key)

    async def by_id(self, user_id: str) -> User:
        """Return an account. Raises `NotFound`."""
        user = await self._users.by_id(user_id)
        if user is None:
            raise NotFound("There is no such account.")
        return user

    async def update(self, user_id: str, changes: Mapping[str, Any]) -> User:
        """Change `name`, `username`, `metadata` and `private_metadata`, those that are present; None clears one.

        Metadata are replaced as a whole. One update. Raises `InvalidRequest` or `NotFound`.
        """
        values: dict[str, str | None] = {}
        if "name" in changes:
            values["name"] = clean_name(changes["name"])
        if "username" in changes:
            values["username"] = clean_username(changes["username"])
        if "metadata" in changes:
            values["metadata"] = _stored("metadata", changes["metadata"])
        if "private_metadata" in changes:
            values["privateMetadata"] = _stored("privateMetadata", changes["private_metadata"])
        try:
            user = await self._users.update_profile(user_id, values)
        except UsernameTaken:
            raise username_taken() from None
        if user is None:
            raise NotFound("There is no such account.")
        return user


def new_user(new: NewUser, *, user_id: str, now: datetime) -> User:
    """The account to store, without roles. Raises `InvalidRequest`."""
    address = require_email(new.email)
    return User(
        user_id=user_id,
        email=address.address,
        name=clean_name(new.name),
        username=clean_username(new.username),
        roles=(),
        created_at=now,
        email_verified_at=now if new.email_verified else None,
        password_hash=None if new.password_hash is None else usable_password_hash(new.password_hash),
        metadata=_stored("metadata", new.metadata),
        private_metadata=_stored("privateMetadata", new.private_metadata),
    )


def _stored(field: str, value: Json | None) -> str | None:
    """Metadata as they are stored: as text, because MongoDB has not all names and numbers that JSON has."""
    if value is None:
        return None
    text = as_json(value)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise InvalidRequest(errors=[FieldError(field, "Use at most 8 KiB of JSON.")])
    return text
