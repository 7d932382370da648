"""The mailed links of a server without a demo page and without an application's: each leads to a plain page."""

import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from support.clients import PASSWORD, Api, Login
from support.link_page import FORM_TYPE, Page
from support.mailbox import mailed
from support.nodes import Installation, Node

NEW_PASSWORD = "a gate of old larch wood"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NAMES = {
    "reset": "/api/auth/password/reset/form",
    "email": "/api/auth/email/confirm/form",
    "notme": "/api/auth/alerts/not-me/form",
}


@pytest.fixture(scope="module")
def bare(shared_installation: Installation) -> Iterator[Node]:
    """A node that has no page at all."""
    node = shared_installation.start(VIGIL_DEMO="off")
    yield node
    node.stop()


@pytest.fixture
def api(bare: Node, http: Any) -> Api:
    return Api(bare.url, http)


@pytest.fixture
async def email(api: Api) -> str:
    return await api.register()


async def link_of(api: Api, address: str, name: str) -> str:
    """The token of the link of that name in the newest mail that has one; the link leads to our page."""
    return await mailed(api, address, re.compile(rf"http://127\.0\.0\.1:8000/\?{name}=([A-Za-z0-9_-]+)"))


async def forgotten(api: Api, email: str) -> str:
    assert (await api.call("POST", "/password/forgot", {"email": email})).status == 202
    return await link_of(api, email, "reset")


async def moving(login: Login, old: str) -> tuple[str, str, str]:
    """A change of the address that was asked for: the new one, and the tokens in the old mailbox and in it."""
    new = f"moved-{secrets.token_hex(6)}@example.org"
    assert (await login.call("POST", "/email/change", {"email": new})).status == 202
    return new, await link_of(login.api, old, "email"), await link_of(login.api, new, "email")


async def told_of(api: Api, email: str) -> tuple[Login, str]:
    """A login on a device that is new to the account, and the token of the mail that tells of it."""
    await api.login(email)
    body = {"email": email, "password": PASSWORD}
    answer = await Api(api.url, api.http).call("POST", "/login", body, headers={"User-Agent": FIREFOX})
    return Login(api, answer.data), await link_of(api, email, "notme")


async def log_in(api: Api, email: str, password: str) -> str:
    answer = await api.call("POST", "/login", {"email": email, "password": password})
    return "in" if answer.status == 200 else str(answer.code)


async def follow(send: Any, api: Api, name: str, token: str) -> Page:
    answer = await send("GET", f"/?{name}={quote(token)}", url=api.url)
    return Page(send, answer, {}, api.url)


async def test_a_forgotten_password_is_set_on_the_page_which_says_why_one_is_refused(
    api: Api, send: Any, email: str
) -> None:
    login = await api.login(email)
    page = await follow(send, api, "reset", await forgotten(api, email))
    assert (page.answer.status, page.fields()) == (200, ["token", "password"])
    for refused, why in (("password1", "Many people use"), ("short", "8 characters"), ("", "8 characters")):
        again = Page(send, await page.press(password=refused), {}, api.url)
        assert again.answer.status == 400
        assert why in again.answer.body.partition('role="alert">')[2].partition("</p>")[0]
    assert await log_in(api, email, PASSWORD) == "in"
    done = await again.press(password=NEW_PASSWORD)
    assert (done.status, "Your password is changed" in done.body) == (200, True)
    assert [await log_in(api, email, word) for word in (PASSWORD, NEW_PASSWORD)] == ["invalid_credentials", "in"]
    assert (await login.call("GET", "/me")).code == "session_revoked"
    used = await page.press(password=PASSWORD)
    assert (used.status, "no longer valid" in used.body) == (400, True)


async def test_an_address_changes_by_the_buttons_of_both_pages(api: Api, send: Any, email: str) -> None:
    login = await api.login(email)
    new, *tokens = await moving(login, email)
    said = [await (await follow(send, api, "email", token)).press() for token in tokens]
    assert [answer.status for answer in said] == [200, 200]
    assert "in the e-mail to your new address" in said[0].body
    assert "Your address is changed" in said[1].body
    assert (await login.call("GET", "/me")).data["user"]["email"] == new


async def test_a_login_of_somebody_else_ends_by_the_button(api: Api, send: Any, email: str) -> None:
    stranger, token = await told_of(api, email)
    page = await follow(send, api, "notme", token)
    assert (await stranger.call("GET", "/me")).status == 200
    facts = dict(re.findall(r"<dt>(\w+)</dt><dd>([^<]+)</dd>", page.answer.body))
    assert (facts["Device"], facts["From"]) == ("Firefox on Linux", "127.0.0.1")
    assert re.fullmatch(r"\d+ \w+ \d{4}, \d\d:\d\d UTC", facts["Time"])
    ended, again = await page.press(), await page.press()
    assert "That device is logged out" in ended.body
    assert "already logged out" in again.body
    assert (await stranger.call("GET", "/me")).code == "session_revoked"


async def test_a_page_can_ask_which_login_the_link_is_about_and_changes_nothing(api: Api, email: str) -> None:
    stranger, token = await told_of(api, email)
    for live in (True, False):
        login = (await api.call("POST", "/alerts/not-me/login", {"token": token})).data
        assert login.keys() == {"device", "ip", "location", "loggedInAt", "live"}
        assert (login["device"]["detected"], login["ip"], login["live"]) == ("Firefox on Linux", "127.0.0.1", live)
        if live:
            assert (await stranger.call("GET", "/me")).status == 200
            assert (await api.call("POST", "/alerts/not-me", {"token": token})).data["revoked"] == 1
    for bad in ("x", "a" * 43):
        refused = await api.call("POST", "/alerts/not-me/login", {"token": bad})
        assert (refused.status, refused.code) == (401, "invalid_token")


