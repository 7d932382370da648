"""OWASP ASVS 5.0, V9 Self-contained Tokens and V10.4: access and refresh tokens over a real node."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from security.conftest import claims_of, forge
from support.clients import Api, Login, Refused
from support.forgeries import FORGERIES, certificate, stranger
from support.forging import Forging
from support.forging import forging as node_for_forgers
from support.nodes import Installation, Node, ServiceUrls, drop
from support.waiting import eventually

# In which a public key is at hand for whoever takes it for the secret of a MAC: the classic confusion of keys.
PUBLIC_KEY_FORMS = ("raw", "PEM", "DER", "JWK", "JWKS", "x in base64url")


@pytest.fixture
async def login(api: Api) -> Login:
    return await api.login(await api.register())


@pytest.fixture(scope="module")
def forging(services: ServiceUrls) -> Iterator[Forging]:
    with node_for_forgers(services) as made:
        yield made


async def refusal(api: Api, connect: Any, token: str) -> set[str]:
    """How HTTP and the live socket refuse a token; fails when either takes it."""
    answer = await api.call("GET", "/me", token=token)
    assert answer.status == 401
    with pytest.raises(Refused) as refused:
        await connect(api.url, token)
    return {answer.code, refused.value.data["code"]}


async def test_asvs_9_1_1_a_token_is_believed_only_with_its_signature(
    api: Api, login: Login, connect: Any
) -> None:
    header, body, signature = login.access_token.split(".")
    other = claims_of(login.access_token) | {"roles": ["admin"]}
    for token in (
        f"{header}.{body}.",
        f"{header}.{forge({}, other).split('.')[1]}.{signature}",
        f"{header}.{body}.{signature[::-1]}",
    ):
        assert await refusal(api, connect, token) == {"invalid_token"}


@pytest.mark.parametrize(
    "name",
    [
        "alg 'none' with no signature",
        "alg 'None' with no signature",
        "alg 'none' with the old signature",
        "our key under the name 'Ed448'",
        "RS256 under our key id",
        "PS256 under our key id",
        "ES256 under our key id",
        *(f"HS256 keyed with the public key, {form}" for form in PUBLIC_KEY_FORMS),
        "HS512 keyed with the public key, PEM",
    ],
)
async def test_asvs_9_1_2_no_other_algorithm_is_taken(
    forging: Forging, http: Any, connect: Any, name: str
) -> None:
    """The whole corpus goes over HTTP in tests/http/test_forgeries.py, and over sockets in tests/realtime."""
    [forgery] = [each for each in FORGERIES if each.name == name]
    token = forgery.make(forging.genuine)
    assert await refusal(Api(forging.node.url, http), connect, token) == {"invalid_token"}


@dataclass
class Visited:
    """A stranger's server, with the keys of forged tokens, that notes who comes to fetch them."""

    url: str
    paths: list[str]


@pytest.fixture
async def visited() -> AsyncIterator[Visited]:
    paths: list[str] = []
    documents = {
        "/jwks.json": json.dumps({"keys": [strangers_jwk()]}),
        "/certificate.pem": f"-----BEGIN CERTIFICATE-----\n{certificate()}\n-----END CERTIFICATE-----\n",
    }

    async def serve(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(text=documents[request.path])

    app = web.Application()
    app.router.add_get("/{path:.+}", serve)
    async with TestServer(app) as server:
        yield Visited(str(server.make_url("")).rstrip("/"), paths)


def strangers_jwk() -> dict[str, str]:
    public = stranger().public_key()
    return jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True) | {
        "kid": "theirs",
        "alg": "EdDSA",
        "use": "sig",
    }


@pytest.mark.parametrize("key_id", ["ours", "theirs"])
@pytest.mark.parametrize("pointer", ["jwk", "jku", "x5u", "x5c"])
async def test_asvs_9_1_3_a_token_cannot_bring_its_own_key_nor_say_where_it_is(
    api: Api, login: Login, connect: Any, visited: Visited, pointer: str, key_id: str
) -> None:
    brought: Any = {
        "jwk": strangers_jwk(),
        "jku": f"{visited.url}/jwks.json",
        "x5u": f"{visited.url}/certificate.pem",
        "x5c": [certificate()],
    }[pointer]
    headers = jwt.get_unverified_header(login.access_token) | {pointer: brought}
    if key_id == "theirs":
        headers["kid"] = "theirs"
    token = jwt.encode(claims_of(login.access_token), stranger(), algorithm="EdDSA", headers=headers)
    assert await refusal(api, connect, token) == {"invalid_token"}
    assert visited.paths == []


