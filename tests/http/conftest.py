"""For the HTTP tests: requests sent exactly as written, and a browser that keeps our cookies."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import pytest
from support.clients import ORIGIN, PASSWORD, Answer, Api
from support.nodes import Node

Send = Callable[..., Awaitable[Answer]]


@pytest.fixture
def send(node: Node, http: aiohttp.ClientSession) -> Send:
    """Sends a request exactly as written."""

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
    """One browser profile: sends its cookies and its origin, and the CSRF token as our own page would."""

    send: Send
    origin: str | None = ORIGIN
    cookies: dict[str, str] = field(default_factory=dict)
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
        """A request as a page's script sends it; `csrf=None` leaves the token out."""
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
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
        """Log in as the page does."""
        body = {"email": email, "password": PASSWORD, "delivery": delivery}
        answer = await self.call("POST", "/login", body, url=url)
        assert answer.status == 200, answer.body
        return answer

    def twin(self) -> "Browser":
        """Another tab as it is now: the same cookies, kept apart."""
        return Browser(self.send, self.origin, dict(self.cookies), dict(self.attributes))

    def _keep(self, answer: Answer) -> None:
        for line in answer.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.attributes[name] = morsel
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value


@pytest.fixture
def browser(send: Send) -> Browser:
    """A browser without cookies on the allowed origin."""
    return Browser(send)


@pytest.fixture
async def email(api: Api) -> str:
    """The address of a new, confirmed account."""
    return await api.register()
