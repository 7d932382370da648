"""The links in mails: following one shows a page and changes nothing; its button does, in the browser that may."""

import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from support.clients import PASSWORD, Api
from support.link_page import FORM_TYPE, Page, cookie_of
from support.mailbox import mailed
from support.secured import Secured, secure

from auth.core.page_links import PageLinks
from auth.http.pages.mailed_links import form_csp

NEW_PASSWORD = "a gate of old larch wood"
LINK, FORM = "/api/auth/verify-email", "/api/auth/verify-email/form"
NOT_CONFIRMED = "email_not_verified"


async def follow(send: Any, token: str, cookies: dict[str, str] | None = None, url: str = "") -> Page:
    kept = cookies or {}
    answer = await send("GET", f"{LINK}?token={token}", None, {"Cookie": cookie_of(kept)}, url=url)
    return Page(send, answer, kept, url)


async def log_in(api: Api, email: str, password: str) -> str:
    answer = await api.call("POST", "/login", {"email": email, "password": password})
    return "in" if answer.status == 200 else str(answer.code)


@pytest.fixture
async def email(api: Api) -> str:
    """An address that was registered in the browser whose cookies `api` has."""
    return await api.register(verify=False)


@pytest.fixture
async def token(api: Api, email: str) -> str:
    return await api.mailed_token(email)


async def test_following_the_link_changes_nothing_and_its_button_confirms(
    api: Api, send: Any, email: str, token: str
) -> None:
    for _ in range(2):
        page = await follow(send, token, api.cookies)
        assert (page.answer.status, page.fields()) == (200, ["token"])
    assert email in page.answer.body
    assert await log_in(api, email, PASSWORD) == NOT_CONFIRMED
    for _ in range(2):
        answer = await page.press()
        assert (answer.status, answer.headers["Location"]) == (303, "/?verified=1")
    assert await log_in(api, email, PASSWORD) == "in"


async def test_the_page_works_without_scripts_and_shows_its_token_to_nobody(
    api: Api, send: Any, token: str
) -> None:
    answer = (await follow(send, token, api.cookies)).answer
    assert "<script" not in answer.body
    assert "style=" not in answer.body
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("headers", [{}, {"Sec-Purpose": "prefetch;prerender"}, {"User-Agent": "scanner"}])
async def test_a_scanner_s_get_and_head_confirm_nothing_in_any_browser(
    api: Api, send: Any, email: str, token: str, headers: dict[str, str]
) -> None:
    cookie = {"Cookie": cookie_of(api.cookies)}
    assert (await send("GET", f"{LINK}?token={token}", None, headers | cookie)).status == 200
    assert (await send("HEAD", f"{LINK}?token={token}", None, headers | cookie)).status == 405
    assert (await send("GET", FORM, None, headers | cookie)).status == 405
    assert await log_in(api, email, PASSWORD) == NOT_CONFIRMED


async def test_another_browser_is_asked_for_the_password_of_the_registration(
    api: Api, send: Any, email: str, token: str
) -> None:
    page = await follow(send, token)
    assert [page.fields(0), page.fields(1)] == [["token", "password"], ["token", "newPassword"]]
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "Enter the password"),
        ({"password": "not that one"}, "not the password"),
    ]
    for filled, said in cases:
        answer = await page.press(**filled)
        assert answer.status == 401
        assert said in answer.body
    assert await log_in(api, email, PASSWORD) == NOT_CONFIRMED
    assert (await page.press(password=PASSWORD)).headers["Location"] == "/?verified=1"
    assert await log_in(api, email, PASSWORD) == "in"


async def test_the_owner_of_the_mailbox_sets_a_password_and_the_stranger_s_is_void(
    api: Api, send: Any, email: str, token: str
) -> None:
    page = await follow(send, token)
    weak = await page.press(1, newPassword="password1")
    assert weak.status == 400
    assert 'role="alert"' in weak.body
    for _ in range(2):
        assert (await page.press(1, newPassword=NEW_PASSWORD)).headers["Location"] == "/?verified=1"
    assert await log_in(api, email, PASSWORD) == "invalid_credentials"
    owner = await api.call("POST", "/login", {"email": email, "password": NEW_PASSWORD})
    assert owner.status == 200
    assert owner.data["user"]["name"] is None
    # The stranger's own browser, or a program with the link, brings nothing back.
    assert (await page.press(headers={"Cookie": cookie_of(api.cookies)})).headers["Location"] == (
        "/?verified=0&code=invalid_token"
    )
    assert (await api.call("POST", "/verify-email", {"token": token})).code == "invalid_token"


