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
from security.conftest import claims_of
from support.clients import Api, Login, Refused
from support.forgeries import certificate, stranger
from support.nodes import Installation, Node, ServiceUrls, drop
from support.waiting import eventually


@pytest.fixture
async def login(api: Api) -> Login:
    return await api.login(await api.register())


async def refusal(api: Api, connect: Any, token: str) -> set[str]:
    """How HTTP and the live socket refuse a token; fails when either takes it."""
    answer = await api.call("GET", "/me", token=token)
    assert answer.status == 401
    with pytest.raises(Refused) as refused:
        await connect(api.url, token)
    return {answer.code, refused.value.data["code"]}


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


async def test_asvs_9_1_3_a_token_cannot_bring_its_own_key_nor_say_where_it_is(
    api: Api, login: Login, connect: Any, visited: Visited
) -> None:
    pointers: dict[str, Any] = {
        "jwk": strangers_jwk(),
        "jku": f"{visited.url}/jwks.json",
        "x5u": f"{visited.url}/certificate.pem",
        "x5c": [certificate()],
    }
    for pointer, brought in pointers.items():
        for key_id in ({}, {"kid": "theirs"}):
            headers = jwt.get_unverified_header(login.access_token) | {pointer: brought} | key_id
            token = jwt.encode(claims_of(login.access_token), stranger(), algorithm="EdDSA", headers=headers)
            assert await refusal(api, connect, token) == {"invalid_token"}, (pointer, key_id)
    assert visited.paths == []


async def test_the_stranger_s_key_would_have_been_good_for_who_had_fetched_it(
    login: Login, visited: Visited
) -> None:
    token = jwt.encode(claims_of(login.access_token), stranger(), algorithm="EdDSA", headers={"kid": "theirs"})
    client = jwt.PyJWKClient(f"{visited.url}/jwks.json")
    key = await asyncio.to_thread(client.get_signing_key_from_jwt, token)
    assert jwt.decode(token, key.key, algorithms=["EdDSA"], audience="vigil") == claims_of(login.access_token)
    assert visited.paths == ["/jwks.json"]


async def test_asvs_9_2_2_only_an_access_token_opens_what_wants_one(api: Api, login: Login, connect: Any) -> None:
    assert jwt.get_unverified_header(login.access_token)["typ"] == "at+jwt"
    assert await refusal(api, connect, login.refresh_token) == {"invalid_token"}
    answer = await api.call("POST", "/refresh", {"refreshToken": login.access_token})
    assert (answer.status, answer.code) == (401, "invalid_token")


async def test_asvs_9_2_3_and_9_2_4_a_token_names_whom_it_is_for_and_another_service_refuses_it(
    start_node: Any, http: Any, connect: Any
) -> None:
    ours, theirs = start_node(VIGIL_AUDIENCE="chat"), start_node(VIGIL_AUDIENCE="billing")
    login = await Api(ours.url, http).login(await Api(ours.url, http).register())
    assert claims_of(login.access_token)["aud"] == "chat"
    assert claims_of((await login.refresh()).data["accessToken"])["aud"] == "chat"
    assert (await login.call("GET", "/me")).status == 200
    assert await refusal(Api(theirs.url, http), connect, login.access_token) == {"invalid_token"}


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


async def test_asvs_7_3_2_and_10_4_8_refreshing_never_outlives_the_session(start_node: Any, http: Any) -> None:
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