async def test_what_follows_the_links_without_their_buttons_changes_nothing(
    api: Api, send: Any, email: str, bare: Node
) -> None:
    stranger, notme = await told_of(api, email)
    _, *moves = await moving(stranger, email)
    links = [("notme", notme), ("reset", await forgotten(api, email)), *(("email", token) for token in moves)]
    for name, token in links:
        for headers in ({}, {"Sec-Purpose": "prefetch;prerender"}):
            answer = await send("GET", f"/?{name}={token}", None, headers, url=api.url)
            assert answer.status == 200
        assert (await send("HEAD", f"/?{name}={token}", url=api.url)).status == 405
        assert (await send("GET", f"{NAMES[name]}?token={token}", url=api.url)).status == 405
        foreign = await Page(send, answer, {}, api.url).press(
            headers={"Sec-Fetch-Site": "cross-site"}, password=NEW_PASSWORD
        )
        assert (foreign.status, foreign.code) == (403, "origin_not_allowed")
    assert (await stranger.call("GET", "/me")).data["user"]["email"] == email
    assert await log_in(api, email, PASSWORD) == "in"
    await bare.logged(foreign.headers["X-Request-Id"])
    assert [token for _, token in links if token in bare.text()] == []


@pytest.mark.parametrize("name", NAMES)
async def test_the_page_needs_no_script_and_shows_its_token_to_nobody(api: Api, send: Any, name: str) -> None:
    answer = (await follow(send, api, name, "x")).answer
    assert not re.search("<script|style=|https?:", answer.body)
    assert "form-action 'self';" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", NAMES)
async def test_a_link_that_is_not_good_says_so(api: Api, send: Any, name: str) -> None:
    for token in ("", "é", "a" * 5000):
        answer = (await follow(send, api, name, token)).answer
        assert (answer.status, "no longer valid" in answer.body) == (400, True)
    for token in ("", "é", "a" * 43):
        body = urlencode({"token": token, "password": NEW_PASSWORD})
        answer = await send("POST", NAMES[name], body, FORM_TYPE, url=api.url)
        assert (answer.status, "no longer valid" in answer.body) == (400, True)
    marked = (await follow(send, api, name, '"><b>')).answer
    # The page of an alert reads its token at once, to name the login.
    assert (marked.status, "<b>" in marked.body) == (400 if name == "notme" else 200, False)


# What a redirect of provider_visits.py can say, the status of the page it leads to, and words of its one sentence.
ENDS = [
    ("login=access_denied", 403, "You cancelled at the provider"),
    ("login=provider_failed", 502, "could not be verified"),
    ("login=unavailable", 503, "The provider is not responding"),
    ("login=invalid_token", 401, "took too long"),
    ("login=conflict", 409, "already exists"),
    ("login=email_not_verified", 403, "a link was sent to you"),
    ("login=account_locked", 403, "This account is locked"),
    ("login=session_limit_reached", 403, "the maximum number of devices"),
    ("login=rate_limited", 429, "Too many attempts"),
    ("login=anything%20else", 502, "could not be verified"),
    ("linked=one", 200, "You can now log in with it"),
    ("linked=0&code=conflict", 409, "already exists"),
    ("linked=0&code=session_revoked", 401, "The session that started this has ended"),
]


@pytest.mark.parametrize(("query", "status", "words"), ENDS)
async def test_a_visit_to_a_provider_ends_on_a_page_that_says_how(
    api: Api, send: Any, query: str, status: int, words: str
) -> None:
    answer = await send("GET", f"/?{query}", url=api.url)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert words in answer.body
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_end_of_a_visit_shows_nothing_of_what_its_address_says(api: Api, send: Any) -> None:
    for query in ("login=", "linked=", "linked=0&code="):
        marked = await send("GET", f"/?{query}call%20us%20at%20%3Cb%3E", url=api.url)
        assert "call us" not in marked.body


async def test_a_visit_that_is_refused_leads_to_such_a_page(shared_installation: Installation, send: Any) -> None:
    settings = {"ISSUER": "http://127.0.0.1:9", "CLIENT_ID": "vigil", "CLIENT_SECRET": "secret"}
    node = shared_installation.start(
        VIGIL_DEMO="off", **{f"VIGIL_OIDC_DOWN_{name}": value for name, value in settings.items()}
    )
    try:
        start = await send("GET", "/api/auth/oauth/down/start", url=node.url)
        callback = await send("GET", "/api/auth/oauth/down/callback?state=x&code=y", url=node.url)
        ends = [await send("GET", each.headers["Location"], url=node.url) for each in (start, callback)]
        assert [each.status for each in (start, callback, *ends)] == [303, 303, 503, 401]
    finally:
        assert node.stop() == 0


@pytest.mark.parametrize("query", ["", "?verified=1", "?code=access_denied"])
async def test_there_is_still_no_other_page(api: Api, send: Any, query: str) -> None:
    answer = await send("GET", f"/{query}", url=api.url)
    assert (answer.status, answer.code) == (404, "not_found")
