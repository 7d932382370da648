"""Server keys: the credentials of applications' backends, and the rules by which one is accepted. Pure.

A key is `vsk_<id>_<secret>`. The id finds the stored key; the secret has 256 random bits, so a plain SHA-256 of it
can neither be guessed nor inverted, and needs no slow hash.
"""

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from auth.core.errors import AuthError, FieldError, InvalidRequest, InvalidToken, TokenExpired
from auth.core.text import clean_name

_PLAIN = re.compile(r"vsk_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)

MAX_DAYS = 3650
# Last use is written at most once in this time.
USE_INTERVAL = timedelta(minutes=1)


class Scope(StrEnum):
    """What a key may do (protocol.md, section 8)."""

    EMIT = "emit"
    PRESENCE = "presence"
    SESSIONS = "sessions"
    USERS = "users"
    EVENTS = "events"
    REVOCATIONS = "revocations"


# Each use of these is in the audit trail.
WRITING_SCOPES = frozenset({Scope.EMIT, Scope.SESSIONS, Scope.USERS})


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A stored key, without its secret."""

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    secret_hash: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def check(self, now: datetime) -> None:
        """Raise `InvalidToken` if the key is revoked, `TokenExpired` if it has expired."""
        if self.revoked_at is not None:
            raise InvalidToken("This server key was revoked.")
        if self.expires_at is not None and self.expires_at <= now:
            raise TokenExpired("This server key has expired.")

    def has_any(self, scopes: Collection[Scope]) -> bool:
        """Whether the key has one of these scopes."""
        return not set(scopes).isdisjoint(self.scopes)

    def use_is_news(self, now: datetime) -> bool:
        """Whether the last recorded use is old enough to record another."""
        return self.last_used_at is None or now - self.last_used_at >= USE_INTERVAL


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """The id of a presented key, and the hash of its secret."""

    key_id: str
    secret_hash: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "PresentedKey":
        """Parse a key as it is sent. Raises `InvalidToken` for anything else."""
        match = _PLAIN.fullmatch(text)
        if match is None:
            raise InvalidToken("This is not a server key.")
        return cls(match[1], _hash(match[2]))


def new_key(
    name: str, scopes: Collection[str], *, expires_in_days: int | None, now: datetime
) -> tuple[ServerKey, str]:
    """Return a new key and its text, which is not stored. Raises `InvalidRequest`."""
    cleaned = clean_name(name)
    if cleaned is None:
        raise _invalid("name", "A key needs a name.")
    unknown = sorted(set(scopes) - set(Scope))
    if unknown or not scopes:
        raise _invalid("scopes", f"Choose one or more of: {', '.join(Scope)}.")
    if expires_in_days is not None and not 1 <= expires_in_days <= MAX_DAYS:
        raise _invalid("expiresInDays", f"Use 1 to {MAX_DAYS} days.")
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    key = ServerKey(
        key_id=key_id,
        name=cleaned,
        scopes=tuple(scope for scope in Scope if scope in scopes),
        secret_hash=_hash(secret),
        created_at=now,
        expires_at=None if expires_in_days is None else now + timedelta(days=expires_in_days),
    )
    return key, f"vsk_{key_id}_{secret}"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _invalid(name: str, message: str) -> AuthError:
    return InvalidRequest(errors=[FieldError(name, message)])
