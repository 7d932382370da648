"""A login whose cookies take the place of another session's: that one is logged out, and no other."""

from typing import Any

import pytest
from support.clients import ORIGIN, PASSWORD, Api
from support.login_methods import WAYS
from support.secured import secure

from auth.http.cookies import ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE

DELIVERIES = ["cookie", "cookies"]
REFRESH_COOKIES = {"cookie": REFRESH_ONLY_COOKIE, "cookies": REFRESH_COOKIE}
FORGED = "rt1." + "A" * 91


async def is_over(api: Api, refresh_token: str) -> bool:
    answer = await api.call("POST", "/refresh", {"refreshToken": refresh_token})
    assert answer.status == 200 or answer.code == "session_revoked", answer.body
    return answer.status == 401


@pytest.mark.parametrize("after", DELIVERIES)
@pytest.mark.parametrize("before", DELIVERIES)
async def test_asvs_7_2_4_a_login_ends_the_session_whose_cookies_it_replaces(
    api: Api, browser: Any, email: str, connect: Any, before: str, after: str
) -> None:
    elsewhere = await api.login(email)
    first = (await browser.login(email, before)).data
    access_token = first.get("accessToken") or browser.cookies[ACCESS_COOKIE]
    live = await connect(api.url, access_token)
    second = (await browser.login(email, after)).data["session"]["sessionId"]
    told = await live.wait("session-revoked")
    assert (told["sessionId"], told["reason"]) == (first["session"]["sessionId"], "logout")
    assert told["by"] == {"kind": "user", "sessionId": first["session"]["sessionId"]}
    await live.until_gone()
    assert (await api.call("GET", "/me", token=access_token)).code == "session_revoked"
    listed = (await elsewhere.call("GET", "/sessions")).data["sessions"]
    assert {each["sessionId"] for each in listed} == {elsewhere.session_id, second}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_asvs_7_2_4_so_does_one_by_whichever_way_in(
    api: Api, browser: Any, email: str, way: Any, delivery: str
) -> None:
    # Of the form that nothing but a refresh acts by: by `cookies` a code from an SMS would add its number.
    await browser.login(email, "cookie")
    replaced = browser.cookies[REFRESH_ONLY_COOKIE]
    path, body = await way.begin(api, delivery)
    answer = await browser.call("POST", path, body)
    assert answer.status == 200, answer.body
    assert answer.data["session"]["amr"] == list(way.amr)
    assert await is_over(api, replaced)
    assert not await is_over(api, browser.cookies[REFRESH_COOKIES[delivery]])


async def test_a_login_that_waits_for_its_second_factor_has_replaced_nothing_yet(api: Api, browser: Any) -> None:
    account = await secure(api)
    token = await account.begin(delivery="cookies")
    assert (await browser.call("POST", "/2fa/verify", {"mfaToken": token} | account.recovery(0))).status == 200
    replaced = browser.cookies[REFRESH_COOKIE]
    body = {"email": account.email, "password": PASSWORD, "delivery": "cookies"}
    waiting = (await browser.call("POST", "/login", body)).data
    assert waiting["mfaRequired"] is True
    wrong = {"mfaToken": waiting["mfaToken"], "code": "000000"}
    assert (await browser.call("POST", "/2fa/verify", wrong)).code == "invalid_code"
    assert (await browser.call("GET", "/me")).status == 200
    right = {"mfaToken": waiting["mfaToken"]} | account.recovery(1)
    assert (await browser.call("POST", "/2fa/verify", right)).status == 200
    assert await is_over(api, replaced)


async def test_a_failed_login_ends_nothing(browser: Any, email: str) -> None:
    await browser.login(email, "cookies")
    body = {"email": email, "password": "a wrong password", "delivery": "cookies"}
    assert (await browser.call("POST", "/login", body)).code == "invalid_credentials"
    assert (await browser.call("GET", "/me")).status == 200


async def test_a_login_that_sets_no_cookies_replaces_none(browser: Any, email: str) -> None:
    await browser.login(email, "cookies")
    await browser.login(email, "body")
    assert (await browser.call("GET", "/me")).status == 200


@pytest.mark.parametrize("cookie", [REFRESH_COOKIE, REFRESH_ONLY_COOKIE])
@pytest.mark.parametrize("value", [FORGED, "rt1.", "x", '"', "a" * 3000, "eyJ.e30."])
async def test_a_forged_cookie_ends_nothing_and_stops_no_login(
    api: Api, browser: Any, email: str, cookie: str, value: str
) -> None:
    other = await api.login(email)
    browser.cookies[cookie] = value
    await browser.login(email, "cookies")
    assert (await browser.call("GET", "/sessions")).data["count"] == 2
    assert (await other.call("GET", "/me")).status == 200


async def test_anothers_cookie_ends_its_own_session_and_no_other_of_theirs(
    api: Api, browser: Any, email: str
) -> None:
    """Whoever has it could as well log it out: they gain nothing, and the account keeps what else it has."""
    victim = await api.register()
    named, kept = await api.login(victim), await api.login(victim)
    browser.cookies[REFRESH_COOKIE] = named.refresh_token
    assert (await browser.login(email, "cookies")).data["user"]["email"] == email
    assert (await named.call("GET", "/me")).code == "session_revoked"
    assert (await kept.call("GET", "/me")).status == 200


async def test_a_foreign_page_ends_nothing_by_a_login_in_its_visitors_browser(browser: Any, email: str) -> None:
    await browser.login(email, "cookies")
    body = {"email": email, "password": PASSWORD, "delivery": "cookies"}
    answer = await browser.call("POST", "/login", body, headers={"Origin": "https://evil.example"})
    assert answer.code == "origin_not_allowed"
    assert (await browser.call("GET", "/me", headers={"Origin": ORIGIN})).status == 200


async def test_a_refresh_by_cookie_goes_on_with_its_session(browser: Any, email: str) -> None:
    first = (await browser.login(email, "cookies")).data["session"]["sessionId"]
    assert (await browser.call("POST", "/refresh")).data["outcome"] == "rotated"
    sessions = (await browser.call("GET", "/sessions")).data["sessions"]
    assert [each["sessionId"] for each in sessions] == [first]
