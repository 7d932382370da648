"""What leaves the server for a provider, and what comes back: bounded, unfollowed, and judged.

The provider here is a server of the test's own, which signs with keys of its own and misbehaves on demand.
"""

import asyncio
import functools
import gzip
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from auth.core.errors import InvalidToken, ProviderFailed, Unavailable
from auth.login.providers.authorization_request import proofs_of
from auth.login.providers.openid import OpenIdProvider
from auth.platform.http_client import MAX_BYTES, HttpClient
from auth.platform.settings.providers import ProviderConfig

PROOFS = proofs_of("secret")
REDIRECT = "http://127.0.0.1:8000/api/auth/oauth/own/callback"
Handler = Callable[[web.Request], Any]


@functools.cache
def rsa_key(key_id: str) -> rsa.RSAPrivateKey:
    """The provider's key with this id. Made once: it takes longer than most of these tests."""
    return rsa.generate_private_key(65537, 2048)


class OwnProvider:
    """An OpenID provider whose every answer the test can replace."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.replaced: dict[str, Handler] = {}
        self.document: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.key_id = "first"
        # The `kid`, if it is not the id.
        self.key_name: str | None = None

    @property
    def key(self) -> rsa.RSAPrivateKey:
        return rsa_key(self.key_id)

    def rotate(self) -> None:
        self.key_id = "second"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, {**request.headers, **dict(await request.post())}))  # type: ignore[arg-type]
        if request.path in self.replaced:
            answer: web.StreamResponse = await self.replaced[request.path](request)
            return answer
        return web.json_response(self.answers()[request.path])

    def answers(self) -> dict[str, Any]:
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/me",
            **self.document,
        }
        name = self.key_name or self.key_id
        now = int(time.time())
        claims = {"iss": self.url, "sub": "1", "aud": "vigil", "iat": now, "exp": now + 60, "nonce": PROOFS.nonce}
        token = jwt.encode({**claims, **self.claims}, self.key, "RS256", {"kid": name})
        return {
            "/.well-known/openid-configuration": document,
            "/jwks": {"keys": [{**jwk, "kid": name}]},
            "/token": {"access_token": "access", "token_type": "Bearer", "id_token": token},
            "/me": {"sub": "1", "email": "ada@example.org", "email_verified": True},
        }

    def count(self, path: str) -> int:
        return [asked for asked, _ in self.asked].count(path)


@pytest.fixture
async def own() -> AsyncIterator[OwnProvider]:
    server = OwnProvider()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    outgoing = HttpClient()
    yield outgoing
    await outgoing.close()


class Clock:
    """Time that a test can move."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(own: OwnProvider, client: HttpClient, clock: Clock) -> OpenIdProvider:
    config = ProviderConfig("own", "Own", "openid", own.url, "vigil", SecretStr("client-secret"), "VIGIL_X")
    return OpenIdProvider(config, web=client, clock=clock)


async def identify(provider: OpenIdProvider) -> Any:
    return await provider.identify("code", PROOFS, REDIRECT)


async def test_the_code_is_traded_with_the_verifier_and_the_secret_in_the_header(
    own: OwnProvider, provider: OpenIdProvider
) -> None:
    claims = await identify(provider)
    assert (claims.subject, claims.email, claims.email_verified) == ("1", "ada@example.org", True)
    (token,) = [sent for path, sent in own.asked if path == "/token"]
    assert token["code_verifier"] == PROOFS.code_verifier
    assert token["redirect_uri"] == REDIRECT
    assert token["Authorization"] == "Basic dmlnaWw6Y2xpZW50LXNlY3JldA=="
    assert "client_secret" not in token
    (me,) = [sent for path, sent in own.asked if path == "/me"]
    assert me["Authorization"] == "Bearer access"
    # Firewalls refuse names of HTTP libraries.
    assert {sent["User-Agent"] for _, sent in own.asked} == {"vigil"}


