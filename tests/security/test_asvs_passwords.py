"""OWASP ASVS 5.0, V6.2 Password Security and V14.2: what a password may be, and where no secret belongs."""

from typing import Any

import pytest
from support.clients import PASSWORD, Answer, Api

# Of the 3,000 most used ones, such as have the length that the policy asks for.
COMMON = (
    "password",
    "12345678",
    "iloveyou",
    "football",
    "password1",
    "qwertyuiop",
    "sunshine",
    "1q2w3e4r",
    "baseball",
)


async def tried(api: Api, password: str) -> list[Answer]:
    """A password at a registration, at a change and at a reset; each is refused or taken by the same rules."""
    register = await api.call("POST", "/register", {"email": "tried@example.org", "password": password})
    login = await api.login(await api.register())
    change = await login.call("POST", "/password/change", {"currentPassword": PASSWORD, "password": password})
    return [register, change]


@pytest.mark.parametrize("password", ["", "1", "seven77", "äöüäöüä"])
async def test_asvs_6_2_1_a_password_has_eight_characters_at_least(api: Api, password: str) -> None:
    for answer in await tried(api, password):
        assert (answer.status, answer.body["errors"][0]["field"]) == (400, "password")


@pytest.mark.parametrize("password", COMMON)
async def test_asvs_6_2_4_what_everybody_uses_is_refused(api: Api, password: str) -> None:
    answer = await api.call("POST", "/register", {"email": "common@example.org", "password": password})
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, "password")


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
    assert [answer.status for answer in await tried(api, password)] == [202, 200]


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


async def test_asvs_14_2_1_no_token_is_taken_from_a_url_and_none_leaves_in_one(api: Api, http: Any) -> None:
    login = await api.login(await api.register())
    for name in ("access_token", "accessToken", "token"):
        answer = await api.call("GET", f"/me?{name}={login.access_token}")
        assert (answer.status, answer.code) == (401, "missing_token")
    refresh = await api.call("POST", f"/refresh?refreshToken={login.refresh_token}")
    assert (refresh.status, refresh.code) == (401, "missing_token")
    # What a mailed link carries is good once, and the page it leads to tells no other site where one came from.
    async with http.get(f"{api.url}/") as page:
        assert page.headers["Referrer-Policy"] == "no-referrer"
    assert (await login.call("GET", "/me")).headers["Cache-Control"] == "no-store"
