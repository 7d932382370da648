"""Users, sessions, devices and principals, with their pure rules.

Times are aware UTC in whole milliseconds; rules take `now` as an argument.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal


class TokenDelivery(StrEnum):
    """How a session's tokens are transported (protocol.md, section 3)."""

    BODY = "body"
    COOKIE = "cookie"
    COOKIES = "cookies"


class RevocationReason(StrEnum):
    """Why a session ended before its tokens expired (protocol.md, section 5)."""

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
class Revocation:
    """The end of a session."""

    session_id: str
    user_id: str
    reason: RevocationReason
    at: datetime


@dataclass(frozen=True, slots=True)
class Client:
    """The origin of a request or socket. Everything but `ip` is claimed by the peer.

    `hints` are the user-agent client hints sent, as (lower-case header name, value).
    """

    ip: str
    user_agent: str = ""
    hints: tuple[tuple[str, str], ...] = ()


# The client of actions that the server itself performs.
NOWHERE = Client("")


@dataclass(frozen=True, slots=True)
class Device:
    """A label by which users recognise a login. Never proof of identity.

    `name` was chosen by the device, or else is `detected`: the name made from its headers. Sessions of earlier
    versions have no `detected`.
    """

    name: str
    browser: str | None = None
    os: str | None = None
    kind: Literal["desktop", "phone", "tablet", "bot", "other"] = "other"
    detected: str | None = None


@dataclass(frozen=True, slots=True)
class ClientKind:
    """The kind of client that presents a token, from its user agent alone. Without versions, which change
    during a session.

    A claim, like a device. Client hints are not used: browsers send none with a WebSocket.
    """

    browser: str
    os: str | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """Where an address is registered: `country` is an ISO 3166-1 alpha-2 code; coordinates in degrees if a
    database has them.
    """

    city: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A device and location of a user, and when they were last seen."""

    device: Device
    location: Location | None
    at: datetime


# Implicit for every user; never listed among an account's roles.
USER = "user"
MODERATOR = "moderator"
ADMIN = "admin"


def has_role(held: Collection[str], role: str) -> bool:
    """Whether these roles satisfy `role`. An admin satisfies every role."""
    return role == USER or role in held or ADMIN in held


@dataclass(frozen=True, slots=True)
class HeldRoles:
    """A user's roles and the version of their last change; the greater version wins."""

    roles: tuple[str, ...]
    version: int


