"""Test clients: an HTTP API client, and a live socket that records its events."""

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Self

import aiohttp
import socketio
from socketio.exceptions import ConnectionError as SocketConnectionError

from support.accounts import Account, copy_account, stored_account
from support.nodes import node_at

# Default timeout for expected events; generous, since the machine may be busy.
WAIT_SECONDS = 30.0
PASSWORD = "a quiet harbour at dusk"
ORIGIN = "http://127.0.0.1:8000"
LINK = re.compile(r"verify-email\?token=([A-Za-z0-9_.%-]+)")
EVENTS = (
    "ready",
    "token-expiring",
    "token-expired",
    "session-revoked",
    "sessions-changed",
    "device-status",
    "security-alert",
    "roles-changed",
    "draining",
    "login-approval-requested",
    "login-approval-closed",
    "login-approval-number",
    "login-approval-result",
    "mfa-required",
    "mfa-closed",
    "room-history",
    "room-left",
    "presence",
    "own-presence",
    "typing",
)


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    body: Any
    headers: Any

    @property
    def data(self) -> Any:
        assert self.body["success"], self.body
        return self.body["data"]

    @property
    def code(self) -> str:
        assert not self.body["success"], self.body
        return str(self.body["code"])


# The document of the first account that this process registered.
_registered: list[Account] = []


