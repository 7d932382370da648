"""Acting by cookie: the CSRF token, the Origin policy, and transparent refresh."""

import asyncio
import secrets
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict
from support.clients import ORIGIN, PASSWORD, Api

from auth.http.cookies import ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE

UNSAFE = [
    ("PATCH", "/me", {"name": "Eve"}),
    ("POST", "/logout-all", None),
    ("POST", "/sessions/revoke-others", None),
    ("DELETE", "/sessions/x", None),
    ("POST", "/refresh", None),
    ("POST", "/refresh-token", None),
    ("POST", "/logout", None),
]


@pytest.fixture
async def logged_in(browser: Any, email: str) -> Any:
    await browser.login(email, "cookies")
    return browser


@pytest.mark.parametrize(("method", "path", "body"), UNSAFE)
@pytest.mark.parametrize("csrf", [None, "", "wrong", "A" * 43])
async def test_unsafe_methods_need_the_csrf_token(
    logged_in: Any, method: str, path: str, body: Any, csrf: str | None
) -> None:
    cookies = dict(logged_in.cookies)
    answer = await logged_in.call(method, path, body, csrf=csrf)
    assert (answer.status, answer.code) == (403, "csrf_failed")
    assert logged_in.cookies == cookies
    assert (await logged_in.call("GET", "/me")).data["user"]["name"] == "Ada"


@pytest.mark.parametrize(("method", "path", "body"), UNSAFE)
async def test_also_when_the_access_cookie_is_gone(logged_in: Any, method: str, path: str, body: Any) -> None:
    del logged_in.cookies[ACCESS_COOKIE]
    answer = await logged_in.call(method, path, body, csrf=None)
    assert (answer.status, answer.code) == (403, "csrf_failed")
    assert ACCESS_COOKIE not in logged_in.cookies


async def test_the_csrf_token_of_another_session_does_not_pass(send: Any, logged_in: Any, email: str) -> None:
    other = type(logged_in)(send)
    await other.login(email, "cookies")
    answer = await logged_in.call("POST", "/logout-all", csrf=other.cookies["csrf"])
    assert answer.code == "csrf_failed"
    # Nor does planting the cookie as well help whoever sits on a sibling host.
    logged_in.cookies["csrf"] = other.cookies["csrf"]
    assert (await logged_in.call("POST", "/logout-all")).code == "csrf_failed"


@pytest.mark.parametrize(("method", "path", "body"), UNSAFE)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8001"])
async def test_unsafe_methods_need_an_allowed_origin(
    logged_in: Any, method: str, path: str, body: Any, origin: str
) -> None:
    logged_in.origin = origin
    answer = await logged_in.call(method, path, body)
    assert (answer.status, answer.code) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
)
async def test_without_an_origin_the_browsers_word_for_the_site_counts(
    logged_in: Any, site: str, status: int
) -> None:
    logged_in.origin = None
    answer = await logged_in.call("PATCH", "/me", {}, headers={"Sec-Fetch-Site": site})
    assert answer.status == status


async def test_a_program_that_is_no_browser_needs_only_the_csrf_token(logged_in: Any) -> None:
    logged_in.origin = None
    assert (await logged_in.call("PATCH", "/me", {})).status == 200


async def test_reading_by_cookie_needs_no_csrf_token_but_no_foreign_origin_either(logged_in: Any) -> None:
    assert (await logged_in.call("GET", "/me", csrf=None)).status == 200
    answer = await logged_in.call("GET", "/me", headers={"Origin": "https://evil.example"})
    assert answer.code == "origin_not_allowed"


async def test_a_bearer_token_needs_neither(logged_in: Any, api: Api, email: str) -> None:
    login = await api.login(email)
    headers = {"Authorization": f"Bearer {login.access_token}", "Origin": "https://evil.example"}
    assert (await logged_in.call("PATCH", "/me", {}, headers=headers, csrf=None)).status == 200


async def test_the_csrf_token_is_also_in_a_header_for_pages_that_cannot_read_our_cookies(
    browser: Any, email: str
) -> None:
    answer = await browser.login(email, "cookies")
    assert answer.headers["X-CSRF-Token"] == browser.cookies["csrf"]
    assert "X-CSRF-Token" in answer.headers["Access-Control-Expose-Headers"]


# What is no cookie of ours, however a parser could take it for one.


@pytest.mark.parametrize("header", ["theme=x {0}", "\u2000{0}", "theme=x\t{0}", "{0}; {0}x", 'a="x {0}"'])
async def test_a_token_in_what_a_sibling_host_can_set_is_not_believed(
    logged_in: Any, send: Any, header: str
) -> None:
    def planted(*names: str) -> dict[str, str]:
        cookies = [header.format(f"{name}={logged_in.cookies[name]}") for name in names]
        return {"Cookie": "; ".join(cookies), "Origin": ORIGIN, "X-CSRF-Token": logged_in.cookies["csrf"]}

    both = planted(ACCESS_COOKIE, REFRESH_COOKIE)
    assert (await send("GET", "/api/auth/me", None, both)).code == "missing_token"
    assert (await send("POST", "/api/auth/refresh", None, both)).code == "missing_token"
    # None of it ended the session, as a login in its place would.
    body = {"email": f"{secrets.token_hex(6)}@example.org", "password": "wrong", "delivery": "cookies"}
    await send("POST", "/api/auth/login", aiohttp.JsonPayload(body), {**both, "Content-Type": "application/json"})
    assert (await logged_in.call("GET", "/me")).status == 200