async def test_the_stranger_s_key_would_have_been_good_for_who_had_fetched_it(
    login: Login, visited: Visited
) -> None:
    token = jwt.encode(claims_of(login.access_token), stranger(), algorithm="EdDSA", headers={"kid": "theirs"})
    client = jwt.PyJWKClient(f"{visited.url}/jwks.json")
    key = await asyncio.to_thread(client.get_signing_key_from_jwt, token)
    assert jwt.decode(token, key.key, algorithms=["EdDSA"], audience="vigil") == claims_of(login.access_token)
    assert visited.paths == ["/jwks.json"]


async def test_asvs_9_2_1_a_token_is_good_only_within_its_time(start_node: Any, http: Any, connect: Any) -> None:
    api = Api(start_node(VIGIL_ACCESS_TOKEN_SECONDS="1").url, http)
    login = await api.login(await api.register())
    assert (await login.call("GET", "/me")).status == 200
    # One second of life and five of leeway.
    await asyncio.sleep(6.5)
    assert await refusal(api, connect, login.access_token) == {"token_expired"}


async def test_asvs_9_2_2_only_an_access_token_opens_what_wants_one(api: Api, login: Login, connect: Any) -> None:
    assert jwt.get_unverified_header(login.access_token)["typ"] == "at+jwt"
    assert await refusal(api, connect, login.refresh_token) == {"invalid_token"}
    answer = await api.call("POST", "/refresh", {"refreshToken": login.access_token})
    assert (answer.status, answer.code) == (401, "invalid_token")


@pytest.mark.parametrize("typ", ["JWT", "id+jwt", "logout+jwt", "dpop+jwt", "AT+JWT", None])
async def test_asvs_9_2_2_a_token_of_another_kind_opens_nothing_though_our_key_signed_it(
    forging: Forging, http: Any, connect: Any, typ: str | None
) -> None:
    api = Api(forging.node.url, http)
    assert (await api.call("GET", "/me", token=forging.genuine.signed())).status == 200
    token = forging.genuine.with_header(typ=typ)
    assert await refusal(api, connect, token) == {"invalid_token"}


async def test_asvs_9_2_3_a_token_for_another_service_is_refused(start_node: Any, http: Any, connect: Any) -> None:
    ours, theirs = start_node(VIGIL_AUDIENCE="chat"), start_node(VIGIL_AUDIENCE="billing")
    login = await Api(ours.url, http).login(await Api(ours.url, http).register())
    assert (await login.call("GET", "/me")).status == 200
    assert await refusal(Api(theirs.url, http), connect, login.access_token) == {"invalid_token"}


async def test_asvs_9_2_4_a_token_names_whom_it_is_for(start_node: Any, http: Any) -> None:
    api = Api(start_node(VIGIL_AUDIENCE="chat").url, http)
    login = await api.login(await api.register())
    assert claims_of(login.access_token)["aud"] == "chat"
    assert claims_of((await login.refresh()).data["accessToken"])["aud"] == "chat"


@pytest.fixture(scope="module")
def hasty(services: ServiceUrls) -> Iterator[Node]:
    """A node without the ten seconds for tabs that race."""
    installation = Installation(services)
    node = installation.start(VIGIL_REUSE_LEEWAY_SECONDS="0")
    yield node
    assert node.stop() == 0
    drop(services, installation.name)


async def test_asvs_10_4_5_a_token_used_again_after_its_successor_was_ends_what_came_of_it(
    hasty: Node, http: Any, connect: Any
) -> None:
    """Its successor was, for its access token was."""
    api = Api(hasty.url, http)
    login = await api.login(await api.register())
    used = login.refresh_token
    assert (await login.refresh()).data["outcome"] == "rotated"
    live = await connect(api.url, login.access_token)
    answer = await api.call("POST", "/refresh", {"refreshToken": used})
    assert (answer.status, answer.code) == (401, "refresh_reused")
    assert (await live.wait("session-revoked"))["reason"] == "refresh_reused"
    assert (await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})).code == "session_revoked"


