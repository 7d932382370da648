"""OWASP ASVS 5.0, V7 Session Management: what begins, lasts and ends a session, over a real node."""

import asyncio
from typing import Any

import pytest
from support.clients import Api, Refused

from auth.http.cookies import ALL_COOKIES, DEVICE_COOKIE


async def test_asvs_7_2_1_a_session_is_judged_by_the_server_alone(api: Api, connect: Any) -> None:
    email = await api.register()
    login, other = await api.login(email), await api.login(email)
    live = await connect(api.url, login.access_token)
    await other.call("DELETE", f"/sessions/{login.session_id}")
    # The client still holds a token whose signature and time are good.
    answer = await login.call("GET", "/me")
    assert (answer.status, answer.code) == (401, "session_revoked")
    assert (await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})).code == "session_revoked"
    with pytest.raises(Refused) as refused:
        await connect(api.url, login.access_token)
    assert refused.value.data["code"] == "session_revoked"
    # A socket that was live is closed, though its client neither asks nor sends anything.
    await live.until_gone()


async def test_asvs_7_2_2_tokens_are_made_anew_for_each_login_and_refresh(api: Api) -> None:
    email = await api.register()
    login, other = await api.login(email), await api.login(email)
    tokens = [login.access_token, login.refresh_token, other.access_token, other.refresh_token]
    for _ in range(3):
        tokens += [(await login.refresh()).data[name] for name in ("accessToken", "refreshToken")]
    assert len(set(tokens)) == len(tokens)


async def test_asvs_7_3_1_a_session_nobody_uses_ends(start_node: Any, http: Any) -> None:
    api = Api(start_node(VIGIL_REFRESH_TOKEN_SECONDS="2", VIGIL_SESSION_MAX_SECONDS="60").url, http)
    login = await api.login(await api.register())
    await asyncio.sleep(1)
    assert (await login.refresh()).data["outcome"] == "rotated"
    await asyncio.sleep(2.2)
    answer = await api.call("POST", "/refresh", {"refreshToken": login.refresh_token})
    assert (answer.status, answer.code) == (401, "session_expired")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/logout"), ("POST", "/logout-all"), ("DELETE", "/sessions/{own}"), ("DELETE", "/me")],
)
async def test_asvs_14_3_1_an_answer_that_ends_its_own_login_has_the_browser_drop_what_it_keeps(
    api: Api, method: str, path: str
) -> None:
    login = await api.login(await api.register(), delivery="cookies")
    answer = await api.call(method, path.format(own=login.session_id))
    assert answer.status == 200, answer.body
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert set(api.cookies).isdisjoint(ALL_COOKIES)
    assert DEVICE_COOKIE in api.cookies


async def test_asvs_14_3_1_and_no_other_answer_has(api: Api) -> None:
    email = await api.register()
    login, other = await api.login(email), await api.login(email)
    answers = [
        await login.call("DELETE", f"/sessions/{other.session_id}"),
        await login.call("POST", "/sessions/revoke-others"),
        await login.call("GET", "/me"),
        await api.call("POST", "/logout", token="nonsense"),
        await login.call("POST", "/2fa/disable", {}),
    ]
    assert ["Clear-Site-Data" in answer.headers for answer in answers] == [False] * 5