async def test_a_cookie_that_comes_twice_is_removed_in_both_forms_before_it_is_set(
    browser: Any, email: str
) -> None:
    """Of one site and of another's pages: where `VIGIL_COOKIE_SAME_SITE` was changed, browsers keep both."""
    twice = {"Cookie": f"{ACCESS_COOKIE}=a; {ACCESS_COOKIE}=b; {REFRESH_COOKIE}=c"}
    body = {"email": email, "password": PASSWORD, "delivery": "cookies"}
    answer = await browser.call("POST", "/login", body, headers=twice)
    lines = answer.headers.getall("Set-Cookie")
    access = [line for line in lines if line.startswith(f"{ACCESS_COOKIE}=")]
    assert [("Max-Age=0" in line, "Partitioned" in line) for line in access] == [
        (True, True), (True, False), (False, False),
    ]  # fmt: skip
    assert len([line for line in lines if line.startswith(f"{REFRESH_COOKIE}=")]) == 1


@pytest.mark.parametrize("delivery", ["cookie", "cookies"])
async def test_the_csrf_token_can_be_asked_for_where_the_cookie_cannot_be_read(
    browser: Any, email: str, delivery: str
) -> None:
    login = await browser.login(email, delivery)
    asked = await browser.call("GET", "/csrf", headers={"Origin": ORIGIN})
    assert asked.data == {"csrfToken": login.headers["X-CSRF-Token"]}
    assert asked.headers["Access-Control-Allow-Origin"] == ORIGIN
    foreign = await browser.call("GET", "/csrf", headers={"Origin": "https://evil.example"})
    assert (foreign.status, foreign.code) == (403, "origin_not_allowed")


@pytest.mark.parametrize("token", [None, "nonsense", "rt1." + "A" * 96])
async def test_without_a_refresh_cookie_of_ours_there_is_no_csrf_token(browser: Any, token: str | None) -> None:
    if token is not None:
        browser.cookies[REFRESH_COOKIE] = token
    assert (await browser.call("GET", "/csrf")).data == {"csrfToken": None}


async def test_two_lines_of_cookies_are_read_as_one(logged_in: Any, send: Any) -> None:
    own = f"{ACCESS_COOKIE}={logged_in.cookies[ACCESS_COOKIE]}"
    assert (
        await send("GET", "/api/auth/me", None, CIMultiDict([("Cookie", "a=b"), ("Cookie", own)]))
    ).status == 200


# Transparent refresh.


@pytest.mark.parametrize("access", [None, "expired-or-nonsense"])
async def test_a_good_refresh_cookie_replaces_a_bad_access_cookie_on_the_way(
    logged_in: Any, access: str | None
) -> None:
    refresh = logged_in.cookies[REFRESH_COOKIE]
    logged_in.cookies.pop(ACCESS_COOKIE)
    if access is not None:
        logged_in.cookies[ACCESS_COOKIE] = access
    answer = await logged_in.call("GET", "/me")
    assert answer.status == 200
    assert logged_in.cookies[REFRESH_COOKIE] != refresh
    assert logged_in.cookies[ACCESS_COOKIE] not in {None, access}
    assert "X-CSRF-Token" in answer.headers
    assert (await logged_in.call("GET", "/me")).headers.getall("Set-Cookie", []) == []


async def test_it_works_for_unsafe_methods(logged_in: Any) -> None:
    del logged_in.cookies[ACCESS_COOKIE]
    assert (await logged_in.call("PATCH", "/me", {"name": "Grace"})).data["user"]["name"] == "Grace"
    assert ACCESS_COOKIE in logged_in.cookies


async def test_the_new_cookies_come_with_a_refusal_too(logged_in: Any) -> None:
    del logged_in.cookies[ACCESS_COOKIE]
    answer = await logged_in.call("DELETE", "/sessions/nothing")
    assert answer.status == 404
    assert ACCESS_COOKIE in logged_in.cookies
    del logged_in.cookies[ACCESS_COOKIE]
    assert (await logged_in.call("PATCH", "/me", {"name": 5})).status == 400
    assert ACCESS_COOKIE in logged_in.cookies


async def test_parallel_requests_all_succeed_with_one_generation(logged_in: Any) -> None:
    del logged_in.cookies[ACCESS_COOKIE]
    tabs = [logged_in.twin() for _ in range(10)]
    answers = await asyncio.gather(*(tab.call("GET", "/me") for tab in tabs))
    assert [answer.status for answer in answers] == [200] * 10
    assert len({tab.cookies[REFRESH_COOKIE] for tab in tabs}) == 1


