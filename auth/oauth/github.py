"""GitHub: OAuth without OpenID. Who somebody is, its API says; there is no ID token, and so no nonce.

What stands in for it: the code is bound to this visit by PKCE and to us by the client's secret, and the access
token that it is traded for goes back to GitHub's own API and nowhere else, once.
"""

from typing import Any

from auth.oauth.claims import Claims, claims_of
from auth.oauth.exchange import bearer, failed, json_of, object_of, redeem
from auth.oauth.flow import Proofs, authorization_url
from auth.oauth.provider import Provider, Web
from auth.oauth.settings import ProviderConfig

# The addresses, read-only; name and id are public (ASVS 5.0, 10.2.3).
SCOPE = "user:email"
API_VERSION = {"X-GitHub-Api-Version": "2022-11-28", "User-Agent": "vigil"}
MOST_ADDRESSES = 100


class GitHub(Provider):
    """github.com, or a GitHub Enterprise Server."""

    def __init__(self, config: ProviderConfig, *, web: Web) -> None:
        super().__init__(config)
        self._web = web

    async def authorization_url(self, proofs: Proofs, redirect_uri: str) -> str:
        """Where to send the browser."""
        return authorization_url(
            f"{self.issuer}/login/oauth/authorize",
            client_id=self._config.client_id,
            redirect_uri=redirect_uri,
            scope=SCOPE,
            proofs=proofs,
            more={},
        )

    async def check_issuer(self, issuer: str | None) -> None:
        """Raise `ProviderFailed` for an answer that says it is another's; GitHub need not say whose it is."""
        if issuer not in {None, self.issuer, f"{self.issuer}/login/oauth"}:
            raise failed(self._config, "callback: another issuer")

    async def identify(self, code: str, proofs: Proofs, redirect_uri: str) -> Claims:
        """Who it was. Raises `InvalidToken` for a code that is over, `Unavailable` or `ProviderFailed`."""
        tokens = await redeem(
            self._web,
            self._config,
            endpoint=f"{self.issuer}/login/oauth/access_token",
            code=code,
            proofs=proofs,
            redirect_uri=redirect_uri,
            in_header=False,
        )
        headers = {**bearer(tokens["access_token"]), **API_VERSION}
        reply = await self._web.get(f"{self._config.api_url}/user", headers=headers)
        user = object_of(reply, self._config, what="user")
        user_id = user.get("id")
        if not isinstance(user_id, int) or isinstance(user_id, bool) or user_id <= 0:
            raise failed(self._config, "user: no id")
        reply = await self._web.get(f"{self._config.api_url}/user/emails?per_page=100", headers=headers)
        profile = {
            "name": user.get("name"),
            "preferred_username": user.get("login"),
            **primary_address(json_of(reply, self._config, what="emails")),
        }
        return claims_of(self.issuer, str(user_id), profile)


def primary_address(addresses: Any) -> dict[str, Any]:
    """The address that the user has put first, if GitHub has confirmed it; else nothing. Pure."""
    for each in addresses[:MOST_ADDRESSES] if isinstance(addresses, list) else ():
        if isinstance(each, dict) and each.get("primary") is True and each.get("verified") is True:
            return {"email": each.get("email"), "email_verified": True}
    return {}
