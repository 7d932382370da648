"""What a provider is to the rest of the server, and what it needs of the outside world."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from auth.oauth.claims import Claims
from auth.oauth.flow import Proofs
from auth.oauth.settings import ProviderConfig


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer from outside. Its body may hold tokens."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Reply({self.status}, …)"


class Web(Protocol):
    """Asks other servers: within seconds, up to a size, and wherever they point, nowhere else."""

    async def get(self, url: str, *, headers: Mapping[str, str]) -> Reply:
        """GET. Raises `Unavailable` when no answer comes, or one that is too long."""

    async def post(self, url: str, *, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """POST a form. Raises `Unavailable` when no answer comes, or one that is too long."""


@dataclass(frozen=True, slots=True)
class Callback:
    """What the browser brought back from a provider; all of it is the browser's claim."""

    state: str
    code: str | None = None
    issuer: str | None = None
    error: str | None = None

    def __repr__(self) -> str:
        return f"Callback(error={self.error!r}, …)"


class Provider(ABC):
    """One provider, as its settings have it. `issuer` is the name space of its users' identifiers."""

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config

    @property
    def provider_id(self) -> str:
        """What it is called in our URLs."""
        return self._config.provider_id

    @property
    def name(self) -> str:
        """What it is called by people."""
        return self._config.name

    @property
    def issuer(self) -> str:
        """Who vouches for its users."""
        return self._config.issuer

    @abstractmethod
    async def authorization_url(self, proofs: Proofs, redirect_uri: str) -> str:
        """Where to send the browser. Raises `Unavailable` or `ProviderFailed`."""

    @abstractmethod
    async def check_issuer(self, issuer: str | None) -> None:
        """Raise `ProviderFailed` unless the answer that said `issuer` can be this provider's (RFC 9207)."""

    @abstractmethod
    async def identify(self, code: str, proofs: Proofs, redirect_uri: str) -> Claims:
        """Who it was. Raises `InvalidToken` for a code that is over, `Unavailable` or `ProviderFailed`."""
