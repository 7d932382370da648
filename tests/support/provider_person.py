"""A user with an account at a provider, and a browser."""

import secrets
from typing import Any

from auth.http.cookies import ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE
from support.clients import Answer
from support.providers import OpenIdServer, path_of

# Cookies of each delivery.
COOKIES = {"cookie": {REFRESH_ONLY_COOKIE, "csrf"}, "cookies": {ACCESS_COOKIE, REFRESH_COOKIE, "csrf"}}


class Person:
    """A user of the first provider, with a browser."""

    def __init__(self, browser: Any, http: Any, provider: OpenIdServer) -> None:
        self.browser = browser
        self.http = http
        self.provider = provider
        self.subject = f"sub-{secrets.token_hex(6)}"
        self.email = f"{self.subject}@example.org"

    async def is_known(self, **claims: Any) -> None:
        await self.provider.has_user(
            self.http, self.subject, **{"email": self.email, "email_verified": True, "name": "Ada", **claims}
        )

    async def leave(self, query: str = "", provider_id: str = "one") -> str:
        """Start a login; return the URL at the provider."""
        answer = await self.browser.call("GET", f"/oauth/{provider_id}/start{query}")
        assert answer.status == 303, answer.body
        return str(answer.headers["Location"])

    async def agree(self, url: str) -> str:
        """Log in at the provider; return the callback URL."""
        return await self.provider.consent(self.http, url, self.subject)

    async def come_back(self, url: str, browser: Any = None) -> Answer:
        answer = await (browser or self.browser).call("GET", path_of(url))
        assert answer.status == 303, answer.body
        return answer

    async def log_in(self, query: str = "") -> str:
        """Perform the whole login; return the final location."""
        answer = await self.come_back(await self.agree(await self.leave(query)))
        return str(answer.headers["Location"])

    async def me(self) -> Answer:
        return await self.browser.call("GET", "/me")