async def test_the_secret_goes_into_the_form_where_the_header_is_not_taken(
    own: OwnProvider, provider: OpenIdProvider
) -> None:
    own.document["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    await identify(provider)
    (token,) = [sent for path, sent in own.asked if path == "/token"]
    assert (token["client_id"], token["client_secret"]) == ("vigil", "client-secret")
    assert "Authorization" not in token


class TestASecretWithSpecialCharacters:
    """Providers should decode the header (RFC 6749, 2.3.1). Some compare it as it is."""

    METHODS = ("client_secret_basic", "client_secret_post")

    @pytest.fixture
    def provider(self, own: OwnProvider, client: HttpClient, clock: Clock) -> OpenIdProvider:
        config = ProviderConfig("own", "Own", "openid", own.url, "vigil", SecretStr("a+b/c d"), "VIGIL_X")
        return OpenIdProvider(config, web=client, clock=clock)

    def refuse_headers(self, own: OwnProvider, status: int = 401, error: str = "invalid_client") -> None:
        async def token(request: web.Request) -> web.StreamResponse:
            if "Authorization" in request.headers:
                return web.json_response({"error": error}, status=status)
            return web.json_response(own.answers()["/token"])

        own.replaced["/token"] = token

    def sent(self, own: OwnProvider) -> list[tuple[str | None, str | None]]:
        asked = [sent for path, sent in own.asked if path == "/token"]
        return [(each.get("Authorization"), each.get("client_secret")) for each in asked]

    async def test_it_is_encoded_in_the_header_and_sent_once(
        self, own: OwnProvider, provider: OpenIdProvider
    ) -> None:
        own.document["token_endpoint_auth_methods_supported"] = self.METHODS
        await identify(provider)
        assert self.sent(own) == [("Basic " + b64encode(b"vigil:a%2Bb%2Fc+d").decode(), None)]

    @pytest.mark.parametrize("status", [400, 401])
    async def test_it_is_sent_in_the_form_if_the_header_is_refused(
        self, own: OwnProvider, provider: OpenIdProvider, status: int
    ) -> None:
        own.document["token_endpoint_auth_methods_supported"] = self.METHODS
        self.refuse_headers(own, status)
        assert (await identify(provider)).subject == "1"
        assert [secret for _, secret in self.sent(own)] == [None, "a+b/c d"]

    @pytest.mark.parametrize(
        ("methods", "status", "error"),
        [
            (("client_secret_basic",), 401, "invalid_client"),
            (None, 401, "invalid_client"),
            (METHODS, 400, "invalid_request"),
            (METHODS, 403, "invalid_client"),
        ],
    )
    async def test_the_form_is_not_tried_for_another_error_or_where_it_is_not_taken(
        self, own: OwnProvider, provider: OpenIdProvider, methods: Any, status: int, error: str
    ) -> None:
        if methods:
            own.document["token_endpoint_auth_methods_supported"] = methods
        self.refuse_headers(own, status, error)
        with pytest.raises(ProviderFailed):
            await identify(provider)
        assert len(self.sent(own)) == 1

    async def test_a_plain_secret_that_is_refused_is_wrong(
        self, own: OwnProvider, client: HttpClient, clock: Clock
    ) -> None:
        own.document["token_endpoint_auth_methods_supported"] = self.METHODS
        self.refuse_headers(own)
        config = ProviderConfig("own", "Own", "openid", own.url, "vigil", SecretStr("plain-secret"), "VIGIL_X")
        with pytest.raises(ProviderFailed):
            await identify(OpenIdProvider(config, web=client, clock=clock))
        assert len(self.sent(own)) == 1


async def test_documents_are_asked_for_once_and_rotated_keys_are_found(
    own: OwnProvider, provider: OpenIdProvider, clock: Clock
) -> None:
    for _ in range(3):
        await identify(provider)
    assert (own.count("/jwks"), own.count("/.well-known/openid-configuration")) == (1, 1)
    own.rotate()
    clock.ahead += timedelta(minutes=1)
    own.claims = {"iat": int(clock().timestamp()), "exp": int(clock().timestamp()) + 60}
    assert (await identify(provider)).subject == "1"
    assert own.count("/jwks") == 2


async def test_unknown_keys_do_not_make_us_ask_again_and_again(own: OwnProvider, provider: OpenIdProvider) -> None:
    await identify(provider)
    own.key_id = "unknown"
    own.replaced["/jwks"] = lambda request: answer({"keys": []})
    results = await asyncio.gather(*(identify(provider) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {ProviderFailed}
    assert own.count("/jwks") == 1


class TestAnAddressOfUnsaidState:
    """Okta's ID tokens have the address, and only the userinfo answer says whether it is verified."""

    @pytest.fixture(autouse=True)
    def thin(self, own: OwnProvider) -> None:
        own.claims = {"email": "ada@example.org", "name": "Ada"}

    @pytest.mark.parametrize("verified", [True, False])
    async def test_the_userinfo_answer_says_it(
        self, own: OwnProvider, provider: OpenIdProvider, verified: bool
    ) -> None:
        said = {"sub": "1", "email": "ada@example.org", "email_verified": verified}
        own.replaced["/me"] = lambda request: answer(said)
        claims = await identify(provider)
        assert (claims.email, claims.email_verified, claims.name) == ("ada@example.org", verified, "Ada")

    @pytest.mark.parametrize(("said", "status"), [({"sub": "1"}, 200), ({"error": "no"}, 403), ({}, 500)])
    async def test_without_an_answer_it_is_unverified(
        self, own: OwnProvider, provider: OpenIdProvider, said: dict[str, Any], status: int
    ) -> None:
        own.replaced["/me"] = lambda request: answer(said, status)
        claims = await identify(provider)
        assert (claims.email, claims.email_verified) == ("ada@example.org", False)

    async def test_what_is_said_of_another_subject_is_refused(
        self, own: OwnProvider, provider: OpenIdProvider
    ) -> None:
        own.replaced["/me"] = lambda request: answer({"sub": "2", "email_verified": True})
        with pytest.raises(ProviderFailed):
            await identify(provider)

    async def test_a_provider_that_says_no_is_not_asked_again(
        self, own: OwnProvider, provider: OpenIdProvider
    ) -> None:
        own.claims["email_verified"] = False
        assert not (await identify(provider)).email_verified
        assert own.count("/me") == 0


async def test_a_key_that_was_replaced_under_its_name_is_found(
    own: OwnProvider, provider: OpenIdProvider, clock: Clock
) -> None:
    await identify(provider)
    own.key_name = own.key_id
    own.rotate()
    clock.ahead += timedelta(minutes=1)
    own.claims = {"iat": int(clock().timestamp()), "exp": int(clock().timestamp()) + 60}
    assert (await identify(provider)).subject == "1"
    assert own.count("/jwks") == 2


@pytest.mark.parametrize("subject", ["2", "", None, 1, ["1"]])
async def test_asvs_10_5_2_what_is_said_of_another_subject_is_refused(
    own: OwnProvider, provider: OpenIdProvider, subject: Any
) -> None:
    """OpenID Connect Core 1.0, section 5.3.2: the userinfo answer can be swapped for another's."""
    own.replaced["/me"] = lambda request: answer({"sub": subject, "email": "victim@example.org"})
    with pytest.raises(ProviderFailed):
        await identify(provider)


async def test_asvs_10_5_3_a_provider_that_poses_as_another_is_refused(
    own: OwnProvider, provider: OpenIdProvider
) -> None:
    own.document["issuer"] = "https://accounts.google.com"
    with pytest.raises(ProviderFailed):
        await provider.authorization_url(PROOFS, REDIRECT)
    with pytest.raises(ProviderFailed):
        await identify(provider)
    assert own.count("/token") == 0


@pytest.mark.parametrize("announced", [True, False, "true", None])
async def test_asvs_10_2_2_the_issuer_of_an_answer_is_looked_at(
    own: OwnProvider, provider: OpenIdProvider, announced: Any
) -> None:
    own.document["authorization_response_iss_parameter_supported"] = announced
    await provider.check_issuer(own.url)
    for wrong in ("https://evil.example", own.url + "/", ""):
        with pytest.raises(ProviderFailed):
            await provider.check_issuer(wrong)
    if announced is True:
        with pytest.raises(ProviderFailed):
            await provider.check_issuer(None)
    else:
        await provider.check_issuer(None)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token", "/me"])
class TestMisbehaviour:
    """Of each of the four answers."""

    async def test_a_redirect_is_not_followed(self, own: OwnProvider, provider: OpenIdProvider, path: str) -> None:
        """Neither with a secret in hand, nor to an address inside our own network (SSRF)."""
        for status in (301, 302, 303, 307, 308):
            own.replaced[path] = lambda request, status=status: answer({}, status, Location="/elsewhere")
            with pytest.raises((ProviderFailed, Unavailable)):
                await identify(provider)
        assert own.count("/elsewhere") == 0

    async def test_an_endless_answer_is_cut_off(
        self, own: OwnProvider, provider: OpenIdProvider, path: str
    ) -> None:
        sent = 0

        async def pour(request: web.Request) -> web.StreamResponse:
            nonlocal sent
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" " * 65_536)
                sent += 65_536

        own.replaced[path] = pour
        with pytest.raises(Unavailable):
            await identify(provider)
        await asyncio.sleep(0.05)
        assert sent < MAX_BYTES + 32 * 1024 * 1024  # what TCP has room for, not what the provider would send

    async def test_a_compressed_answer_is_not_unpacked(
        self, own: OwnProvider, provider: OpenIdProvider, path: str
    ) -> None:
        bomb = gzip.compress(b" " * 50_000_000 + json.dumps(own.answers()[path]).encode())
        own.replaced[path] = lambda request: raw(bomb, "gzip")
        with pytest.raises((ProviderFailed, Unavailable)):
            await identify(provider)
        assert {sent["Accept-Encoding"] for _, sent in own.asked} == {"identity"}

    async def test_asvs_16_5_2_an_answer_that_does_not_come_is_waited_for_seconds(
        self, own: OwnProvider, provider: OpenIdProvider, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("auth.platform.http_client.SECONDS", 0.3)

        async def sleep(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(30)
            raise AssertionError

        own.replaced[path] = sleep
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await identify(provider)
        assert time.monotonic() - began < 3

    @pytest.mark.parametrize("status", [500, 503, 429])
    async def test_asvs_16_5_2_trouble_of_its_own_is_an_outage(
        self, own: OwnProvider, provider: OpenIdProvider, path: str, status: int
    ) -> None:
        own.replaced[path] = lambda request: answer({"error": "server_error"}, status)
        with pytest.raises(Unavailable):
            await identify(provider)

    @pytest.mark.parametrize(
        "body", [None, [], "x", 5, {}, {"error": "invalid_client"}, {"keys": {}}, {"keys": [1]}]
    )
    async def test_asvs_16_5_3_an_answer_of_another_form_lets_nobody_in(
        self, own: OwnProvider, provider: OpenIdProvider, path: str, body: Any
    ) -> None:
        own.replaced[path] = lambda request: answer(body)
        with pytest.raises(ProviderFailed):
            await identify(provider)


async def test_large_answers_that_providers_do_send_are_read(own: OwnProvider, client: HttpClient) -> None:
    own.replaced["/a"] = lambda request: answer("x" * 900_000, 200, **{"Content-Security-Policy": "x" * 16_000})
    reply = await client.get(f"{own.url}/a", headers={})
    assert (reply.status, len(reply.body)) == (200, 900_002)


async def test_a_code_that_is_over_is_no_fault_of_the_provider(own: OwnProvider, provider: OpenIdProvider) -> None:
    own.replaced["/token"] = lambda request: answer({"error": "invalid_grant"}, 400)
    with pytest.raises(InvalidToken):
        await identify(provider)


async def test_without_a_server_there_is_an_outage_and_no_secret_in_the_log(
    client: HttpClient, capfd: pytest.CaptureFixture[str]
) -> None:
    for url in (
        "http://127.0.0.1:9/?code=sesame",
        "http://sesame:sesame@127.0.0.1:9?code=sesame",
        "http://no-such-host.invalid/sesame",
        "http://[::1",
        "x",
    ):
        with pytest.raises(Unavailable):
            await client.post(url, form={"client_secret": "sesame"}, headers={"Authorization": "sesame"})
    said = capfd.readouterr()
    assert "sesame" not in said.out + said.err


async def test_cookies_of_a_provider_are_not_kept(own: OwnProvider, client: HttpClient) -> None:
    own.replaced["/a"] = lambda request: answer({}, 200, **{"Set-Cookie": "tracked=yes"})
    for _ in range(2):
        await client.get(f"{own.url}/a", headers={})
    assert all("Cookie" not in sent for _, sent in own.asked)


async def answer(body: Any, /, status: int = 200, **headers: Any) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


async def raw(body: bytes, encoding: str) -> web.Response:
    return web.Response(body=body, headers={"Content-Encoding": encoding, "Content-Type": "application/json"})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "a.localhost",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
    ],
)
async def test_a_client_for_public_servers_does_not_connect_to_this_machine(own: OwnProvider, host: str) -> None:
    """By the address that a name resolves to, not by the name: it may resolve to another one each time."""
    own.replaced["/a"] = lambda request: answer({})
    port = own.url.rpartition(":")[2]
    outgoing = HttpClient(only_public=True)
    with pytest.raises(Unavailable):
        await outgoing.get(f"http://{host}:{port}/a", headers={})
    await outgoing.close()
    assert own.asked == []