async def test_a_verified_account_s_password_is_not_changed_by_its_old_link(
    api: Api, send: Any, email: str, token: str
) -> None:
    page = await follow(send, token)
    assert (await api.call("POST", "/verify-email", {"token": token})).status == 200
    assert (await page.press(1, newPassword=NEW_PASSWORD)).headers["Location"].startswith("/?verified=0")
    assert await log_in(api, email, PASSWORD) == "in"


async def test_where_nothing_is_left_to_confirm_the_link_says_so_in_every_browser(
    api: Api, send: Any, token: str
) -> None:
    assert (await api.call("POST", "/verify-email", {"token": token})).status == 200
    for cookies in ({}, api.cookies):
        answer = (await follow(send, token, cookies)).answer
        assert (answer.status, answer.headers["Location"]) == (303, "/?verified=1")


async def test_the_cookie_of_another_registration_is_another_browser(api: Api, send: Any, token: str) -> None:
    other = Api(api.url, api.http)
    await other.register(verify=False)
    assert "password" in (await follow(send, token, other.cookies)).fields()
    assert "password" in (await follow(send, token, {"__Host-vigil_registration": ""})).fields()


async def test_the_cookie_is_kept_from_scripts_and_from_sibling_hosts(api: Api) -> None:
    body = {"email": "cookie@example.org", "password": PASSWORD}
    cookie = (await api.call("POST", "/register", body)).headers["Set-Cookie"]
    assert cookie.startswith("__Host-vigil_registration=")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
async def test_no_page_of_another_site_submits_the_form(
    api: Api, send: Any, email: str, token: str, headers: dict[str, str]
) -> None:
    page = await follow(send, token, api.cookies)
    answer = await page.press(headers=headers)
    assert (answer.status, answer.code) == (403, "origin_not_allowed")
    assert await log_in(api, email, PASSWORD) == NOT_CONFIRMED


async def test_without_sec_fetch_site_another_origin_is_refused_and_a_hidden_one_is_not(
    send: Any, token: str
) -> None:
    body = urlencode({"token": token, "password": PASSWORD})
    foreign = await send("POST", FORM, body, FORM_TYPE | {"Origin": "https://evil.example"})
    assert (foreign.status, foreign.code) == (403, "origin_not_allowed")
    assert (await send("POST", FORM, body, FORM_TYPE | {"Origin": "null"})).status == 303


@pytest.mark.parametrize("token", [None, "", "x", "a" * 5000, "\0", "é", "a&verified=1", "\ud7ff"])
async def test_a_wrong_link_says_so_on_the_page(send: Any, token: str | None) -> None:
    query = "" if token is None else "?token=" + quote(token)
    for answer in (
        await send("GET", f"{LINK}{query}"),
        await send("POST", FORM, query.removeprefix("?"), FORM_TYPE),
    ):
        assert (answer.status, answer.headers["Location"]) == (303, "/?verified=0&code=invalid_token")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"token=x", "multipart/form-data; boundary=x", 415),
        (b"token=" + b"x" * 70_000, FORM_TYPE["Content-Type"], 413),
        (b"token=x&token=y", FORM_TYPE["Content-Type"], 303),
        (b"&".join(b"f%d=x" % n for n in range(20)), FORM_TYPE["Content-Type"], 303),
        (b"\xff\xfe=\x00", FORM_TYPE["Content-Type"], 303),
    ],
)
async def test_what_no_form_of_ours_sends_confirms_nothing(send: Any, body: bytes, kind: str, status: int) -> None:
    answer = await send("POST", FORM, body, {"Content-Type": kind})
    assert answer.status == status
    assert status != 303 or answer.headers["Location"] == "/?verified=0&code=invalid_token"


async def test_without_the_demo_the_page_is_there_too(start_node: Any, send: Any, http: Any) -> None:
    node = start_node(VIGIL_DEMO="off")
    api = Api(node.url, http)
    token = await api.mailed_token(await api.register(verify=False))
    page = await follow(send, token, api.cookies, node.url)
    done = await page.press()
    assert done.status == 200
    assert "Your address is confirmed" in done.body
    wrong = await send("GET", f"{LINK}?token=x", url=node.url)
    assert wrong.status == 400
    assert "no longer valid" in wrong.body
    assert (await send("GET", "/", url=node.url)).status == 404


@pytest.mark.parametrize(
    ("app_url", "sources"), [(None, "'self'"), ("https://app.example/account", "'self' https://app.example")]
)
def test_the_form_may_end_on_the_application_s_page_and_nowhere_else(app_url: str | None, sources: str) -> None:
    """Browsers hold the redirect after a form to the policy of its page as well."""
    policy = form_csp(PageLinks("https://auth.example", app_url))
    assert f"form-action {sources};" in policy
    assert "script-src" not in policy


