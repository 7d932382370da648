"""Import of accounts from another system, by the operator (`server.py import`).

An account's id is derived from its line, under the root secret. A run that was killed is therefore repeated as a
whole: lines that were imported are recognised, and no account is created twice. Identities are stored before their
account, so that an account that exists has them.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from auth.backends.users import NewUser, new_user
from auth.core.errors import FieldError, InvalidRequest
from auth.core.models import User
from auth.services import Operation, Services
from auth.stores.identities import Identity
from auth.stores.users.imports import ImportedUser, UserImports

KEY_PURPOSE = "user import"
MAX_ROLES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedAccount:
    """One line: an account, and what the server API does not set. `identities`: provider and subject."""

    user: NewUser
    roles: Sequence[str]
    identities: Sequence[tuple[str, str]]
    created_at: datetime | None
    locked: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file, by its number."""

    number: int
    raw: bytes
    account: ImportedAccount


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is not imported, and why; never what it contains."""

    number: int
    errors: Sequence[FieldError]


@dataclass(frozen=True, slots=True)
class ImportedBatch:
    """What became of some lines: accounts created, and accounts that were there from an earlier run."""

    created: int
    known: int
    refused: Sequence[RefusedLine]


class UserImport(Operation):
    """Imports accounts. `issuers`: of the configured providers, by their ids; `roles`: those that exist."""

    def __init__(
        self,
        services: Services,
        *,
        store: UserImports,
        key: bytes,
        roles: Collection[str],
        issuers: Mapping[str, str],
    ) -> None:
        super().__init__(services)
        self._store = store
        self._key = key
        self._roles = roles
        self._issuers = issuers

    async def add(self, lines: Sequence[Line], *, dry_run: bool) -> ImportedBatch:
        """Import some lines; with `dry_run` only say what would be refused. Idempotent. Raises `Unavailable`."""
        refused: list[RefusedLine] = []
        accounts: dict[int, ImportedUser] = {}
        for line in lines:
            try:
                accounts[line.number] = self._account(line)
            except InvalidRequest as refusal:
                refused.append(RefusedLine(line.number, refusal.errors))
        found = await self._store.check(accounts) if dry_run else await self._store.add(accounts)
        refused += [
            RefusedLine(number, [FieldError(field, "Another account has this already.")])
            for number, field in found.taken.items()
        ]
        return ImportedBatch(len(accounts) - len(found.taken) - found.known, found.known, refused)

    async def finished(self, *, created: int, known: int, refused: int, with_roles: int) -> None:
        """Record the import in the audit trail."""
        counts = {"created": created, "known": known, "refused": refused, "withRoles": with_roles}
        details = {name: str(count) for name, count in counts.items()}
        await self._audit.record("users_imported", user_id=None, details=details)

    def _account(self, line: Line) -> ImportedUser:
        """Raises `InvalidRequest`."""
        account, now = line.account, self._clock()
        user = replace(
            new_user(account.user, user_id=self._id(line.raw), now=now),
            roles=self._known_roles(account.roles),
            created_at=self._time(account.created_at, now),
            locked_at=now if account.locked else None,
        )
        return ImportedUser(user, [self._identity(user, *each, now) for each in account.identities])

    def _known_roles(self, wanted: Sequence[str]) -> tuple[str, ...]:
        if not set(wanted) <= set(self._roles):
            raise InvalidRequest(errors=[FieldError("roles", f"Known roles are: {', '.join(self._roles)}.")])
        return tuple(role for role in self._roles if role in wanted)

    def _time(self, created_at: datetime | None, now: datetime) -> datetime:
        if created_at is not None and created_at > now:
            raise InvalidRequest(errors=[FieldError("createdAt", "This time is in the future.")])
        return created_at or now

    def _identity(self, user: User, provider_id: str, subject: str, now: datetime) -> Identity:
        issuer = self._issuers.get(provider_id)
        if issuer is None:
            known = ", ".join(self._issuers) or "none"
            raise InvalidRequest(
                errors=[FieldError("identities", f"No such provider is configured; configured are: {known}.")]
            )
        return Identity(
            identity_id=self._id(f"{user.user_id} {issuer}".encode()),
            issuer=issuer,
            subject=subject,
            user_id=user.user_id,
            provider_id=provider_id,
            label=user.email,
            linked_at=now,
            last_used_at=now,
            # With an unconfirmed address, whoever confirms it later does not share the account with this identity.
            registration_id=None if user.email_verified_at is not None else "import",
        )

    def _id(self, what: bytes) -> str:
        # Keyed: a plain hash would tell others whether they guessed an address and a name.
        return hmac.digest(self._key, what, hashlib.sha256)[:16].hex()