class Api:
    """Client of one node's HTTP API. Handles cookies itself: they are Secure, and tests use plain HTTP."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.cookies: dict[str, str] = {}

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        headers = {"Accept": "application/json", **(headers or {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            if method not in {"GET", "HEAD"} and "csrf" in self.cookies:
                headers.setdefault("X-CSRF-Token", self.cookies["csrf"])
                headers.setdefault("Origin", ORIGIN)
        url = self.url + (path if path.startswith(("/dev", "/health")) else f"/api/auth{path}")
        async with self.http.request(method, url, json=body, headers=headers, allow_redirects=False) as answer:
            for line in answer.headers.getall("Set-Cookie", []):
                for name, morsel in SimpleCookie(line).items():
                    if morsel.value and morsel["max-age"] != "0":
                        self.cookies[name] = morsel.value
                    else:
                        self.cookies.pop(name, None)
            is_json = answer.content_type == "application/json"
            return Answer(answer.status, await answer.json() if is_json else await answer.text(), answer.headers)

    async def register(self, email: str | None = None, *, verify: bool = True) -> str:
        """Create an account, verified by default; return its address.

        After the first, verified accounts are stored as copies of it, without its mail and its audit events: a
        registration by HTTP takes thirty times the CPU.
        """
        email = email or f"user-{secrets.token_hex(6)}@example.org"
        node = node_at(self.url) if verify else None
        if node is None or node.database is None:
            return await self.register_by_mail(email, verify=verify)
        if _registered:
            copy_account(node.database, _registered[0], email)
        else:
            await self.register_by_mail(email)
            _registered.append(stored_account(node.database, email))
        return email

    async def register_by_mail(self, email: str | None = None, *, verify: bool = True) -> str:
        """Register an account as its user does; return its address."""
        email = email or f"user-{secrets.token_hex(6)}@example.org"
        answer = await self.call("POST", "/register", {"email": email, "password": PASSWORD, "name": "Ada"})
        assert answer.status == 202, answer.body
        if verify:
            verified = await self.call("POST", "/verify-email", {"token": await self.mailed_token(email)})
            assert verified.status == 200, verified.body
        return email

    async def mailed_token(self, email: str) -> str:
        """Return the token of the newest verification mail to `email`."""
        for _ in range(100):
            outbox = await self.call("GET", "/dev/outbox.json")
            for message in outbox.body["messages"]:
                found = LINK.search(message["text"])
                if message["to"] == email and found:
                    return found[1]
            await asyncio.sleep(0.05)
        raise AssertionError(f"no mail to {email}")

    async def login(self, email: str, *, delivery: str = "body", device: str | None = None) -> "Login":
        body = {"email": email, "password": PASSWORD, "delivery": delivery}
        if device is not None:
            body["deviceName"] = device
        answer = await self.call("POST", "/login", body, headers={"Origin": ORIGIN})
        assert answer.status == 200, answer.body
        return Login(self, answer.data)


@dataclass
class Login:
    """A logged-in device."""

    api: Api
    data: dict[str, Any]

    @property
    def user_id(self) -> str:
        return str(self.data["user"]["userId"])

    @property
    def session_id(self) -> str:
        return str(self.data["session"]["sessionId"])

    @property
    def access_token(self) -> str:
        return str(self.data["accessToken"])

    @property
    def refresh_token(self) -> str:
        return str(self.data["refreshToken"])

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.api.call(method, path, body, token=self.data.get("accessToken"))

    async def refresh(self) -> Answer:
        """Refresh and keep the new token pair."""
        answer = await self.api.call("POST", "/refresh", {"refreshToken": self.refresh_token})
        if answer.status == 200:
            self.data |= answer.data
        return answer


class Refused(Exception):
    """The handshake was rejected with `data`."""

    def __init__(self, data: Any) -> None:
        super().__init__(str(data))
        self.data = data


@dataclass
class Live:
    """A live socket. `heard`: all received events, in order."""

    client: socketio.AsyncClient
    heard: list[tuple[str, Any]] = field(default_factory=list)
    acknowledge: bool = True
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @classmethod
    async def connect(
        cls,
        url: str,
        token: str | None,
        *,
        last_event_id: int | None = None,
        headers: dict[str, str] | None = None,
        transports: tuple[str, ...] = ("websocket",),
        acknowledge: bool = True,
        also: tuple[str, ...] = (),
        mfa_token: str | None = None,
        rooms: dict[str, Any] | None = None,
    ) -> Self:
        """Connect and wait for `ready`, or with `mfa_token` for `mfa-required`. Raises `Refused`."""
        client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        live = cls(client, acknowledge=acknowledge)
        for event in (*EVENTS, *also):
            client.on(event, live._hearing(event))
        refusal: list[Any] = []
        client.on("connect_error", refusal.append)
        client.on("disconnect", live._left)
        auth: dict[str, Any] = {}
        if token is not None:
            auth["token"] = token
        if mfa_token is not None:
            auth["mfaToken"] = mfa_token
        if last_event_id is not None:
            auth["lastEventId"] = last_event_id
        if rooms is not None:
            auth["rooms"] = rooms
        try:
            await client.connect(
                url, auth=auth, headers=headers or {}, transports=list(transports), wait_timeout=WAIT_SECONDS
            )
        except SocketConnectionError:
            await client.shutdown()
            raise Refused(refusal[0]["data"] if refusal and isinstance(refusal[0], dict) else refusal) from None
        await live.wait("ready" if mfa_token is None else "mfa-required")
        return live

    def _hearing(self, event: str) -> Callable[..., Any]:
        async def hear(data: Any = None) -> Any:
            async with self._news:
                self.heard.append((event, data))
                self._news.notify_all()
            if not self.acknowledge and (event in {"session-revoked", "closing"} or ":" in event):
                await asyncio.sleep(30)
            return {}

        return hear

    async def _left(self, *_: Any) -> None:
        self.gone.set()

    def all(self, event: str) -> list[Any]:
        return [data for name, data in self.heard if name == event]

    async def wait(
        self, event: str, where: Callable[[Any], bool] = lambda _: True, *, timeout: float = WAIT_SECONDS
    ) -> Any:
        """Return the first `event` that matches `where`, already received or within `timeout` seconds."""

        def found() -> list[Any]:
            return [data for data in self.all(event) if where(data)]

        async with self._news:
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait_for(found)
            except TimeoutError:
                raise AssertionError(f"no {event!r} in {timeout} s; heard {self.heard}") from None
        return found()[0]

    @property
    def ready(self) -> Any:
        return self.all("ready")[0]

    async def ask(self, event: str, payload: Any = None, *, timeout: float = WAIT_SECONDS) -> Any:
        """Emit and wait for the ack."""
        return await self.client.call(event, {} if payload is None else payload, timeout=timeout)

    async def until_gone(self, timeout: float = WAIT_SECONDS) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self.gone.wait()
        except TimeoutError:
            socket_id = self.client.get_sid()
            raise AssertionError(f"{socket_id} still open after {timeout} s; heard {self.heard}") from None

    async def close(self) -> None:
        await self.client.disconnect()
        await self.client.shutdown()


def new_login(url: str) -> Login:
    """Create and log in an account, for fixtures that outlive a test's event loop."""

    async def make() -> Login:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            api = Api(url, http)
            return await api.login(await api.register())

    with asyncio.Runner() as runner:
        return runner.run(make())