async def test_a_lost_answer_is_handed_out_again(logged_in: Any) -> None:
    """The request itself must not confirm a token that its client has not received."""
    del logged_in.cookies[ACCESS_COOKIE]
    lost = logged_in.twin()
    assert (await lost.call("GET", "/me")).status == 200
    await asyncio.sleep(0.05)
    assert (await logged_in.call("GET", "/me")).status == 200
    assert logged_in.cookies[REFRESH_COOKIE] == lost.cookies[REFRESH_COOKIE]
    again = await logged_in.call("POST", "/refresh")
    assert again.data["outcome"] == "rotated"


async def test_an_expired_access_cookie_is_renewed(start_node: Any, send: Any, browser: Any, http: Any) -> None:
    node = start_node(VIGIL_ACCESS_TOKEN_SECONDS="4")
    email = await Api(node.url, http).register()
    await browser.login(email, "cookies", url=node.url)
    access = browser.cookies[ACCESS_COOKIE]
    assert int(browser.attributes[ACCESS_COOKIE]["max-age"]) <= 4
    # Four seconds of life and five of leeway.
    await asyncio.sleep(9.5)
    assert (await browser.call("GET", "/me", url=node.url)).status == 200
    assert browser.cookies[ACCESS_COOKIE] != access
    # Without the refresh cookie the expired one is only that.
    del browser.cookies[REFRESH_COOKIE]
    browser.cookies[ACCESS_COOKIE] = access
    answer = await browser.call("GET", "/me", url=node.url)
    assert answer.code == "token_expired"
    assert browser.cookies == {}


async def test_a_refused_refresh_clears_the_cookies(logged_in: Any) -> None:
    other = logged_in.twin()
    await other.call("POST", "/logout")
    del logged_in.cookies[ACCESS_COOKIE]
    answer = await logged_in.call("GET", "/me")
    assert (answer.status, answer.code) == (401, "session_revoked")
    assert logged_in.cookies == {}


@pytest.mark.parametrize("token", ["nonsense", "rt1." + "A" * 96])
@pytest.mark.parametrize(("method", "path"), [("GET", "/me"), ("POST", "/refresh"), ("POST", "/logout")])
async def test_a_refresh_cookie_that_is_none_is_cleared(browser: Any, token: str, method: str, path: str) -> None:
    browser.cookies = {REFRESH_COOKIE: token, "csrf": "x"}
    answer = await browser.call(method, path)
    assert (answer.status, answer.code) == (401, "invalid_token")
    assert browser.cookies == {}


async def test_a_late_refusal_of_the_replaced_session_does_not_clear_the_cookies_of_the_login(
    logged_in: Any, email: str
) -> None:
    replaced = dict(logged_in.cookies)
    await logged_in.login(email, "cookies")
    begun = dict(logged_in.cookies)
    logged_in.cookies = replaced
    answer = await logged_in.call("GET", "/me")
    assert answer.code == "session_revoked"
    assert "Set-Cookie" not in answer.headers
    logged_in.cookies = begun
    assert (await logged_in.call("POST", "/refresh")).status == 200


async def test_logout_with_only_the_access_cookie(logged_in: Any) -> None:
    del logged_in.cookies[REFRESH_COOKIE]
    before = logged_in.twin()
    assert (await logged_in.call("POST", "/logout", csrf=None)).code == "csrf_failed"
    assert (await logged_in.call("POST", "/logout")).status == 200
    assert (await before.call("GET", "/me")).code == "session_revoked"


async def test_logout_by_bearer_clears_the_refresh_cookie_beside_it(browser: Any, email: str) -> None:
    login = await browser.login(email, "cookie")
    bearer = {"Authorization": f"Bearer {login.data['accessToken']}"}
    assert REFRESH_ONLY_COOKIE in browser.cookies
    assert (await browser.call("POST", "/logout", headers=bearer)).status == 200
    assert browser.cookies == {}


# CORS.


async def test_an_allowed_origin_may_ask_beforehand_and_read_the_answer(send: Any) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    answer = await send("OPTIONS", "/api/auth/me", None, asked)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert "X-CSRF-Token" in answer.headers["Access-Control-Allow-Headers"]
    read = await send("GET", "/api/auth/me", None, {"Origin": ORIGIN})
    assert read.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in read.headers["Vary"]


async def test_a_page_of_an_allowed_origin_may_send_headers_of_its_monitoring(send: Any) -> None:
    wanted = "authorization,baggage,content-type,sentry-trace,traceparent,x-csrf-token"
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    answer = await send("OPTIONS", "/api/auth/refresh", None, asked)
    assert (answer.status, answer.headers["Access-Control-Allow-Headers"]) == (204, wanted)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ORIGIN + "0"])
async def test_another_origin_may_neither_ask_nor_read(send: Any, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
    answer = await send("OPTIONS", "/api/auth/me", None, asked)
    assert (answer.status, answer.code) == (403, "origin_not_allowed")
    assert "Access-Control-Allow-Origin" not in answer.headers
    read = await send("GET", "/api/auth/me", None, {"Origin": origin})
    assert "Access-Control-Allow-Origin" not in read.headers


async def test_a_preflight_for_nothing_is_a_404(send: Any) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert (await send("OPTIONS", "/api/auth/nothing", None, asked)).status == 404
