"""What the server is about: users, sessions, devices and principals, with their pure rules.

Times are aware UTC in whole milliseconds; rules take `now` and ask nobody for it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal


class TokenDelivery(StrEnum):
    """How a session's tokens travel (protocol.md, section 3)."""

    BODY = "body"
    COOKIE = "cookie"
    COOKIES = "cookies"


class RevocationReason(StrEnum):
    """Why a session ended before its tokens did (protocol.md, section 5)."""

    LOGOUT = "logout"
    LOGOUT_ALL = "logout_all"
    REVOKED = "revoked"
    REVOKED_OTHERS = "revoked_others"
    REFRESH_REUSED = "refresh_reused"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a reason, not a password
    ROLE_CHANGED = "role_changed"
    ADMIN = "admin"
    EXPIRED = "expired"
    ACCOUNT_DELETED = "account_deleted"


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request or a socket comes from. All of it is the peer's claim but `ip`.

    `hints` are the user-agent client hints sent, header name in lower case to value.
    """

    ip: str
    user_agent: str = ""
    hints: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """A label for people to recognise a login by. Never proof of anything."""

    name: str
    browser: str | None = None
    os: str | None = None
    kind: Literal["desktop", "phone", "tablet", "bot", "other"] = "other"


@dataclass(frozen=True, slots=True)
class Location:
    """Where an address is registered: `country` an ISO 3166-1 alpha-2 code; degrees where a database has them."""

    city: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A user was seen: on which device, from where, and when last."""

    device: Device
    location: Location | None
    at: datetime


# Everybody has it; no list of roles names it.
USER = "user"
MODERATOR = "moderator"
ADMIN = "admin"


def has_role(held: Collection[str], role: str) -> bool:
    """Whether who holds these roles may do what asks for `role`: an admin may do what any role may."""
    return role == USER or role in held or ADMIN in held


@dataclass(frozen=True, slots=True)
class HeldRoles:
    """A user's roles, and of which of their changes they are: of two, the one with the greater version holds."""

    roles: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Actor:
    """Who ended a session: a user on one of their devices, an administrator, or the server itself."""

    kind: Literal["user", "admin", "system"]
    session_id: str | None = None


SYSTEM = Actor("system")


@dataclass(frozen=True, slots=True)
class SessionsToEnd:
    """Which sessions a change of the account ends, why and by whom: those begun by `at`, all but `keep`.

    Kept with the account from the very update that makes the change until they have been ended, so that a node
    which dies in between leaves the rest of the work to the others (auth/session_endings.py).
    """

    ending_id: str
    at: datetime
    reason: RevocationReason
    by: Actor
    keep: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """An account. `user_id` is opaque and is the `sub` of every token."""

    user_id: str
    email: str
    name: str | None
    username: str | None
    roles: tuple[str, ...]
    created_at: datetime
    email_verified_at: datetime | None = None
    password_hash: str | None = None
    locked_at: datetime | None = None
    # In E.164; there only once its owner has confirmed it.
    phone_number: str | None = None
    phone_verified_at: datetime | None = None
    # Whether a login of theirs may be approved on another device.
    login_approval: bool = True
    # When the data are to be deleted, if the user asked for that.
    deletion_at: datetime | None = None
    # Grows with each change of `roles`: of two that are told in the wrong order the later one holds.
    roles_version: int = 0
    # Grows with a new password and with a second factor put in force: what was begun before ends with it.
    credentials_version: int = 0
    # Which sessions are as good as over, though not all of them may know.
    sessions_to_end: SessionsToEnd | None = None

    @property
    def held_roles(self) -> HeldRoles:
        """The roles with their version."""
        return HeldRoles(self.roles, self.roles_version)

    def has_ended(self, session: "Session") -> bool:
        """Whether a change of the account has ended the session, though that may still be on its way."""
        ending = self.sessions_to_end
        return ending is not None and session.session_id != ending.keep and session.logged_in_at <= ending.at


