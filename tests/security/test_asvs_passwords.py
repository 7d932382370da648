"""OWASP ASVS 5.0, V6.2 Password Security and V14.2: what a password may be, and where no secret belongs."""

import json
import re
from typing import Any

import pytest
from support.clients import ORIGIN, PASSWORD, Answer, Api, Login, Refused
from support.mailbox import mailed

# Whatever a browser could be led to, in a text: with a query or a fragment.
URL = re.compile(r"[^\s\"'<>]*[/:][^\s\"'<>]*[?#][^\s\"'<>]*")

MOST_USED = "password"
RESET = re.compile(r"\?reset=([A-Za-z0-9_-]+)")


async def tried(api: Api, password: str) -> list[Answer]:
    """A password at a registration, at a change and at a reset; each is refused or taken by the same rules."""
    register = await api.call("POST", "/register", {"email": "tried@example.org", "password": password})
    email = await api.register()
    login = await api.login(email)
    change = await login.call("POST", "/password/change", {"currentPassword": PASSWORD, "password": password})
    # Another account's, since no account takes its current password as a new one.
    email = await api.register()
    assert (await api.call("POST", "/password/forgot", {"email": email})).status == 202
    token = await mailed(api, email, RESET)
    return [register, change, await api.call("POST", "/password/reset", {"token": token, "password": password})]


@pytest.mark.parametrize(
    ("password", "said"),
    [("seven77", "must have at least 8 characters"), (MOST_USED, "Many people use this password")],
)
async def test_asvs_6_2_1_and_6_2_4_a_bad_password_is_refused_wherever_one_is_set(
    api: Api, password: str, said: str
) -> None:
    """Which ones are bad: tests/unit/test_passwords.py."""
    for refused in await tried(api, password):
        assert refused.status == 400, refused.body
        [error] = refused.body["errors"]
        assert error["field"] == "password"
        assert said in error["message"]


async def test_asvs_6_2_1_and_eight_characters_will_do(api: Api) -> None:
    assert [answer.status for answer in await tried(api, "xq7!Zk9w")] == [202, 200, 200]


async def test_asvs_6_2_9_long_passwords_are_welcome_and_whole(api: Api) -> None:
    email = await api.register()
    password = ("a long sentence of words " * 6)[:127] + "?"
    login = await api.login(email)
    changed = await login.call("POST", "/password/change", {"currentPassword": PASSWORD, "password": password})
    assert changed.status == 200, changed.body
    assert (await api.call("POST", "/login", {"email": email, "password": password})).status == 200
    # Not a character of it is left out.
    cut = await api.call("POST", "/login", {"email": email, "password": password[:-1]})
    assert cut.code == "invalid_credentials"


async def test_asvs_14_2_1_no_token_is_taken_from_a_url(api: Api, connect: Any) -> None:
    login = await api.login(await api.register())
    for name in ("access_token", "accessToken", "token", "jwt"):
        answer = await api.call("GET", f"/me?{name}={login.access_token}")
        assert (answer.status, answer.code) == (401, "missing_token")
        with pytest.raises(Refused) as refused:
            await connect(f"{api.url}/?{name}={login.access_token}", None)
        assert refused.value.data["code"] == "missing_token"
    for name in ("refreshToken", "refresh_token", "token"):
        refresh = await api.call("POST", f"/refresh?{name}={login.refresh_token}")
        assert (refresh.status, refresh.code) == (401, "missing_token")


@pytest.mark.parametrize("delivery", ["body", "cookie", "cookies"])
async def test_asvs_14_2_1_no_answer_page_redirect_or_mail_has_a_token_in_a_url(
    node: Any, http: Any, delivery: str
) -> None:
    """Logins by providers end with a redirect: tests/http/providers/test_provider_links.py."""
    api = Api(node.url, http)
    email = await api.register()
    body = {"email": email, "password": PASSWORD, "delivery": delivery}
    answers = [await api.call("POST", "/login", body, headers={"Origin": ORIGIN})]
    login = Login(api, answers[0].data)
    answers.append(
        await api.call(
            "POST", "/refresh", {"refreshToken": login.data.get("refreshToken")} if delivery == "body" else None
        )
    )
    tokens = [
        answer.data[name] for answer in answers for name in ("accessToken", "refreshToken") if name in answer.data
    ]
    tokens += [value for name, value in api.cookies.items() if name != "csrf"]
    assert len(tokens) >= 2
    for path in (
        "/me",
        "/sessions",
        "/me/security-log",
        "/me/export",
        "/2fa",
        "/verify-email?token=x",
        "/nothing",
    ):
        answers.append(await login.call("GET", path))
    answers.append(await api.call("POST", "/password/forgot", {"email": email}))
    answers += [
        await api.call("GET", f"/../..{path}") for path in ("/", "/docs/api", "/docs/events", "/openapi.json")
    ]
    answers.append(await api.call("GET", "/dev/outbox.json"))
    for answer in answers:
        urls = [answer.headers.get("Location", ""), *URL.findall(json.dumps(answer.body))]
        assert [url for url in urls for token in tokens if token in url] == []


async def test_asvs_14_2_1_the_page_that_a_mailed_link_leads_to_tells_no_other_site_where_one_came_from(
    api: Api, http: Any
) -> None:
    for path in ("/?reset=x", "/?email=x", "/?notme=x", "/api/auth/verify-email?token=x"):
        async with http.get(api.url + path, allow_redirects=False) as answer:
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            # What the page brings along comes from here: nobody else is asked for anything with that address.
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert (await api.call("GET", "/me")).headers["Cache-Control"] == "no-store"