Act = Literal["two_factor_enabled", "factors_removed", "account_locked"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who ended a session: a user from one of their sessions, an administrator, or the server itself.

    `act`: what they did, if the session ended because of a change of the account that its reason does not name.
    `message`: what an application's backend says to the device.
    """

    kind: Literal["user", "admin", "system"]
    session_id: str | None = None
    act: Act | None = None
    message: str | None = None


SYSTEM = Actor("system")


@dataclass(frozen=True, slots=True)
class SessionsToEnd:
    """The sessions that an account change ends: those begun by `at`, except `keep`; with reason and actor.

    Written in the same update as the change and kept until the sessions have been ended, so that other nodes
    can finish the work of a node that dies in between (auth/sessions/endings.py).
    """

    ending_id: str
    at: datetime
    reason: RevocationReason
    by: Actor
    keep: str | None = None


@dataclass(frozen=True, slots=True)
class PendingEmail:
    """A change of address that waits for its confirmations: `confirmed` is the mailbox that has given one."""

    email: str
    expires_at: datetime
    confirmed: Literal["old", "new"] | None = None


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
    # In E.164; set only once confirmed.
    phone_number: str | None = None
    phone_verified_at: datetime | None = None
    # Whether the user's logins may be approved on another device.
    login_approval: bool = True
    # A change of address that was requested last, expired or not.
    pending_email: PendingEmail | None = None
    # When the account is to be erased, if the user requested it.
    deletion_at: datetime | None = None
    # Incremented with each change of `roles`; the greater version wins if changes arrive out of order.
    roles_version: int = 0
    # Incremented by a new password and by an enabled second factor; operations begun before it are void.
    credentials_version: int = 0
    # Incremented with each login method claimed for removal; those listed no longer count (auth/login/methods.py).
    login_methods_version: int = 0
    methods_to_remove: tuple[str, ...] = ()
    # JSON objects that a backend has stored, as text: one is shown to the user, the other is not.
    metadata: str | None = None
    private_metadata: str | None = None
    # Sessions that a change of the account has ended, while some may not be revoked yet.
    sessions_to_end: SessionsToEnd | None = None

    @property
    def held_roles(self) -> HeldRoles:
        """The roles with their version."""
        return HeldRoles(self.roles, self.roles_version)

    def has_ended(self, session: "Session") -> bool:
        """Whether a change of the account has ended the session, even if the session is not revoked yet."""
        ending = self.sessions_to_end
        return ending is not None and session.session_id != ending.keep and session.logged_in_at <= ending.at


# RFC 8176: more than one factor was used.
MULTI_FACTOR = "mfa"


@dataclass(frozen=True, slots=True)
class SessionAlert:
    """A `security-alert` about a session that the user has not answered yet."""

    kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device; equals one refresh token family (sessions.md)."""

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
    # The user's `roles_version` at which `roles` were copied.
    roles_version: int = 0
    # The kind of client of the last rotation, or of the login; None if unknown. `ip` and `location` are that
    # client's.
    rotated_by: ClientKind | None = None
    # The number of moments at which the previous generation's token was reused (rotation.py), and the start of
    # the last one.
    replays: int = 0
    replayed_at: datetime | None = None
    # The session that approved this login; it gets no alert about it.
    approved_by: str | None = None
    alerts: tuple[SessionAlert, ...] = ()

    @property
    def proved_at(self) -> datetime:
        """When the user last authenticated on this session: at login, or at a later step-up."""
        return max(self.logged_in_at, self.assured_at or self.logged_in_at)

    def is_assured(self, now: datetime, *, max_age: timedelta, strongly: bool) -> bool:
        """Whether that authentication is recent enough for a sensitive operation; `strongly` also requires two
        factors.
        """
        return now - self.proved_at <= max_age and (not strongly or MULTI_FACTOR in self.amr)

    def is_live(self, now: datetime) -> bool:
        """Whether the session is neither revoked nor expired at `now`."""
        return self.revoked_at is None and now < self.expires_at


class ApprovalStatus(StrEnum):
    """The status of a login approval request."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Approval:
    """A waiting login that the user's other devices were asked to approve.

    `login_id` is the waiting login's challenge. The new device shows `number`; the other devices show all of
    `numbers`.
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
    # How many numbers may be chosen: 2 if the new device can show a second one.
    tries_left: int = 1
    answer: ApprovalStatus | None = None
    answered_by: str | None = None

    def status(self, now: datetime) -> ApprovalStatus:
        """The status at `now`."""
        if self.answer is not None:
            return self.answer
        return ApprovalStatus.PENDING if now < self.expires_at else ApprovalStatus.EXPIRED


@dataclass(frozen=True, slots=True)
class Principal:
    """The identity a request or socket acts as, from a verified access token."""

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
        """Whether the token claims any role besides the implicit one."""
        return any(role != USER for role in self.roles)


@dataclass(frozen=True, slots=True)
class Passkey:
    """A stored credential. `sign_count` is the last value its authenticator reported."""

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
    """A proof presented by the user: a code, a password or a passkey assertion, with its method."""

    method: str
    code: str | None = None
    password: str | None = None
    credential: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"FactorAnswer(method={self.method!r}, …)"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Delivery counts of a forced logout, over all nodes, within 1 s.

    `sockets` were live; `notified` were sent `session-revoked`; `acknowledged` confirmed it; `closed` are
    closed; `pending` are not known to be closed yet. `incomplete`: the bus did not accept it, so there may be
    more.
    """

    sockets: int = 0
    notified: int = 0
    acknowledged: int = 0
    closed: int = 0
    pending: int = 0
    incomplete: bool = False

    def __add__(self, other: "Delivery") -> "Delivery":
        return Delivery(
            self.sockets + other.sockets,
            self.notified + other.notified,
            self.acknowledged + other.acknowledged,
            self.closed + other.closed,
            self.pending + other.pending,
            self.incomplete or other.incomplete,
        )


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A token pair as returned to a client once. Never stored or logged."""

    access_token: str
    access_token_expires_at: datetime
    refresh_token: str
    refresh_token_expires_at: datetime

    def __repr__(self) -> str:
        return "IssuedTokens(…)"
