"""OpenID Connect providers: discovery by issuer, authorization code flow, ID token validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import structlog

from auth.core.clock import Clock
from auth.core.errors import AuthError, ProviderFailed
from auth.login.providers.authorization_request import Proofs, authorization_url
from auth.login.providers.claims import Claims, claims_of
from auth.login.providers.document_cache import CachedDocument
from auth.login.providers.exchange import JSON, bearer, failed, object_of, redeem
from auth.login.providers.id_tokens import ALGORITHMS, ExpectedClaims, IdTokenRefused, OutdatedKeys, judge
from auth.login.providers.provider import Provider
from auth.platform.hosts import is_loopback
from auth.platform.http_client import HttpClient
from auth.platform.settings.providers import ProviderConfig
from auth.platform.settings.section import split_web_url

log = structlog.get_logger()

# Identity, address and name; no access on behalf of the user (ASVS 5.0, 10.2.3).
SCOPE = "openid email profile"
DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The values used from a discovery document (OpenID Connect Discovery 1.0, section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    algorithms: frozenset[str]
    secret_in_header: bool
    secret_in_form: bool
    names_issuer: bool


class OpenIdProvider(Provider):
    """One OpenID provider."""

    def __init__(self, config: ProviderConfig, *, web: HttpClient, clock: Clock) -> None:
        super().__init__(config)
        self._web = web
        self._clock = clock
        self._metadata = CachedDocument(self._discover, clock)
        self._keys = CachedDocument(self._load_keys, clock)

    async def authorization_url(self, proofs: Proofs, redirect_uri: str) -> str:
        """Return the URL to redirect the browser to. Raises `Unavailable` or `ProviderFailed`."""
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
        """Raise `ProviderFailed` unless a response with this `issuer` can be from this provider.

        A provider that announces the parameter must send it: otherwise the response may be another provider's
        (RFC 9207, 2.4).
        """
        if issuer is None and not (await self._metadata.get()).names_issuer:
            return
        if issuer != self.issuer:
            raise failed(self._config, "callback: another issuer" if issuer else "callback: no issuer")

    async def identify(self, code: str, proofs: Proofs, redirect_uri: str) -> Claims:
        """Identify the user. Raises `InvalidToken` for an expired code, `Unavailable` or `ProviderFailed`."""
        metadata = await self._metadata.get()
        tokens = await redeem(
            self._web,
            self._config,
            endpoint=metadata.token_endpoint,
            code=code,
            proofs=proofs,
            redirect_uri=redirect_uri,
            in_header=metadata.secret_in_header,
            in_form=metadata.secret_in_form,
        )
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise failed(self._config, "token: no ID token")
        expected = ExpectedClaims(
            issuer=self.issuer,
            client_id=self._config.client_id,
            nonce=proofs.nonce,
            access_token=tokens["access_token"],
            algorithms=metadata.algorithms,
        )
        claims = await self._verify_id_token(id_token, expected)
        if claims.is_complete or metadata.userinfo_endpoint is None:
            return claims
        return await self._fetch_userinfo(metadata.userinfo_endpoint, tokens["access_token"], claims)

    async def _verify_id_token(self, id_token: str, expected: ExpectedClaims) -> Claims:
        try:
            try:
                return judge(id_token, keys=await self._keys.get(), expected=expected, now=self._clock())
            except OutdatedKeys:
                # The keys may have been replaced: reload the set, but not for every forged token.
                return judge(id_token, keys=await self._keys.renewed(), expected=expected, now=self._clock())
        except IdTokenRefused as refused:
            raise failed(self._config, f"ID token: {refused}") from None

    async def _fetch_userinfo(self, endpoint: str, access_token: str, claims: Claims) -> Claims:
        """Complete the claims from the userinfo endpoint (OpenID Connect Core 1.0, section 5.3.2).

        Okta leaves `email_verified` out of its ID tokens, other providers the address. If there is an address, a
        failure only leaves it unverified.
        """
        try:
            reply = await self._web.get(endpoint, headers=bearer(access_token))
            answer = object_of(reply, self._config, what="userinfo")
        except AuthError:
            if claims.email is None:
                raise
            return claims
        if answer.get("sub") != claims.subject:
            raise failed(self._config, "userinfo: another subject")
        profile = claims_of(claims.issuer, claims.subject, answer)
        if profile.email is None and claims.email is not None:
            return claims
        return replace(profile, name=profile.name or claims.name, label=profile.label or claims.label)

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
        return [key for key in keys if isinstance(key, dict)]


def metadata_of(document: Mapping[str, Any], *, issuer: str) -> Metadata:
    """Parse a discovery document. Pure.

    Raises `ProviderFailed` if malformed or for another issuer, against provider impersonation (ASVS 5.0, 10.5.3).
    """
    if document.get("issuer") != issuer:
        raise ProviderFailed("it names another issuer")
    is_local = is_loopback(urlsplit(issuer).hostname or "")
    algorithms = frozenset(_words(document, "id_token_signing_alg_values_supported") or ("RS256",))
    methods = _words(document, "token_endpoint_auth_methods_supported") or ("client_secret_basic",)
    userinfo = document.get("userinfo_endpoint")
    return Metadata(
        authorization_endpoint=_endpoint(document, "authorization_endpoint", is_local=is_local),
        token_endpoint=_endpoint(document, "token_endpoint", is_local=is_local),
        jwks_uri=_endpoint(document, "jwks_uri", is_local=is_local),
        userinfo_endpoint=None
        if userinfo is None
        else _endpoint(document, "userinfo_endpoint", is_local=is_local),
        algorithms=algorithms & ALGORITHMS.keys(),
        secret_in_header="client_secret_basic" in methods,
        secret_in_form="client_secret_post" in methods,
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: Mapping[str, Any], name: str, *, is_local: bool) -> str:
    """Return an endpoint's URL. Raises `ProviderFailed` unless https, or loopback for a local provider."""
    url = document.get(name)
    parts = split_web_url(url.partition("?")[0]) if isinstance(url, str) and url.isascii() else None
    if parts is None or not isinstance(url, str) or "#" in url:
        raise ProviderFailed(f"its {name} is no URL")
    if parts.scheme != "https" and not (is_local and is_loopback(parts.hostname or "")):
        raise ProviderFailed(f"its {name} is not https")
    return url


def _words(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    words = document.get(name)
    return tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else ()