# RFC 8176: more than one factor was used.
MULTI_FACTOR = "mfa"


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device, which is one refresh token family (sessions.md)."""

    session_id: str
    user_id: str
    nonce_hash: bytes
    generation: int
    confirmed: bool
    delivery: TokenDelivery
    roles: tuple[str, ...]
    amr: tuple[str, ...]
    device: Device
    user_agent: str
    ip: str
    location: Location | None
    logged_in_at: datetime
    last_seen_at: datetime
    rotated_at: datetime
    expires_at: datetime
    ends_at: datetime
    revoked_at: datetime | None = None
    revoked_reason: RevocationReason | None = None
    revoked_by: Actor | None = None
    assured_at: datetime | None = None
    # The user's `roles_version` that `roles` are of.
    roles_version: int = 0

    @property
    def proved_at(self) -> datetime:
        """When somebody last proved on this device who they are: at the login, or at a step-up since."""
        return max(self.logged_in_at, self.assured_at or self.logged_in_at)

    def is_assured(self, now: datetime, *, max_age: timedelta, strongly: bool) -> bool:
        """Whether that proof is young enough for a sensitive operation; `strongly`: and was of two factors."""
        return now - self.proved_at <= max_age and (not strongly or MULTI_FACTOR in self.amr)

    def is_live(self, now: datetime) -> bool:
        """Whether the session is neither revoked nor expired at `now`."""
        return self.revoked_at is None and now < self.expires_at


class ApprovalStatus(StrEnum):
    """What became of the question whether a login is the user's own."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Approval:
    """A waiting login that the user's other devices were asked about.

    `login_id` is the waiting login's challenge; the new device shows `number`, the others show all of `numbers`.
    """

    approval_id: str
    login_id: bytes
    user_id: str
    number: int
    numbers: tuple[int, ...]
    device: Device
    location: Location | None
    ip: str
    asked_at: datetime
    expires_at: datetime
    answer: ApprovalStatus | None = None
    answered_by: str | None = None

    def status(self, now: datetime) -> ApprovalStatus:
        """What became of it so far."""
        if self.answer is not None:
            return self.answer
        return ApprovalStatus.PENDING if now < self.expires_at else ApprovalStatus.EXPIRED


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request or a socket acts as: what a verified access token says."""

    user_id: str
    session_id: str
    generation: int
    roles: tuple[str, ...]
    amr: tuple[str, ...]
    auth_time: datetime
    issued_at: datetime
    expires_at: datetime

    @property
    def is_privileged(self) -> bool:
        """Whether it claims a role that not everybody has."""
        return any(role != USER for role in self.roles)


@dataclass(frozen=True, slots=True)
class Passkey:
    """A credential as it is kept. `sign_count` is what its authenticator said last."""

    credential_id: bytes
    user_id: str
    public_key: bytes
    sign_count: int
    name: str
    transports: tuple[str, ...]
    backed_up: bool
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FactorAnswer:
    """What somebody brings as proof: a code, a password or a passkey's assertion, by the method they chose."""

    method: str
    code: str | None = None
    password: str | None = None
    credential: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"FactorAnswer(method={self.method!r}, …)"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a forced logout at the devices it was meant for, counted over all nodes within 1 s.

    `sockets` were live; `notified` were sent `session-revoked`; `acknowledged` confirmed it; `closed` are
    gone; `pending` are not known to be gone yet.
    """

    sockets: int = 0
    notified: int = 0
    acknowledged: int = 0
    closed: int = 0
    pending: int = 0

    def __add__(self, other: "Delivery") -> "Delivery":
        return Delivery(
            self.sockets + other.sockets,
            self.notified + other.notified,
            self.acknowledged + other.acknowledged,
            self.closed + other.closed,
            self.pending + other.pending,
        )


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A token pair as handed to a client once. Never stored, never logged."""

    access_token: str
    access_token_expires_at: datetime
    refresh_token: str
    refresh_token_expires_at: datetime

    def __repr__(self) -> str:
        return "IssuedTokens(…)"
