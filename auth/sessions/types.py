"""Types and interfaces of `Sessions`: its dependencies, rules and results."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from auth.core.models import Client, ClientKind, Delivery, IssuedTokens, Location, Session, User
from auth.platform.settings.settings import TokenSettings
from auth.sessions.rotation import RotationPolicy, Verdict


class RevocationList(Protocol):
    """Checks, across all nodes, whether a session was revoked while its tokens may still be valid."""

    # How long access tokens of a revoked session may remain unexpired.
    life: timedelta

    async def is_revoked(self, user_id: str, session_id: str) -> bool:
        """Raise `Unavailable` if the answer is unknown."""


@dataclass(frozen=True, slots=True)
class RefreshCaller:
    """The client that presents a refresh token, its kind and its location."""

    client: Client
    kind: ClientKind | None
    location: Location | None


class Risks(Protocol):
    """Detects and records unusual logins and refreshes; never blocks them."""

    async def judge_login(self, user: User, session: Session, *, client: Client) -> tuple[str, ...]:
        """Return the kinds of `security-alert` to send to the user's other devices about a new session."""

    async def judge_refresh(self, before: Session, after: Session, presenter: RefreshCaller) -> tuple[str, ...]:
        """Return the kinds of `security-alert` to send to the user's devices about a rotation."""

    async def judge_reuse(self, session: Session, presenter: RefreshCaller, *, now: datetime) -> tuple[str, ...]:
        """Return the same for a token presented again from elsewhere.

        Raises `Unavailable`, so that no tokens are issued without an alert.
        """


@dataclass(frozen=True, slots=True)
class StartedSession:
    """A new session and its first tokens."""

    session: Session
    tokens: IssuedTokens


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The tokens that a refresh issued, and why."""

    session: Session
    tokens: IssuedTokens
    outcome: Verdict


@dataclass(frozen=True, slots=True)
class SessionList:
    """A user's live sessions. `version` counts changes; after a gap, the client must list again."""

    sessions: tuple[Session, ...]
    online: frozenset[str]
    version: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """How many sessions were ended, and whether their devices received it."""

    count: int = 0
    delivery: Delivery = field(default_factory=Delivery)


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Lifetimes and the rotation policy; `theft_ends_all`: a reused token ends every session of the user."""

    idle_life: timedelta
    whole_life: timedelta
    rotation: RotationPolicy
    theft_ends_all: bool


def session_rules(tokens: TokenSettings) -> SessionRules:
    """Return the rules from the settings."""
    return SessionRules(
        idle_life=timedelta(seconds=tokens.refresh_token_seconds),
        whole_life=timedelta(seconds=tokens.session_max_seconds),
        rotation=RotationPolicy(
            timedelta(seconds=tokens.reuse_leeway_seconds), elsewhere_ends=tokens.reuse_elsewhere == "end"
        ),
        theft_ends_all=tokens.reuse_policy == "all",
    )
