"""The interface of a provider."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from auth.login.providers.authorization_request import Proofs
from auth.login.providers.claims import Claims
from auth.platform.settings.providers import ProviderConfig


@dataclass(frozen=True, slots=True)
class Callback:
    """The parameters with which the browser returns from a provider; untrusted."""

    state: str
    code: str | None = None
    issuer: str | None = None
    error: str | None = None

    def __repr__(self) -> str:
        return f"Callback(error={self.error!r}, …)"


class Provider(ABC):
    """One configured provider. `issuer` is the namespace of its users' identifiers."""

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config

    @property
    def provider_id(self) -> str:
        """The provider's id in URLs of this server."""
        return self._config.provider_id

    @property
    def name(self) -> str:
        """The provider's display name."""
        return self._config.name

    @property
    def issuer(self) -> str:
        """The provider's issuer identifier."""
        return self._config.issuer

    @abstractmethod
    async def authorization_url(self, proofs: Proofs, redirect_uri: str) -> str:
        """Return the URL to redirect the browser to. Raises `Unavailable` or `ProviderFailed`."""

    @abstractmethod
    async def check_issuer(self, issuer: str | None) -> None:
        """Raise `ProviderFailed` unless a response with this `issuer` can be from this provider (RFC 9207)."""

    @abstractmethod
    async def identify(self, code: str, proofs: Proofs, redirect_uri: str) -> Claims:
        """Identify the user. Raises `InvalidToken` for an expired code, `Unavailable` or `ProviderFailed`."""
