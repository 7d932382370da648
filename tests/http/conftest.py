"""Fixtures of the HTTP tests: unmodified requests, and a browser with a cookie jar."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import pytest
from support.administration import first_administrator
from support.clients import ORIGIN, PASSWORD, Answer, Api, Login
from support.nodes import Installation, Node

from auth.http.cookies import DEVICE_COOKIE

Send = Callable[..., Awaitable[Answer]]


@pytest.fixture(scope="session")
def administrator(shared_installation: Installation, node: Node) -> str:
    """The address of an admin of the shared nodes."""
    return first_administrator(shared_installation, node.url)


@pytest.fixture
async def admin(api: Api, administrator: str) -> Login:
    """The admin, just logged in."""
    return await api.login(administrator)


@pytest.fixture
def send(node: Node, http: aiohttp.ClientSession) -> Send:
    """Sends requests exactly as given."""

    async def request(
        method: str, path: str, data: Any = None, headers: Mapping[str, str] | None = None, *, url: str = ""
    ) -> Answer:
        skip = {"Content-Type"} if headers is None or "Content-Type" not in headers else set()
        async with http.request(
            method,
            (url or node.url) + path,
            data=data,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=skip,
        ) as answer:
            raw = await answer.read()
            is_json = answer.content_type == "application/json" and raw
            return Answer(answer.status, await answer.json() if is_json else raw.decode(), answer.headers)

    return request


@dataclass
class Browser:
    """A browser profile: sends its cookies, origin and CSRF token, as our own page does."""

    send: Send
    origin: str | None = ORIGIN
    cookies: dict[str, str] = field(default_factory=dict)
    # The known-device cookie; separate, since it does not authenticate and survives logout.
    device: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        csrf: str | None = "own",
        url: str = "",
    ) -> Answer:
        """Send a request as a page's script does. `csrf=None` omits the CSRF token."""
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in (self.cookies | self.device).items())}
        if self.origin is not None and method not in {"GET", "HEAD"}:
            sent["Origin"] = self.origin
        if csrf is not None and "csrf" in self.cookies:
            sent["X-CSRF-Token"] = self.cookies["csrf"] if csrf == "own" else csrf
        data = None
        if body is not None:
            data = aiohttp.JsonPayload(body)
            sent["Content-Type"] = "application/json"
        answer = await self.send(method, f"/api/auth{path}", data, {**sent, **(headers or {})}, url=url)
        self._keep(answer)
        return answer

    async def login(self, email: str, delivery: str, *, url: str = "") -> Answer:
        """Log in as the page does; return the response."""
        body = {"email": email, "password": PASSWORD, "delivery": delivery}
        answer = await self.call("POST", "/login", body, url=url)
        assert answer.status == 200, answer.body
        return answer

    def twin(self) -> "Browser":
        """Return a copy with independent cookies, as a second tab with stale state."""
        return Browser(self.send, self.origin, dict(self.cookies), dict(self.device), dict(self.attributes))

    def _keep(self, answer: Answer) -> None:
        for line in answer.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.attributes[name] = morsel
                if name == DEVICE_COOKIE:
                    self.device[name] = morsel.value
                elif morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value


@pytest.fixture
def browser(send: Send) -> Browser:
    """A browser without cookies on the allowed origin."""
    return Browser(send)


@pytest.fixture
async def email(api: Api) -> str:
    """The address of a new, verified account."""
    return await api.register()
