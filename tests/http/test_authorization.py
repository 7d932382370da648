"""Who a request acts as: the Authorization header, and that no route forgets to ask."""

import asyncio
import re
from typing import Any

import pytest
from support.clients import Api, Refused
from support.nodes import Node


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_is_case_insensitive(api: Api, email: str, send: Any, scheme: str) -> None:
    login = await api.login(email)
    answer = await send("GET", "/api/auth/me", None, {"Authorization": f"{scheme} {login.access_token}"})
    assert answer.status == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token abc"])
async def test_without_a_token_one_is_asked_for(send: Any, header: str | None) -> None:
    answer = await send("GET", "/api/auth/me", None, {} if header is None else {"Authorization": header})
    assert (answer.status, answer.code) == (401, "missing_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "a b", "Bearer x", "é", "x" * 7000, "{}", "rt1.abcdef", '"x"', "x,y"]
)
async def test_a_token_that_is_none(send: Any, token: str) -> None:
    answer = await send("GET", "/api/auth/me", None, {"Authorization": f"Bearer {token}"})
    assert (answer.status, answer.code) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_a_refresh_token_is_no_access_token(api: Api, email: str, send: Any) -> None:
    login = await api.login(email)
    answer = await send("GET", "/api/auth/me", None, {"Authorization": f"Bearer {login.refresh_token}"})
    assert answer.code == "invalid_token"


async def test_two_authorization_headers_are_one_too_many(api: Api, email: str, node: Node, http: Any) -> None:
    login = await api.login(email)
    headers = [("Authorization", f"Bearer {login.access_token}")] * 2
    async with http.get(f"{node.url}/api/auth/me", headers=headers) as answer:
        assert answer.status == 401


async def test_every_route_that_is_not_declared_public_needs_a_token(send: Any) -> None:
    document = (await send("GET", "/openapi.json")).body
    protected = [
        (method.upper(), re.sub(r"{\w+}", "0" * 32, path))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation["security"] and {} not in operation["security"]
    ]
    assert len(protected) > 5
    for method, path in protected:
        answer = await send(method, path, None, {"Content-Type": "application/json"})
        assert (answer.status, answer.code) == (401, "missing_token"), (method, path)


@pytest.mark.parametrize("path", ["/refresh", "/refresh-token", "/logout"])
async def test_public_routes_that_act_for_a_session_need_something_to_name_it(send: Any, path: str) -> None:
    answer = await send("POST", f"/api/auth{path}")
    assert (answer.status, answer.code) == (401, "missing_token")


@pytest.mark.parametrize("path", ["/refresh", "/logout"])
@pytest.mark.parametrize("token", ["x", "rt1.", "rt1." + "A" * 96, "rt1." + "A" * 5000, "é"])
async def test_a_refresh_token_that_is_none(api: Api, path: str, token: str) -> None:
    answer = await api.call("POST", path, {"refreshToken": token})
    assert (answer.status, answer.code) == (401, "invalid_token")


async def test_a_good_body_does_not_hide_a_wrong_bearer_from_logout(api: Api, email: str) -> None:
    login = await api.login(email)
    answer = await api.call("POST", "/logout", {"refreshToken": login.refresh_token}, token="nonsense")
    assert answer.status == 200
    assert (await login.call("GET", "/me")).code == "session_revoked"


async def test_asvs_9_2_1_an_expired_token_says_so(start_node: Any, http: Any, connect: Any) -> None:
    node = start_node(VIGIL_ACCESS_TOKEN_SECONDS="1")
    api = Api(node.url, http)
    login = await api.login(await api.register())
    assert (await login.call("GET", "/me")).status == 200
    # One second of life and five of leeway.
    await asyncio.sleep(6.5)
    answer = await login.call("GET", "/me")
    assert (answer.status, answer.code) == (401, "token_expired")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert (await login.call("POST", "/logout")).code == "token_expired"
    with pytest.raises(Refused) as refused:
        await connect(node.url, login.access_token)
    assert refused.value.data["code"] == "token_expired"