async def test_asvs_10_4_5_also_when_its_successor_was_taken_on_a_socket(
    hasty: Node, http: Any, connect: Any
) -> None:
    """A thief who stays on the socket: that his client answers pings shows that he has the pair."""
    api = Api(hasty.url, http)
    login = await api.login(await api.register())
    thief = await connect(api.url, login.access_token)
    assert (await thief.ask("refresh", {"refreshToken": login.refresh_token}))["outcome"] == "rotated"

    async def is_found_out() -> bool:
        answer = await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})
        return answer.status == 401 and answer.code == "refresh_reused"

    await eventually(is_found_out, "the owner's token shows the theft", timeout=30)
    assert (await thief.wait("session-revoked"))["reason"] == "refresh_reused"
    await thief.until_gone()


async def test_asvs_10_4_5_also_by_transparent_refresh_whatever_becomes_of_its_cookies(
    hasty: Node, http: Any
) -> None:
    """A thief who drops each cookie that he is sent: ten moments, and here each request is one."""
    api, thief = Api(hasty.url, http), Api(hasty.url, http)
    await api.login(await api.register(), delivery="cookies")
    refresh_cookie = {name: value for name, value in api.cookies.items() if name.endswith("_refresh")}

    async def status() -> int:
        thief.cookies = dict(refresh_cookie)
        return (await thief.call("GET", "/me")).status

    assert [await status() for _ in range(13)] == [200] * 11 + [401, 401]
    assert (await api.call("GET", "/me")).code == "session_revoked"


async def test_asvs_10_4_5_nor_does_a_cookie_outlive_the_use_of_its_successor(hasty: Node, http: Any) -> None:
    api, thief = Api(hasty.url, http), Api(hasty.url, http)
    await api.login(await api.register(), delivery="cookies")
    thief.cookies = {name: value for name, value in api.cookies.items() if name.endswith("_refresh")}
    stolen = dict(thief.cookies)
    api.cookies = {name: value for name, value in api.cookies.items() if not name.endswith("_access")}
    assert [(await api.call("GET", "/me")).status for _ in range(2)] == [200, 200], "rotated, and its access used"
    thief.cookies = stolen
    assert (await thief.call("GET", "/me")).code == "refresh_reused"
    assert (await api.call("GET", "/me")).code == "session_revoked"


async def test_asvs_10_4_5_until_then_it_gets_the_same_successor_and_no_second_one(api: Api) -> None:
    """Its answer may have been lost (docs/sessions.md); and whoever has it gets nothing that its owner has not."""
    login = await api.login(await api.register())
    used = login.refresh_token
    successor = (await login.refresh()).data["refreshToken"]
    again = await api.call("POST", "/refresh", {"refreshToken": used})
    assert (again.data["outcome"], again.data["refreshToken"]) == ("replayed", successor)
    await login.call("GET", "/me")
    # In use now, but two tabs may race for ten seconds.
    again = await api.call("POST", "/refresh", {"refreshToken": used})
    assert (again.data["outcome"], again.data["refreshToken"]) == ("concurrent", successor)


async def test_asvs_10_4_5_a_token_of_two_generations_ago_ends_what_came_of_it(api: Api) -> None:
    email = await api.register()
    login, elsewhere = await api.login(email), await api.login(email)
    stolen = login.refresh_token
    await login.refresh()
    await login.refresh()
    answer = await api.call("POST", "/refresh", {"refreshToken": stolen})
    assert (answer.status, answer.code) == (401, "refresh_reused")
    # The family, and by default everything else of the user.
    assert (await login.call("GET", "/me")).code == "session_revoked"
    assert (await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})).code == "session_revoked"
    assert (await elsewhere.call("GET", "/me")).code == "session_revoked"


async def test_asvs_10_4_8_refreshing_never_outlives_the_session(start_node: Any, http: Any) -> None:
    api = Api(start_node(VIGIL_REFRESH_TOKEN_SECONDS="60", VIGIL_SESSION_MAX_SECONDS="4").url, http)
    login = await api.login(await api.register())
    end = datetime.fromisoformat(login.data["refreshTokenExpiresAt"])
    assert (end - datetime.now(UTC)).total_seconds() <= 4
    await asyncio.sleep(1)
    # Each refresh is good for a minute, but not past the end of the whole.
    assert datetime.fromisoformat((await login.refresh()).data["refreshTokenExpiresAt"]) == end
    await asyncio.sleep(3.5)
    answer = await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})
    assert (answer.status, answer.code) == (401, "session_expired")
