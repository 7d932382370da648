"""GitHub: OAuth without OpenID Connect. Users are identified by its API; there is no ID token and no nonce.

Instead, PKCE binds the code to this visit and the client secret binds it to this server, and the access token is
used once, only with GitHub's own API.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from auth.login.providers.authorization_request import Proofs, authorization_url
from auth.login.providers.claims import Claims, claims_of
from auth.login.providers.exchange import bearer, failed, json_of, object_of, redeem
from auth.login.providers.provider import Provider
from auth.platform.http_client import HttpClient
from auth.platform.settings.providers import ProviderConfig

# Read access to addresses; name and id are public (ASVS 5.0, 10.2.3).
SCOPE = "user:email"
API_VERSION = {"X-GitHub-Api-Version": "2022-11-28"}
MOST_ADDRESSES = 100
NOT_ALLOWED = frozenset({403, 404})

log = structlog.get_logger()


class GitHub(Provider):
    """github.com, or a GitHub Enterprise Server."""

    def __init__(self, config: ProviderConfig, *, web: HttpClient) -> None:
        super().__init__(config)
        self._web = web

    async def authorization_url(self, proofs: Proofs, redirect_uri: str) -> str:
        """Return the URL to redirect the browser to."""
        return authorization_url(
            f"{self.issuer}/login/oauth/authorize",
            client_id=self._config.client_id,
            redirect_uri=redirect_uri,
            scope=SCOPE,
            proofs=proofs,
            more={},
        )

    async def check_issuer(self, issuer: str | None) -> None:
        """Raise `ProviderFailed` if the response names another issuer; GitHub may omit it."""
        if issuer not in {None, self.issuer, f"{self.issuer}/login/oauth"}:
            raise failed(self._config, "callback: another issuer")

    async def identify(self, code: str, proofs: Proofs, redirect_uri: str) -> Claims:
        """Identify the user. Raises `InvalidToken` for an expired code, `Unavailable` or `ProviderFailed`."""
        tokens = await redeem(
            self._web,
            self._config,
            endpoint=f"{self.issuer}/login/oauth/access_token",
            code=code,
            proofs=proofs,
            redirect_uri=redirect_uri,
            in_header=False,
            in_form=True,
        )
        headers = {**bearer(tokens["access_token"]), **API_VERSION}
        reply = await self._web.get(f"{self._config.api_url}/user", headers=headers)
        user = object_of(reply, self._config, what="user")
        user_id = user.get("id")
        if not isinstance(user_id, int) or isinstance(user_id, bool) or user_id <= 0:
            raise failed(self._config, "user: no id")
        profile = {
            "name": user.get("name"),
            "preferred_username": user.get("login"),
            **await self._address(headers),
        }
        return claims_of(self.issuer, str(user_id), profile)

    async def _address(self, headers: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the address that GitHub has confirmed; empty if it may not be read.

        A GitHub App without the permission "Email addresses" gets 403 or 404; the user is identified even then.
        """
        reply = await self._web.get(f"{self._config.api_url}/user/emails?per_page=100", headers=headers)
        if reply.status in NOT_ALLOWED:
            log.warning("provider_shows_no_address", provider=self.provider_id, status=reply.status)
            return {}
        return primary_address(json_of(reply, self._config, what="emails"))


def primary_address(addresses: Any) -> dict[str, Any]:
    """Return the primary address if GitHub has confirmed it; otherwise empty. Pure."""
    for each in addresses[:MOST_ADDRESSES] if isinstance(addresses, list) else ():
        if isinstance(each, dict) and each.get("primary") is True and each.get("verified") is True:
            return {"email": each.get("email"), "email_verified": True}
    return {}
