"""OWASP ASVS 5.0, V6.2 Password Security and V14.2: what a password may be, and where no secret belongs."""

import asyncio
import json
import re
from typing import Any

import pytest
from support.clients import ORIGIN, PASSWORD, Answer, Api, Login, Refused
from support.mailbox import mailed
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from auth.crypto.passwords import MIN_CHARACTERS

# Whatever a browser could be led to, in a text: with a query or a fragment.
URL = re.compile(r"[^\s\"'<>]*[/:][^\s\"'<>]*[?#][^\s\"'<>]*")

# The most used ones of the length that the policy asks for, in the order of their use.
MOST_USED = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_CHARACTERS][:3000]
RESET = re.compile(r"\?reset=([A-Za-z0-9_-]+)")
TOO_SHORT = "must have at least 8 characters"


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


def reason(answer: Answer) -> str:
    """Why a password was refused."""
    assert answer.status == 400, answer.body
    [error] = answer.body["errors"]
    assert error["field"] == "password"
    return str(error["message"])


# The fourth is hard enough to guess, but for its length.
@pytest.mark.parametrize("password", ["", "1", "seven77", "xq7!Zk9", "äöüäöüä"])
async def test_asvs_6_2_1_a_password_has_eight_characters_at_least(api: Api, password: str) -> None:
    assert {reason(answer) for answer in await tried(api, password)} == {TOO_SHORT}


async def test_asvs_6_2_1_and_eight_of_them_will_do(api: Api) -> None:
    assert [answer.status for answer in await tried(api, "xq7!Zk9w")] == [202, 200, 200]


async def test_asvs_6_2_4_none_of_the_three_thousand_most_used_is_taken_at_a_registration(api: Api) -> None:
    assert len(MOST_USED) == 3000
    places = asyncio.Semaphore(20)

    async def is_taken(password: str) -> bool:
        async with places:
            answer = await api.call("POST", "/register", {"email": "common@example.org", "password": password})
        return answer.status != 400 or reason(answer) == TOO_SHORT

    taken = await asyncio.gather(*(is_taken(password) for password in MOST_USED))
    assert [password for password, so in zip(MOST_USED, taken, strict=True) if so] == []


@pytest.mark.parametrize("password", MOST_USED[::300])
async def test_asvs_6_2_4_nor_at_a_change_or_a_reset(api: Api, password: str) -> None:
    assert TOO_SHORT not in {reason(answer) for answer in await tried(api, password)}


@pytest.mark.parametrize(
    "password",
    [
        "only lower case words here",
        "9274018365529103",
        "ПАРОЛЬ ДЛИННЫЙ",
        "🦜🌵🪁🧭🪺🛶🎐🪗",
        "   spaces   count   ",
    ],
)
async def test_asvs_6_2_5_any_characters_will_do(api: Api, password: str) -> None:
    assert [answer.status for answer in await tried(api, password)] == [202, 200, 200]


@pytest.mark.parametrize("length", [64, 128])
async def test_asvs_6_2_9_long_passwords_are_welcome_and_whole(api: Api, length: int) -> None:
    email = await api.register()
    password = ("a long sentence of words " * 6)[:length].ljust(length, "!")[:-1] + "?"
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
