"""No secret leaves in what a node writes down: its log at level debug, its audit trail, its stores.

A node is led through everything that touches a secret, rightly and wrongly; then everything it wrote is
searched for each of them, and for any twenty characters of each.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import redis.asyncio
from pymongo import MongoClient
from support.authenticator import Authenticator
from support.clients import ORIGIN, PASSWORD, Api, Live, Login, Refused
from support.commands import run_command
from support.nodes import SECRET, Installation, Node
from support.providers import OpenIdServer, openid_server, path_of, query_of, with_query
from support.raw_socket import RawSocket

from auth.http.cookies import VISIT_COOKIE

WRONG_PASSWORD = "Tr0ub4dor&3-and-some-more"
PIECE = 20
REFRESH_SECRET = len("rt1.") + 27  # behind the session id and the generation, which are no secrets


@dataclass
class Secrets:
    """Everything that was secret, by what it was."""

    known: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, secret: str) -> str:
        assert len(secret) >= PIECE, f"{what} is too short to be looked for: {secret!r}"
        self.known[f"{what} #{len(self.known)}"] = secret
        return secret

    def take(self, data: dict[str, Any]) -> None:
        """Add the tokens of an answer."""
        for name in ("accessToken", "refreshToken"):
            if name in data:
                self.add(name, data[name])

    def pieces(self) -> Iterator[tuple[str, str]]:
        for what, secret in self.known.items():
            start = 0
            if secret.startswith("eyJ"):
                start = secret.index(".") + 1  # the header is the same on every token
            elif secret.startswith("rt1."):
                start = REFRESH_SECRET
            for place in range(start, len(secret) - PIECE + 1):
                yield what, secret[place : place + PIECE]

    def found_in(self, text: str) -> list[str]:
        windows = {text[place : place + PIECE] for place in range(len(text) - PIECE + 1)}
        return sorted({what for what, piece in self.pieces() if piece in windows})


@pytest.fixture
def secrets_of() -> Secrets:
    known = Secrets()
    known.add("root secret", SECRET)
    known.add("password", PASSWORD)
    known.add("wrong password", WRONG_PASSWORD)
    return known


@pytest.fixture
def provider() -> Iterator[OpenIdServer]:
    with openid_server() as server:
        yield server


def test_a_secret_would_be_found() -> None:
    """The search itself: whole, in part, and not where there is none."""
    known = Secrets()
    token = known.add("accessToken", "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZGEtbG92ZWxhY2UifQ.c2lnbmF0dXJlLW9mLXRoaXM")
    assert known.found_in(f"log {token} log")
    assert known.found_in(f"…{token[30:50]}…")
    assert not known.found_in(token.partition(".")[0])
    assert not known.found_in("nothing to see here, whatever one looks for")


async def accounts(api: Api, known: Secrets) -> str:
    """Register, confirm by API, ask for the mail again, and what people do wrong at it."""
    email = await api.register(verify=False)
    token = known.add("mailed token", await api.mailed_token(email))
    assert (await api.call("POST", "/verify-email", {"token": token[:-1]})).status == 401
    assert (await api.call("POST", "/verify-email", {"token": token})).status == 200
    await api.call("POST", "/verify-email", {"token": token})
    assert (await api.call("POST", "/resend-verification", {"email": email})).status == 202
    other = await api.register(verify=False)
    link = known.add("mailed token", await api.mailed_token(other))
    assert (await api.call("GET", f"/verify-email?token={link}")).status in {200, 303}
    assert (await api.call("POST", "/register", {"email": email, "password": PASSWORD})).status == 202
    await api.call("POST", "/register", {"email": WRONG_PASSWORD, "password": WRONG_PASSWORD})
    await api.call("POST", "/register", {"email": email, "password": WRONG_PASSWORD, WRONG_PASSWORD: 1})
    for body in (
        {"email": email, "password": WRONG_PASSWORD},
        {"email": "nobody@example.org", "password": WRONG_PASSWORD},
        # Typed into the wrong field, as people do.
        {"email": WRONG_PASSWORD, "password": WRONG_PASSWORD},
        {"email": f"{WRONG_PASSWORD}@example.org", "password": WRONG_PASSWORD},
        {"email": email, "password": {"nested": WRONG_PASSWORD}},
        {"email": email, "password": PASSWORD, "unknown": WRONG_PASSWORD},
        {"email": email, "password": PASSWORD, "deviceName": ["x", WRONG_PASSWORD]},
    ):
        assert (await api.call("POST", "/login", body)).status in {400, 401}
    return email


async def body_delivery(api: Api, email: str, known: Secrets) -> None:
    login = await api.login(email, device="Laptop")
    known.take(login.data)
    stolen, stale = login.refresh_token, login.access_token
    assert (await login.refresh()).status == 200
    known.take(login.data)
    assert (await api.call("POST", "/refresh", {"refreshToken": stolen})).data["outcome"] == "replayed"
    for token in (stale, stale[:-3] + "abc", stale + "x", stolen):
        await api.call("GET", "/me", token=token)
        await api.call("GET", f"/me?access_token={token}")
    for token in (stolen[:-3] + "abc", stolen + "x", stale, ""):
        assert (await api.call("POST", "/refresh", {"refreshToken": token})).status in {400, 401}
    assert (await login.refresh()).status == 200
    known.take(login.data)
    # A theft: two generations old.
    reused = await api.call("POST", "/refresh", {"refreshToken": stolen})
    assert reused.code == "refresh_reused"
    assert (await api.call("POST", "/logout", {"refreshToken": login.refresh_token})).status == 200


async def cookie_deliveries(api: Api, email: str, known: Secrets) -> None:
    for delivery in ("cookie", "cookies"):
        own = Api(api.url, api.http)
        known.take((await own.login(email, delivery=delivery)).data)
        for _ in range(2):
            for name, value in own.cookies.items():
                known.add(f"cookie {name}", value)
            refreshed = await own.call("POST", "/refresh", headers={"Origin": ORIGIN})
            known.take(refreshed.data)
        csrf = own.cookies["csrf"]
        wrong = await own.call("POST", "/logout-all", headers={"X-CSRF-Token": csrf[:-1], "Origin": ORIGIN})
        assert wrong.status in {401, 403}
        assert (await own.call("POST", "/refresh", headers={"Origin": "https://evil.example"})).status == 403
        for name, value in own.cookies.items():
            known.add(f"cookie {name}", value)
        # The access cookie has expired: answered by a transparent refresh.
        own.cookies.pop("__Host-vigil_access", None)
        await own.call("GET", "/sessions")
        for name, value in own.cookies.items():
            known.add(f"cookie {name}", value)
        assert (await own.call("POST", "/logout", headers={"Origin": ORIGIN})).status == 200


async def live(node: Node, api: Api, email: str, known: Secrets, connect: Callable[..., Awaitable[Live]]) -> None:
    login = await api.login(email, device="Phone")
    known.take(login.data)
    socket = await connect(node, login.access_token)
    assert (await login.refresh()).status == 200
    known.take(login.data)
    assert (await socket.ask("reauthenticate", {"token": login.access_token}))["ok"]
    refreshed = await socket.ask("refresh", {"refreshToken": login.refresh_token})
    assert refreshed["ok"]
    known.take(refreshed)
    login.data |= {name: refreshed[name] for name in ("accessToken", "refreshToken")}
    for event, payload in (
        ("reauthenticate", {"token": login.access_token + "x"}),
        ("reauthenticate", {"token": [login.access_token]}),
        ("reauthenticate", {login.access_token: 1}),
        ("reauthenticate", login.access_token),
        ("refresh", {"refreshToken": login.refresh_token[:-3] + "abc"}),
        ("refresh", {"refreshToken": login.access_token}),
        ("session-revoke", {"sessionId": login.refresh_token}),
        (login.access_token, {}),
        (login.refresh_token, {}),
    ):
        assert not (await socket.ask(event, payload))["ok"]
    for token in (login.access_token[:-3] + "abc", login.refresh_token, PASSWORD):
        with pytest.raises(Refused):
            await connect(node, token)
    async with RawSocket.open(node.url, headers={"Authorization": f"Bearer {login.access_token}"}) as raw:
        await raw.connect({"token": login.access_token})
        await raw.send(f'42["reauthenticate",{{"token":"{login.access_token}"')
        await raw.receive()
    async with aiohttp.ClientSession() as http:
        query = f"/socket.io/?EIO=4&transport=polling&token={login.access_token}"
        await (await http.get(node.url + query)).read()
        await (
            await http.post(f"{node.url}/socket.io/?EIO=9&sid={login.access_token}", data=login.refresh_token)
        ).read()
    assert (await login.call("POST", "/sessions/revoke-others")).status == 200
    assert (await login.call("POST", "/logout-all")).status == 200
    await socket.until_gone()


async def second_factor(node: Node, api: Api, known: Secrets, connect: Callable[..., Awaitable[Live]]) -> None:
    """Set an authenticator app up, log in by it over HTTP and on a socket, and be wrong at each."""
    email = await api.register()
    login = await api.login(email)
    setup = (await login.call("POST", "/2fa/setup", {})).data
    app = Authenticator(known.add("TOTP secret", setup["secret"]))
    assert (await login.call("POST", "/2fa/enable", {"code": setup["secret"]})).status == 401
    assert (await login.call("POST", "/2fa/enable", {"code": setup["uri"]})).status == 400
    codes = (await login.call("POST", "/2fa/enable", {"code": await app.code()})).data["recoveryCodes"]
    for code in codes:
        known.add("recovery code", code)
    body = {"email": email, "password": PASSWORD}
    for by_socket in (False, True):
        token = known.add("mfaToken", (await api.call("POST", "/login", body)).data["mfaToken"])
        right = {"method": "recovery_code", "code": codes.pop()}
        wrong = {"code": codes[0]}
        if by_socket:
            socket = await connect(node, None, mfa_token=token)
            assert not (await socket.ask("mfa-verify", wrong))["ok"]
            assert not (await socket.ask("mfa-verify", {"code": token}))["ok"]
            assert not (await socket.ask(token, {token: token}))["ok"]
            done = await socket.ask("mfa-verify", right)
            assert not (await socket.ask("step-up", {"method": "password", "password": WRONG_PASSWORD}))["ok"]
        else:
            assert (await api.call("POST", "/2fa/verify", {"mfaToken": token, **wrong})).status == 400
            assert (await api.call("GET", f"/2fa?token={token}", token=token)).status == 401
            done = (await api.call("POST", "/2fa/verify", {"mfaToken": token, **right})).data
            step_up = {"method": "totp", "code": codes[0]}
            assert (await Login(api, dict(done)).call("POST", "/step-up", step_up)).status == 400
        known.take(done)
    with pytest.raises(Refused):
        await connect(node, None, mfa_token=token)
    assert (await login.call("POST", "/2fa/recovery-codes", {})).status == 200


async def by_provider(node: Node, http: aiohttp.ClientSession, server: OpenIdServer, known: Secrets) -> None:
    """A login by a provider: refused for a forged state and a forged code, then whole, then a link."""
    api = Api(node.url, http)
    await server.has_user(http, "ada", email="ada-at-one@example.org", email_verified=True)
    for spoilt in ("state", "code", None):
        url = (await api.call("GET", "/oauth/one/start?delivery=cookies")).headers["Location"]
        known.add("visit", api.cookies[VISIT_COOKIE])
        back = await server.consent(http, url, "ada")
        for name in ("state", "code"):
            known.add(name, query_of(back)[name])
        if spoilt is not None:
            back = with_query(back, **{spoilt: known.add(f"wrong {spoilt}", query_of(back)[spoilt] + "-and-more")})
        await api.call("GET", path_of(back))
    for name, value in api.cookies.items():
        known.add(f"cookie {name}", value)
    linking = await api.call("POST", "/oauth/one/link", {})
    known.add("visit", api.cookies[VISIT_COOKIE])
    await api.call("GET", path_of(await server.consent(http, linking.data["url"], "ada")))


async def not_http(node: Node, known: Secrets) -> None:
    """Bytes that the parser refuses, with secrets in them."""
    host, port = node.url.removeprefix("http://").split(":")
    token = next(secret for secret in known.known.values() if secret.startswith("eyJ"))
    unfinished_login = (
        "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f'Content-Length: {len(PASSWORD) + 13}\r\n\r\n{{"password":"{PASSWORD}'
    )
    for sent in (
        f"GET / HTTP/1.1\r\nAuthorization: Bearer {token}\r\nbroken {PASSWORD}\r\n\r\n",
        f"{token} / HTTP/1.1\r\n\r\n",
        f"GET /api/auth/{token} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        f"GET /?p={PASSWORD.replace(' ', '+')} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nCookie: {'x' * 9000}={token}\r\n\r\n",
        unfinished_login,
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent.encode())
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2):
                await reader.read()
        writer.close()


def database_text(installation: Installation, *, without: frozenset[str]) -> str:
    with MongoClient[Any](installation.services.mongo) as client:
        database = client[installation.name]
        names = [name for name in database.list_collection_names() if name not in without]
        assert "audit_events" in names
        return "\n".join(f"{name}: {document}" for name in names for document in database[name].find())


async def redis_text(installation: Installation) -> str:
    # Messages begin with a tag, which is no text.
    client = redis.asyncio.Redis.from_url(
        installation.services.redis, decode_responses=True, encoding_errors="replace"
    )
    reads: dict[str, Callable[[str], Any]] = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
        "list": lambda key: client.lrange(key, 0, -1),
        "zset": lambda key: client.zrange(key, 0, -1),
        "stream": client.xrange,
    }
    found = []
    async for key in client.scan_iter(match=f"*{installation.name}*"):
        kind = await client.type(key)
        if kind in reads:
            found.append(f"{key}: {await reads[kind](key)}")
    await client.aclose()
    return "\n".join(found)


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_asvs_16_2_5_no_secret_is_written_down(
    log_format: str,
    installation: Installation,
    start_node: Callable[..., Node],
    http: aiohttp.ClientSession,
    connect: Callable[..., Awaitable[Live]],
    secrets_of: Secrets,
    provider: OpenIdServer,
) -> None:
    secrets_of.add("client secret", provider.settings("one")["VIGIL_OIDC_ONE_CLIENT_SECRET"])
    node = start_node(VIGIL_LOG_LEVEL="debug", VIGIL_LOG_FORMAT=log_format, **provider.settings("one"))
    api = Api(node.url, http)
    email = await accounts(api, secrets_of)
    await body_delivery(api, email, secrets_of)
    await cookie_deliveries(api, email, secrets_of)
    await live(node, api, email, secrets_of, connect)
    webhook = await asyncio.to_thread(
        run_command, "webhooks", "create", "http://127.0.0.1:9/", environ=installation.environ()
    )
    secrets_of.add("webhook secret", webhook.out.strip())
    await second_factor(node, api, secrets_of, connect)
    await node.logged("webhook_not_accepted", timeout=60)
    await by_provider(node, http, provider, secrets_of)
    await not_http(node, secrets_of)
    in_redis = await redis_text(installation)
    assert node.stop() == 0

    text = node.text()
    for said in ("request", "handshake_refused", "socket_ready", "socket_bad_packet"):
        assert said in text, f"the log does not tell of {said}: this test would see nothing"
    assert len(secrets_of.known) > 30
    assert secrets_of.found_in(text) == []
    # The outbox of a development server is the place where mailed tokens are read.
    in_mongo = database_text(installation, without=frozenset({"mails"}))
    assert "refresh_reused" in in_mongo
    assert secrets_of.found_in(in_mongo) == []
    assert secrets_of.found_in(in_redis) == []
