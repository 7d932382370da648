"""Login providers: Google, GitHub, and any OpenID provider (docs/providers.md).

A provider's issuer is pinned here: it is part of each identity, must match the discovery document, and must be
unique among the providers (ASVS 5.0, 6.8.1 and 10.5.3).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints

from auth.platform.hosts import is_loopback
from auth.platform.settings.section import PREFIX, Section, SettingsError, WebUrl, read_section

GOOGLE_ISSUER = "https://accounts.google.com"
OIDC = f"{PREFIX}OIDC_"
MAX_PROVIDERS = 16

# An id contains no underscore, so that its end is unambiguous.
_OIDC_NAME = re.compile(rf"{OIDC}([A-Z0-9]{{1,16}})_(?:ISSUER|CLIENT_ID|CLIENT_SECRET|NAME)")

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$")]


class ProviderSettings(Section):
    """Login with Google and GitHub."""

    google_client_id: Identifier | None = Field(None, description="Client ID at Google; enables this provider.")
    google_client_secret: SecretStr | None = Field(None, description="Client secret at Google.")
    github_client_id: Identifier | None = Field(None, description="Client ID at GitHub; enables this provider.")
    github_client_secret: SecretStr | None = Field(None, description="Client secret at GitHub.")
    github_url: WebUrl = Field("https://github.com", description="URL of GitHub or a GitHub Enterprise Server.")
    github_api_url: WebUrl = Field("https://api.github.com", description="URL of its API.")


class OidcSettings(Section):
    """One OpenID provider, `VIGIL_OIDC_<ID>_…`."""

    issuer: WebUrl
    client_id: Identifier
    client_secret: SecretStr
    name: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")] | None = None


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A configured provider. `variable` is the setting named in errors about it."""

    provider_id: str
    name: str
    kind: Literal["openid", "github"]
    issuer: str
    client_id: str
    client_secret: SecretStr
    variable: str
    api_url: str = field(default="")

    def check_transport(self, *, public_url: str) -> None:
        """Raise `SettingsError` for plain http, unless provider and server are both on loopback (development)."""
        alone = is_loopback(urlsplit(public_url).hostname or "")
        for variable, url in ((self.variable, self.issuer), (f"{PREFIX}GITHUB_API_URL", self.api_url)):
            parts = urlsplit(url)
            if url and parts.scheme != "https" and not (alone and is_loopback(parts.hostname or "")):
                raise SettingsError(f"{variable} is wrong: it must begin with https://")


def read_providers(environ: Mapping[str, str]) -> tuple[ProviderConfig, ...]:
    """All configured providers. Raises `SettingsError` naming the first invalid variable."""
    found = [*_well_known(read_section(ProviderSettings, environ)), *_openid(environ)]
    if len(found) > MAX_PROVIDERS:
        raise SettingsError(f"{found[-1].variable} is wrong: at most {MAX_PROVIDERS} providers are supported")
    by_issuer: dict[str, ProviderConfig] = {}
    for provider in found:
        other = by_issuer.setdefault(provider.issuer.rstrip("/").lower(), provider)
        if other is not provider:
            raise SettingsError(f"{provider.variable} is wrong: {other.name} has the same issuer")
    return tuple(found)


def _well_known(settings: ProviderSettings) -> list[ProviderConfig]:
    found = []
    if _is_whole("GOOGLE", settings.google_client_id, settings.google_client_secret):
        assert settings.google_client_id is not None
        assert settings.google_client_secret is not None
        google = ProviderConfig(
            provider_id="google",
            name="Google",
            kind="openid",
            issuer=GOOGLE_ISSUER,
            client_id=settings.google_client_id,
            client_secret=settings.google_client_secret,
            variable=f"{PREFIX}GOOGLE_CLIENT_ID",
        )
        found.append(google)
    if _is_whole("GITHUB", settings.github_client_id, settings.github_client_secret):
        assert settings.github_client_id is not None
        assert settings.github_client_secret is not None
        github = ProviderConfig(
            provider_id="github",
            name="GitHub",
            kind="github",
            issuer=settings.github_url.rstrip("/"),
            client_id=settings.github_client_id,
            client_secret=settings.github_client_secret,
            variable=f"{PREFIX}GITHUB_URL",
            api_url=settings.github_api_url.rstrip("/"),
        )
        found.append(github)
    return found


def _is_whole(name: str, client_id: str | None, client_secret: SecretStr | None) -> bool:
    if (client_id is None) != (client_secret is None):
        missing = "CLIENT_ID" if client_id is None else "CLIENT_SECRET"
        raise SettingsError(f"{PREFIX}{name}_{missing} is required: the other half of the pair is set")
    return client_id is not None


def _openid(environ: Mapping[str, str]) -> list[ProviderConfig]:
    ids = set()
    for variable in sorted(environ):
        if not variable.startswith(OIDC) or not environ[variable]:
            continue
        named = _OIDC_NAME.fullmatch(variable)
        if named is None or named[1] in {"GOOGLE", "GITHUB"}:
            raise SettingsError(
                f"{variable[:64]} is wrong: write {OIDC}<ID>_ISSUER, _CLIENT_ID, _CLIENT_SECRET or _NAME, "
                "with an ID of letters and digits"
            )
        ids.add(named[1])
    return [_openid_one(provider_id, environ) for provider_id in sorted(ids)]


def _openid_one(provider_id: str, environ: Mapping[str, str]) -> ProviderConfig:
    prefix = f"{OIDC}{provider_id}_"
    settings = read_section(OidcSettings, environ, prefix=prefix)
    return ProviderConfig(
        provider_id=provider_id.lower(),
        name=settings.name or provider_id.capitalize(),
        kind="openid",
        issuer=settings.issuer,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        variable=f"{prefix}ISSUER",
    )
