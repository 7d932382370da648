"""A fake GitHub over real HTTP, with the endpoints of a login: authorize, access_token, user and user/emails.

Follows GitHub's documentation ("Authorizing OAuth apps", "REST API endpoints for users" and "for emails"): codes
are single-use and bound to client, redirect URI and PKCE challenge; the token endpoint returns errors with status
200; the API requires a User-Agent; reading addresses requires the scope `user:email`.
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

CLIENT_ID = "Iv1.0123456789abcdef"
CLIENT_SECRET = "the-secret-of-the-github-client-for-tests"


@dataclass
class Account:
    """A GitHub account."""

    user_id: int
    login: str
    name: str | None = "Ada"
    emails: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Grant:
    """The grant of a code or an access token."""

    account: Account
    scopes: set[str]
    redirect_uri: str = ""
    challenge: str = ""


class FakeGitHub:
    """The server. `signed_in`: the browser's account at GitHub, which grants all requests; None denies them."""

    def __init__(self) -> None:
        self.signed_in: Account | None = None
        self.codes: dict[str, Grant] = {}
        self.tokens: dict[str, Grant] = {}
        self.broken: dict[str, tuple[int, str, dict[str, str]]] = {}
        self.url = ""

    @property
    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/login/oauth/authorize", self.authorize)
        app.router.add_post("/login/oauth/access_token", self.access_token)
        app.router.add_get("/api/v3/user", self.user)
        app.router.add_get("/api/v3/user/emails", self.emails)
        return app

    def settings(self) -> dict[str, str]:
        return {
            "VIGIL_GITHUB_CLIENT_ID": CLIENT_ID,
            "VIGIL_GITHUB_CLIENT_SECRET": CLIENT_SECRET,
            "VIGIL_GITHUB_URL": self.url,
            "VIGIL_GITHUB_API_URL": f"{self.url}/api/v3",
        }

    async def authorize(self, request: web.Request) -> web.Response:
        query = request.query
        if query.get("client_id") != CLIENT_ID:
            raise web.HTTPNotFound
        back = query["redirect_uri"]
        if self.signed_in is None:
            told = {"error": "access_denied", "error_description": "The user has denied your application access."}
            raise web.HTTPFound(f"{back}?{urlencode({**told, 'state': query['state']})}")
        if query.get("code_challenge_method") not in {None, "S256"}:
            raise web.HTTPBadRequest
        code = secrets.token_hex(10)
        scopes = set(query.get("scope", "").replace(",", " ").split())
        self.codes[code] = Grant(self.signed_in, scopes, back, query.get("code_challenge", ""))
        raise web.HTTPFound(f"{back}?{urlencode({'code': code, 'state': query['state']})}")

    async def access_token(self, request: web.Request) -> web.Response:
        if "token" in self.broken:
            return self._broken("token")
        form = await request.post()
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return web.json_response({"error": "incorrect_client_credentials"})
        grant = self.codes.pop(str(form.get("code")), None)
        verifier = str(form.get("code_verifier", ""))
        if grant is None or grant.redirect_uri != form.get("redirect_uri"):
            return web.json_response({"error": "bad_verification_code", "error_description": "The code passed…"})
        digest = hashlib.sha256(verifier.encode()).digest()
        if grant.challenge and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.challenge:
            return web.json_response({"error": "bad_verification_code"})
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = grant
        told = {"access_token": token, "scope": ",".join(grant.scopes), "token_type": "bearer"}
        if request.headers.get("Accept") != "application/json":
            return web.Response(text=urlencode(told))
        return web.json_response(told)

    async def user(self, request: web.Request) -> web.Response:
        if "user" in self.broken:
            return self._broken("user")
        account = self._grant(request).account
        public = {
            "id": account.user_id,
            "login": account.login,
            "name": account.name,
            "email": None,
            "type": "User",
        }
        return web.json_response(public)

    async def emails(self, request: web.Request) -> web.Response:
        if "emails" in self.broken:
            return self._broken("emails")
        grant = self._grant(request)
        if not grant.scopes & {"user", "user:email"}:
            return web.json_response({"message": "Not Found"}, status=404)
        return web.json_response(grant.account.emails)

    def _broken(self, where: str) -> web.Response:
        status, text, headers = self.broken[where]
        return web.Response(status=status, text=text, headers=headers, content_type="application/json")

    def _grant(self, request: web.Request) -> Grant:
        if not request.headers.get("User-Agent"):
            raise web.HTTPForbidden
        grant = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if grant is None:
            raise web.HTTPUnauthorized(text='{"message": "Bad credentials"}', content_type="application/json")
        return grant


def address(email: str, *, primary: bool = True, verified: bool = True) -> dict[str, Any]:
    return {"email": email, "primary": primary, "verified": verified, "visibility": None}