class TestByPrograms:
    """POST /verify-email: a program that has the link is believed; a page of an application asks as ours does."""

    async def test_a_program_confirms_by_the_token_alone(self, api: Api, email: str, token: str) -> None:
        program = Api(api.url, api.http)
        assert (await program.call("POST", "/verify-email", {"token": token})).data["user"]["email"] == email

    async def test_a_page_in_another_browser_has_to_bring_a_password(
        self, api: Api, email: str, token: str
    ) -> None:
        page = Api(api.url, api.http)
        by_browser = {"Sec-Fetch-Site": "same-origin"}
        for password, code in ((None, "password_required"), ("not that one", "invalid_credentials")):
            body = {"token": token} | ({"password": password} if password else {})
            answer = await page.call("POST", "/verify-email", body, headers=by_browser)
            assert (answer.status, answer.code) == (401, code)
        body = {"token": token, "newPassword": NEW_PASSWORD}
        assert (await page.call("POST", "/verify-email", body, headers=by_browser)).status == 200
        assert await log_in(api, email, NEW_PASSWORD) == "in"

    async def test_a_page_in_the_browser_that_registered_needs_none(self, api: Api, token: str) -> None:
        by_browser = {"Sec-Fetch-Site": "same-origin"}
        assert (await api.call("POST", "/verify-email", {"token": token}, headers=by_browser)).status == 200


class TestUndo:
    """The link of a mail about something that was added: whoever did not add it takes it off."""

    @pytest.fixture
    async def account(self, api: Api) -> Secured:
        """With an app, which a mail has told of."""
        return await secure(api)

    @pytest.fixture
    async def token(self, api: Api, account: Secured) -> str:
        return await mailed(api, account.email, re.compile(r"factors/undo\?token=([A-Za-z0-9_-]+)"))

    async def show(self, send: Any, token: str, method: str = "GET") -> Page:
        return Page(send, await send(method, f"/api/auth/factors/undo?token={token}"), {})

    async def test_following_it_changes_nothing_and_its_button_takes_the_factor_off(
        self, api: Api, send: Any, account: Secured, token: str
    ) -> None:
        page = await self.show(send, token)
        assert "authenticator app" in page.answer.body
        assert (await self.show(send, token, "HEAD")).answer.status == 405
        assert await account.begin()
        done = await page.press()
        assert done.status == 200
        assert "It has been removed" in done.body
        assert await log_in(api, account.email, PASSWORD) == "in"
        assert (await account.login.call("GET", "/me")).code == "session_revoked"
        again = await page.press()
        assert (again.status, "It was already removed" in again.body) == (200, True)
        assert await log_in(api, account.email, PASSWORD) == "in"

    async def test_a_program_does_it_by_json(self, api: Api, account: Secured, token: str) -> None:
        answer = await api.call("POST", "/factors/undo", {"token": token})
        assert (answer.data["removed"], answer.data["kept"], answer.data["revoked"]) == (["totp"], [], 1)
        again = await api.call("POST", "/factors/undo", {"token": token})
        assert (again.data["removed"], again.data["revoked"]) == ([], 0)

    async def test_no_page_of_another_site_submits_it(self, send: Any, account: Secured, token: str) -> None:
        page = await self.show(send, token)
        answer = await page.press(headers={"Sec-Fetch-Site": "cross-site"})
        assert (answer.status, answer.code) == (403, "origin_not_allowed")
        assert await account.begin()

    @pytest.mark.parametrize("token", ["", "x", "a" * 43, "é"])
    async def test_a_wrong_link_says_so(self, api: Api, send: Any, token: str) -> None:
        for answer in (
            await send("GET", f"/api/auth/factors/undo?token={quote(token)}"),
            await send("POST", "/api/auth/factors/undo/form", urlencode({"token": token}), FORM_TYPE),
        ):
            assert (answer.status, "no longer valid" in answer.body) == (400, True)
        if len(token) == 43:
            assert (await api.call("POST", "/factors/undo", {"token": token})).code == "invalid_token"


@pytest.mark.parametrize(
    ("host", "linked"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("LocalHost:8000", "http://localhost:8000"),
        ("localhost:8001", "http://127.0.0.1:8000"),
        ("evil.example:8000", "http://127.0.0.1:8000"),
        ("localhost:8000@evil.example", "http://127.0.0.1:8000"),
    ],
)
async def test_a_mailed_link_opens_the_name_of_this_machine_that_the_person_used_and_no_other_host(
    api: Api, host: str, linked: str
) -> None:
    email = await api.register()
    answer = await api.call("POST", "/password/forgot", {"email": email}, headers={"Host": host})
    assert answer.status == 202
    assert await mailed(api, email, re.compile(r"(http://\S+?)/\?reset=")) == linked
