"""OWASP ASVS 5.0, V9 Self-contained Tokens and V10.4: access and refresh tokens over a real node."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from security.conftest import claims_of, forge
from support.clients import Api, Login, Refused


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


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS256", "ES256", "EdDSA "])
async def test_asvs_9_1_2_no_other_algorithm_is_taken(
    api: Api, login: Login, connect: Any, algorithm: str
) -> None:
    header = jwt.get_unverified_header(login.access_token) | {"alg": algorithm}
    claims = claims_of(login.access_token)
    assert await refusal(api, connect, forge(header, claims)) == {"invalid_token"}
    if algorithm == "HS256":
        # The public key as the secret of a MAC: the classic confusion of key kinds.
        [key, *_] = (await api.call("GET", "/../../.well-known/jwks.json")).body["keys"]
        confused = jwt.encode(claims, key["x"] * 2, algorithm="HS256", headers=header)
        assert await refusal(api, connect, confused) == {"invalid_token"}


@pytest.mark.parametrize("pointer", ["jwk", "jku", "x5u", "x5c"])
async def test_asvs_9_1_3_a_token_cannot_bring_its_own_key(
    api: Api, login: Login, connect: Any, stranger: Any, pointer: str
) -> None:
    public = stranger.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    brought = {
        "jwk": dict(jwt.algorithms.OKPAlgorithm.to_jwk(stranger.public_key(), as_dict=True)),
        "jku": f"{api.url}/.well-known/jwks.json",
        "x5u": f"{api.url}/certificate.pem",
        "x5c": [public.decode()],
    }[pointer]
    headers = jwt.get_unverified_header(login.access_token) | {pointer: brought}
    token = jwt.encode(claims_of(login.access_token), stranger, algorithm="EdDSA", headers=headers)
    assert await refusal(api, connect, token) == {"invalid_token"}


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


async def test_asvs_10_4_5_a_refresh_token_used_twice_ends_what_came_of_it(api: Api) -> None:
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
    # It slides within an hour, but not past the end of the whole.
    assert datetime.fromisoformat((await login.refresh()).data["refreshTokenExpiresAt"]) == end
    await asyncio.sleep(3.5)
    answer = await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})
    assert (answer.status, answer.code) == (401, "session_expired")
