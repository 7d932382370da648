"""In what terms sessions are dealt with: what `Sessions` asks of others, its rules, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from auth.models import Client, Delivery, Device, IssuedTokens, Location, Session, User
from auth.rotation import RotationPolicy, Verdict


class RevocationList(Protocol):
    """Answers from memory of all nodes whether a session was revoked while its tokens could still be good."""

    async def is_revoked(self, session_id: str) -> bool:
        """Raises `Unavailable` when it cannot tell."""


class Audit(Protocol):
    """Where security events are written down."""

    async def record(
        self,
        kind: str,
        *,
        user_id: str | None,
        session_id: str | None,
        client: Client | None,
        details: Mapping[str, str] = ...,
        now: datetime,
    ) -> None:
        """Write one event."""


class DeviceReader(Protocol):
    """Reads a device off what a client says of itself."""

    def read(self, client: Client, *, name: str | None = None) -> Device:
        """The device, named `name` if the user gave one."""


class LocationReader(Protocol):
    """Knows where addresses are."""

    def locate(self, ip: str) -> Location | None:
        """The location, or None for an address that has none."""


class SessionReader(Protocol):
    """Where sessions are kept."""

    async def get(self, session_id: str) -> Session | None:
        """The session, live or not."""


class Risks(Protocol):
    """Judges what is odd about a login or a refresh, and leaves a trace of it; keeps nobody out."""

    async def judge_login(self, user: User, session: Session, *, client: Client) -> tuple[str, ...]:
        """The kinds of `security-alert` that the user's other devices are to be told of a new session."""

    async def judge_refresh(self, before: Session, after: Session, *, client: Client) -> None:
        """Look at a rotation."""


class TheftNotice(Protocol):
    """Tells a user by mail that a refresh token of theirs was used twice."""

    async def refresh_reused(self, session: Session, *, now: datetime) -> None:
        """Queue the mail; never waits for a mail server."""


@dataclass(frozen=True, slots=True)
class StartedSession:
    """A new session and its first tokens."""

    session: Session
    tokens: IssuedTokens


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh handed out and why."""

    session: Session
    tokens: IssuedTokens
    outcome: Verdict


@dataclass(frozen=True, slots=True)
class SessionList:
    """The user's live sessions; `version` counts changes, a gap in it means: list again."""

    sessions: tuple[Session, ...]
    online: frozenset[str]
    version: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """How many sessions were ended, and what became of that at their devices."""

    count: int = 0
    delivery: Delivery = field(default_factory=Delivery)


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Lifetimes and the rotation policy; `theft_ends_all`: a reused token ends every session of the user."""

    idle_life: timedelta
    whole_life: timedelta
    rotation: RotationPolicy
    theft_ends_all: bool
