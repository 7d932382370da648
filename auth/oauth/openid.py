"""An OpenID provider: found by its issuer, asked by the authorization code flow, believed by its ID token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import structlog

from auth.clock import Clock
from auth.errors import ProviderFailed
from auth.oauth.claims import Claims, claims_of
from auth.oauth.exchange import JSON, bearer, failed, object_of, redeem
from auth.oauth.flow import Proofs, authorization_url
from auth.oauth.id_tokens import ALGORITHMS, Expected, IdTokenRefused, UnknownKey, judge
from auth.oauth.kept import Kept
from auth.oauth.provider import Provider, Web
from auth.oauth.settings import ProviderConfig
from auth.section import is_loopback, split_web_url

log = structlog.get_logger()

# Who it is, their address, and what to call them; nothing that could be done in their name (ASVS 5.0, 10.2.3).
SCOPE = "openid email profile"
DISCOVERY = "/.well-known/openid-configuration"
MOST_KEYS = 64


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a discovery document says that matters here (OpenID Connect Discovery 1.0, section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    algorithms: frozenset[str]
    secret_in_header: bool
    names_issuer: bool


class OpenIdProvider(Provider):
    """One OpenID provider."""

    def __init__(self, config: ProviderConfig, *, web: Web, clock: Clock) -> None:
        super().__init__(config)
        self._web = web
        self._clock = clock
        self._metadata = Kept(self._discover, clock)
        self._keys = Kept(self._load_keys, clock)

    async def authorization_url(self, proofs: Proofs, redirect_uri: str) -> str:
        """Where to send the browser. Raises `Unavailable` or `ProviderFailed`."""
        metadata = await self._metadata.get()
        return authorization_url(
            metadata.authorization_endpoint,
            client_id=self._config.client_id,
            redirect_uri=redirect_uri,
            scope=SCOPE,
            proofs=proofs,
            more={"nonce": proofs.nonce},
        )

    async def check_issuer(self, issuer: str | None) -> None:
        """Raise `ProviderFailed` unless the answer that said `issuer` can be this provider's.

        One that announces the parameter must send it: without it the answer may be another's (RFC 9207, 2.4).
        """
        if issuer is None and not (await self._metadata.get()).names_issuer:
            return
        if issuer != self.issuer:
            raise failed(self._config, "callback: another issuer" if issuer else "callback: no issuer")

    async def identify(self, code: str, proofs: Proofs, redirect_uri: str) -> Claims:
        """Who it was. Raises `InvalidToken` for a code that is over, `Unavailable` or `ProviderFailed`."""
        metadata = await self._metadata.get()
        tokens = await redeem(
            self._web,
            self._config,
            endpoint=metadata.token_endpoint,
            code=code,
            proofs=proofs,
            redirect_uri=redirect_uri,
            in_header=metadata.secret_in_header,
        )
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise failed(self._config, "token: no ID token")
        expected = Expected(
            issuer=self.issuer,
            client_id=self._config.client_id,
            nonce=proofs.nonce,
            access_token=tokens["access_token"],
            algorithms=metadata.algorithms,
        )
        claims = await self._judged(id_token, expected)
        if claims.email is None and metadata.userinfo_endpoint is not None:
            return await self._asked(metadata.userinfo_endpoint, tokens["access_token"], claims)
        return claims

    async def _judged(self, id_token: str, expected: Expected) -> Claims:
        try:
            try:
                return judge(id_token, keys=await self._keys.get(), expected=expected, now=self._clock())
            except UnknownKey:
                # Keys are rotated: the set is asked for anew, though not at every stranger's word.
                return judge(id_token, keys=await self._keys.renewed(), expected=expected, now=self._clock())
        except IdTokenRefused as refused:
            raise failed(self._config, f"ID token: {refused}") from None

    async def _asked(self, endpoint: str, access_token: str, claims: Claims) -> Claims:
        """What the userinfo endpoint says of the same subject (OpenID Connect Core 1.0, section 5.3.2)."""
        reply = await self._web.get(endpoint, headers=bearer(access_token))
        said = object_of(reply, self._config, what="userinfo")
        if said.get("sub") != claims.subject:
            raise failed(self._config, "userinfo: another subject")
        asked = claims_of(claims.issuer, claims.subject, said)
        return replace(asked, name=asked.name or claims.name, label=asked.label or claims.label)

    async def _discover(self) -> Metadata:
        reply = await self._web.get(self.issuer.rstrip("/") + DISCOVERY, headers=JSON)
        document = object_of(reply, self._config, what="discovery")
        try:
            return metadata_of(document, issuer=self.issuer)
        except ProviderFailed as wrong:
            raise failed(self._config, f"discovery: {wrong.message}") from None

    async def _load_keys(self) -> Sequence[Mapping[str, Any]]:
        reply = await self._web.get((await self._metadata.get()).jwks_uri, headers=JSON)
        keys = object_of(reply, self._config, what="keys").get("keys")
        if not isinstance(keys, list):
            raise failed(self._config, "keys: no key set")
        return [key for key in keys if isinstance(key, dict)][:MOST_KEYS]


def metadata_of(document: Mapping[str, Any], *, issuer: str) -> Metadata:
    """What a discovery document says. Pure.

    Raises `ProviderFailed` for one of another issuer: a provider that poses as another (ASVS 5.0, 10.5.3).
    """
    if document.get("issuer") != issuer:
        raise ProviderFailed("it names another issuer")
    alone = is_loopback(urlsplit(issuer).hostname or "")
    algorithms = frozenset(_words(document, "id_token_signing_alg_values_supported") or ("RS256",))
    methods = _words(document, "token_endpoint_auth_methods_supported") or ("client_secret_basic",)
    userinfo = document.get("userinfo_endpoint")
    return Metadata(
        authorization_endpoint=_endpoint(document, "authorization_endpoint", alone=alone),
        token_endpoint=_endpoint(document, "token_endpoint", alone=alone),
        jwks_uri=_endpoint(document, "jwks_uri", alone=alone),
        userinfo_endpoint=None if userinfo is None else _endpoint(document, "userinfo_endpoint", alone=alone),
        algorithms=algorithms & ALGORITHMS.keys(),
        secret_in_header="client_secret_basic" in methods,
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: Mapping[str, Any], name: str, *, alone: bool) -> str:
    """A URL that tokens may be sent to: https, but for a provider on this very machine."""
    url = document.get(name)
    parts = split_web_url(url.partition("?")[0]) if isinstance(url, str) and url.isascii() else None
    if parts is None or not isinstance(url, str) or "#" in url:
        raise ProviderFailed(f"its {name} is no URL")
    if parts.scheme != "https" and not (alone and is_loopback(parts.hostname or "")):
        raise ProviderFailed(f"its {name} is not https")
    return url


def _words(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    words = document.get(name)
    return tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else ()
