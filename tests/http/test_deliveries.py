"""One specification over the three ways in which tokens travel."""

from dataclasses import dataclass
from typing import Any

import pytest
from support.clients import PASSWORD, Answer, Api

from auth.http.cookies import ACCESS_COOKIE, DEVICE_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE

DELIVERIES = ["body", "cookie", "cookies"]


@dataclass
class Device:
    """A logged-in device that carries its tokens as its delivery says."""

    browser: Any
    delivery: str
    login: dict[str, Any]

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {}
        if self.delivery != "cookies":
            headers["Authorization"] = f"Bearer {self.login['accessToken']}"
        return await self.browser.call(method, path, body, headers=headers)

    async def refresh(self) -> Answer:
        body = {"refreshToken": self.login["refreshToken"]} if self.delivery == "body" else None
        answer = await self.browser.call("POST", "/refresh", body)
        if answer.status == 200:
            self.login |= answer.data
        return answer

    @property
    def session_id(self) -> str:
        return str(self.login["session"]["sessionId"])


@pytest.fixture(params=DELIVERIES)
def delivery(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def device(browser: Any, email: str, delivery: str) -> Device:
    return Device(browser, delivery, (await browser.login(email, delivery)).data)


@pytest.fixture
async def other(send: Any, browser: Any, email: str, delivery: str, device: Device) -> Device:
    """A second device of the same user."""
    profile = type(browser)(send)
    return Device(profile, delivery, (await profile.login(email, delivery)).data)


TOKENS_IN_BODY = {"body": {"accessToken", "refreshToken"}, "cookie": {"accessToken"}, "cookies": set()}
TOKEN_COOKIES = {"body": set(), "cookie": {REFRESH_ONLY_COOKIE}, "cookies": {ACCESS_COOKIE, REFRESH_COOKIE}}


async def test_login_answers_with_user_session_and_times(device: Device, delivery: str, email: str) -> None:
    login = device.login
    assert login["user"]["email"] == email
    assert login["session"]["isCurrent"] is True
    assert login["session"]["amr"] == ["pwd"]
    assert login["accessTokenExpiresAt"].endswith("Z")
    assert login["refreshTokenExpiresAt"] == login["session"]["expiresAt"]
    assert {"accessToken", "refreshToken"} & set(login) == TOKENS_IN_BODY[delivery]


async def test_asvs_3_3_1_and_3_3_2_and_3_3_3_and_3_3_4_login_sets_exactly_the_cookies_of_its_delivery(
    device: Device, delivery: str
) -> None:
    csrf = {"csrf"} if delivery != "body" else set()
    assert set(device.browser.cookies) == TOKEN_COOKIES[delivery] | csrf
    for name, morsel in device.browser.attributes.items():
        assert name.startswith("__Host-") == (name != "csrf")
        assert morsel["path"] == "/"
        assert morsel["secure"]
        assert morsel["samesite"] == ("Strict" if name != DEVICE_COOKIE else "Lax")
        assert bool(morsel["httponly"]) == (name != "csrf")
        assert not morsel["domain"]


async def test_cookies_live_as_long_as_their_tokens(device: Device, delivery: str) -> None:
    ages = {name: int(morsel["max-age"]) for name, morsel in device.browser.attributes.items()}
    expected = {ACCESS_COOKIE: 900, REFRESH_COOKIE: 604800, REFRESH_ONLY_COOKIE: 604800, "csrf": 604800}
    expected[DEVICE_COOKIE] = 365 * 86_400
    for name, age in ages.items():
        assert abs(age - expected[name]) <= 2


async def test_answers_with_tokens_are_not_stored(browser: Any, email: str, delivery: str) -> None:
    answer = await browser.login(email, delivery)
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_profile_can_be_read_and_changed(device: Device) -> None:
    assert (await device.call("GET", "/me")).data["user"]["name"] == "Ada"
    changed = await device.call("PATCH", "/me", {"name": "Ada Lovelace"})
    assert changed.data["user"]["name"] == "Ada Lovelace"
    assert (await device.call("PATCH", "/me", {"name": None})).data["user"]["name"] is None
    assert (await device.call("PATCH", "/me", {})).status == 200


async def test_refresh_hands_out_a_new_pair_in_the_form_it_came(device: Device, delivery: str) -> None:
    before, cookies = dict(device.login), dict(device.browser.cookies)
    answer = await device.refresh()
    assert answer.data["outcome"] == "rotated"
    assert {"accessToken", "refreshToken"} & set(answer.data) == TOKENS_IN_BODY[delivery]
    for name in TOKENS_IN_BODY[delivery]:
        assert answer.data[name] != before[name]
    for name in TOKEN_COOKIES[delivery]:
        assert device.browser.cookies[name] != cookies[name]
    assert device.browser.cookies.get("csrf") == cookies.get("csrf")
    assert (await device.call("GET", "/me")).status == 200


async def test_a_refresh_whose_answer_was_lost_is_replayed(device: Device) -> None:
    lost = device.browser.twin()
    body = {"refreshToken": device.login["refreshToken"]} if device.delivery == "body" else None
    assert (await lost.call("POST", "/refresh", body)).data["outcome"] == "rotated"
    assert (await device.refresh()).data["outcome"] == "replayed"


async def test_the_alias_refreshes_too(device: Device) -> None:
    body = {"refreshToken": device.login["refreshToken"]} if device.delivery == "body" else None
    assert (await device.browser.call("POST", "/refresh-token", body)).data["outcome"] == "rotated"


async def test_asvs_7_5_2_the_list_shows_both_devices_and_which_is_this_one(device: Device, other: Device) -> None:
    listed = (await device.call("GET", "/sessions")).data
    assert listed["count"] == len(listed["sessions"]) == 2
    assert isinstance(listed["version"], int)
    current = {session["sessionId"]: session["isCurrent"] for session in listed["sessions"]}
    assert current == {device.session_id: True, other.session_id: False}


async def test_asvs_7_4_1_and_7_5_2_a_revoked_device_is_out_at_once(device: Device, other: Device) -> None:
    answer = await device.call("DELETE", f"/sessions/{other.session_id}")
    assert set(answer.data["delivery"]) == {"sockets", "notified", "acknowledged", "closed", "pending"}
    assert (await other.call("GET", "/me")).code == "session_revoked"
    assert (await other.refresh()).code in {"session_revoked", "missing_token"}
    again = await device.call("DELETE", f"/sessions/{other.session_id}")
    assert (again.status, again.code) == (404, "not_found")


async def test_a_stranger_can_neither_see_nor_end_a_session(device: Device, api: Api) -> None:
    stranger = await api.login(await api.register())
    answer = await stranger.call("DELETE", f"/sessions/{device.session_id}")
    assert (answer.status, answer.code) == (404, "not_found")
    assert (await device.call("GET", "/me")).status == 200


async def test_asvs_7_5_2_revoking_the_others_spares_this_one(device: Device, other: Device) -> None:
    assert (await device.call("POST", "/sessions/revoke-others")).data["revoked"] == 1
    assert (await other.call("GET", "/me")).code == "session_revoked"
    assert (await device.call("GET", "/me")).status == 200


async def test_asvs_7_5_2_logging_out_everywhere_ends_this_one_too(device: Device, other: Device) -> None:
    assert (await device.call("POST", "/logout-all")).data["revoked"] == 2
    assert device.browser.cookies == {}
    assert (await other.call("GET", "/me")).code == "session_revoked"


async def test_ending_ones_own_session_clears_the_cookies(device: Device) -> None:
    assert (await device.call("DELETE", f"/sessions/{device.session_id}")).status == 200
    assert device.browser.cookies == {}


async def test_asvs_7_4_1_logout_ends_the_session_and_clears_the_cookies(device: Device) -> None:
    before = device.browser.twin()
    assert (await device.call("POST", "/logout")).status == 200
    assert device.browser.cookies == {}
    device.browser = before
    assert (await device.call("GET", "/me")).code == "session_revoked"


async def test_logout_of_a_session_that_is_gone_is_fine(device: Device) -> None:
    before = device.browser.twin()
    await device.call("POST", "/logout")
    device.browser = before
    answer = await device.call("POST", "/logout")
    assert answer.status == 200
    assert device.browser.cookies == {}


async def test_asvs_10_4_5_a_stolen_refresh_token_ends_every_session(device: Device, other: Device) -> None:
    thief = device.browser.twin()
    stolen = {"refreshToken": device.login["refreshToken"]} if device.delivery == "body" else None
    await device.refresh()
    await device.refresh()
    answer = await thief.call("POST", "/refresh", stolen)
    assert (answer.status, answer.code) == (401, "refresh_reused")
    assert thief.cookies == {}
    assert (await device.call("GET", "/me")).code == "session_revoked"
    assert (await other.call("GET", "/me")).code == "session_revoked"


async def test_a_login_replaces_the_cookies_of_another_delivery(browser: Any, email: str) -> None:
    await browser.login(email, "cookies")
    await browser.login(email, "cookie")
    assert set(browser.cookies) == {REFRESH_ONLY_COOKIE, "csrf"}
    await browser.login(email, "cookies")
    assert set(browser.cookies) == {ACCESS_COOKIE, REFRESH_COOKIE, "csrf"}


async def test_delivery_cookie_alone_answers_no_request(browser: Any, email: str) -> None:
    await browser.login(email, "cookie")
    answer = await browser.call("GET", "/me")
    assert (answer.status, answer.code) == (401, "missing_token")
    assert REFRESH_ONLY_COOKIE in browser.cookies


async def test_a_token_in_the_body_beats_the_cookie(browser: Any, api: Api, email: str) -> None:
    login = await api.login(email)
    await browser.login(email, "cookies")
    cookies = dict(browser.cookies)
    answer = await browser.call("POST", "/refresh", {"refreshToken": login.refresh_token})
    assert answer.data["refreshToken"] != login.refresh_token
    assert browser.cookies == cookies


async def test_a_bearer_token_beats_the_cookies(browser: Any, api: Api, email: str) -> None:
    stranger = await api.register()
    login = await api.login(stranger)
    await browser.login(email, "cookies")
    bearer = {"Authorization": f"Bearer {login.access_token}"}
    assert (await browser.call("GET", "/me", headers=bearer)).data["user"]["email"] == stranger
    refused = await browser.call("GET", "/me", headers={"Authorization": "Bearer nonsense"})
    assert refused.code == "invalid_token"


async def test_login_takes_cookies_only_to_an_allowed_origin(browser: Any, email: str) -> None:
    body = {"email": email, "password": PASSWORD, "delivery": "cookies"}
    browser.origin = "https://evil.example"
    answer = await browser.call("POST", "/login", body)
    assert (answer.status, answer.code) == (403, "origin_not_allowed")
    assert browser.cookies == {}
    assert (await browser.call("POST", "/login", {**body, "delivery": "body"})).status == 200
