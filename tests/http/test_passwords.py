"""Passwords over a real node: change and reset, what ends with them, and what a stranger learns of it: nothing."""

import asyncio
import re
from typing import Any

import pytest
from support.authenticator import Authenticator
from support.clients import PASSWORD, Answer, Api, Login
from support.mailbox import mailed

NEW = "a lighthouse in the early fog"
RESET = re.compile(r"\?reset=([A-Za-z0-9_-]+)")


async def change(login: Login, **body: Any) -> Answer:
    return await login.call("POST", "/password/change", {"currentPassword": PASSWORD, "password": NEW} | body)


async def reset_link(api: Api, email: str) -> str:
    assert (await api.call("POST", "/password/forgot", {"email": email})).status == 202
    return await mailed(api, email, RESET)


async def log_in(api: Api, email: str, password: str) -> Answer:
    return await api.call("POST", "/login", {"email": email, "password": password})


async def set_up_app(login: Login) -> Authenticator:
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    assert (await login.call("POST", "/2fa/enable", {"code": await app.code()})).status == 200
    return app


async def test_asvs_7_4_3_a_change_ends_the_other_sessions_and_their_sockets(api: Api, connect: Any) -> None:
    email = await api.register()
    laptop, phone = await api.login(email), await api.login(email)
    live = await connect(api.url, phone.access_token)
    answer = await change(laptop)
    assert (answer.data["revoked"], answer.data["delivery"]["closed"]) == (1, 1)
    told = await live.wait("session-revoked")
    assert (told["reason"], told["by"]) == ("password_changed", {"kind": "user", "sessionId": laptop.session_id})
    assert (await phone.call("GET", "/me")).code == "session_revoked"
    assert (await laptop.call("GET", "/me")).status == 200
    assert (await log_in(api, email, PASSWORD)).code == "invalid_credentials"
    assert (await log_in(api, email, NEW)).status == 200


async def test_the_other_sessions_stay_where_the_user_wants_it(api: Api) -> None:
    email = await api.register()
    laptop, phone = await api.login(email), await api.login(email)
    assert (await change(laptop, keepSessions=True)).data["revoked"] == 0
    assert (await phone.call("GET", "/me")).status == 200


@pytest.mark.parametrize("delivery", ["body", "cookie", "cookies"])
async def test_a_password_is_changed_over_every_delivery(node: Any, http: Any, delivery: str) -> None:
    api = Api(node.url, http)
    email = await api.register()
    login = await Api(node.url, http).login(email, delivery=delivery)
    assert (await change(login)).status == 200
    assert (await log_in(Api(node.url, http), email, NEW)).status == 200


async def test_a_wrong_current_password_changes_nothing(api: Api) -> None:
    email = await api.register()
    laptop, phone = await api.login(email), await api.login(email)
    assert (await change(laptop, currentPassword="not the one")).code == "invalid_credentials"
    assert (await phone.call("GET", "/me")).status == 200
    assert (await log_in(api, email, PASSWORD)).status == 200


async def test_asvs_6_3_1_guesses_at_the_current_password_are_limited(start_node: Any, http: Any) -> None:
    api = Api(start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_LOGIN="3/5 minutes").url, http)
    login = await api.login(await api.register())
    codes = [(await change(login, currentPassword=f"guess {number}")).code for number in range(5)]
    assert codes == ["invalid_credentials"] * 3 + ["rate_limited"] * 2
    assert (await change(login)).code == "rate_limited"


async def test_the_current_password_is_refused_as_a_new_one(api: Api) -> None:
    email = await api.register()
    laptop, phone = await api.login(email), await api.login(email)
    token = await reset_link(api, email)
    by_link = await api.call("POST", "/password/reset", {"token": token, "password": PASSWORD})
    for answer in (await change(laptop, password=PASSWORD), by_link):
        assert (answer.status, answer.code) == (400, "invalid_request")
        [error] = answer.body["errors"]
        assert error == {"field": "password", "message": "Choose a password other than the current one."}
    assert (await phone.call("GET", "/me")).status == 200
    # The link is still valid for another password.
    assert (await api.call("POST", "/password/reset", {"token": token, "password": NEW})).status == 200


@pytest.mark.parametrize("known_device", [False, True])
@pytest.mark.parametrize("limit", ["VIGIL_LIMIT_LOGIN", "VIGIL_LIMIT_PASSWORD_GUESSES"])
async def test_a_new_password_lifts_the_lockout_of_wrong_ones(
    start_node: Any, http: Any, limit: str, known_device: bool
) -> None:
    api = Api(start_node(VIGIL_RATE_LIMITS="on", **{limit: "3/day"}).url, http)
    email = await api.register()
    login = await api.login(email)
    if not known_device:
        api.cookies.clear()
    for expected in ["invalid_credentials"] * 3 + ["rate_limited"]:
        assert (await log_in(api, email, "not the one")).code == expected
        assert (await change(login, currentPassword="not the one")).code == expected
    token = await reset_link(api, email)
    assert (await api.call("POST", "/password/reset", {"token": token, "password": NEW})).status == 200
    assert (await log_in(api, email, NEW)).status == 200


@pytest.mark.parametrize("password", ["short", "password123", "x" * 129])
async def test_a_new_password_that_will_not_do_is_refused_beside_its_field(api: Api, password: str) -> None:
    login = await api.login(await api.register())
    answer = await change(login, password=password)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert answer.body["errors"][0]["field"] == "password"


async def test_of_two_changes_at_once_one_is_made(api: Api) -> None:
    email = await api.register()
    login = await api.login(email)
    answers = await asyncio.gather(*(change(login, password=f"{NEW} {number}") for number in range(4)))
    made = [number for number, answer in enumerate(answers) if answer.status == 200]
    assert len(made) == 1
    assert {answer.code for answer in answers if answer.status != 200} == {"invalid_credentials"}
    assert (await log_in(api, email, f"{NEW} {made[0]}")).status == 200


async def test_asvs_7_4_3_a_forgotten_password_is_set_anew_by_the_mailed_link(api: Api, connect: Any) -> None:
    email = await api.register()
    login = await api.login(email)
    live = await connect(api.url, login.access_token)
    token = await reset_link(api, email)
    answer = await api.call("POST", "/password/reset", {"token": token, "password": NEW})
    assert (answer.data["user"]["email"], answer.data["revoked"]) == (email, 1)
    assert "accessToken" not in answer.data
    assert (await live.wait("session-revoked"))["reason"] == "password_changed"
    assert (await log_in(api, email, PASSWORD)).code == "invalid_credentials"
    assert (await log_in(api, email, NEW)).status == 200
    assert "was changed" in await mailed(api, email, re.compile(r"(Your password was changed on)"))


async def test_asvs_6_4_1_a_link_is_good_once_and_a_weak_password_does_not_use_it_up(api: Api) -> None:
    email = await api.register()
    token = await reset_link(api, email)
    assert (await api.call("POST", "/password/reset", {"token": token, "password": "password123"})).status == 400
    tries = [api.call("POST", "/password/reset", {"token": token, "password": f"{NEW} {n}"}) for n in range(5)]
    answers = await asyncio.gather(*tries)
    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401, 401]
    assert {answer.code for answer in answers if answer.status == 401} == {"invalid_token"}


async def test_asvs_6_4_1_a_link_dies_with_the_password_it_was_mailed_for(api: Api) -> None:
    email = await api.register()
    first = await reset_link(api, email)
    assert (await change(await api.login(email))).status == 200
    answer = await api.call("POST", "/password/reset", {"token": first, "password": f"{NEW} again"})
    assert answer.code == "invalid_token"


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 5000, "../../etc"])
async def test_what_is_no_link_of_ours_sets_nothing(api: Api, token: str) -> None:
    answer = await api.call("POST", "/password/reset", {"token": token, "password": NEW})
    assert (answer.status, answer.code) == (401, "invalid_token")


async def test_a_link_of_another_purpose_sets_no_password(api: Api) -> None:
    email = await api.register(verify=False)
    token = await api.mailed_token(email)
    answer = await api.call("POST", "/password/reset", {"token": token, "password": NEW})
    assert answer.code == "invalid_token"


async def test_asvs_6_3_8_asking_for_a_link_tells_nobody_whether_there_is_an_account(api: Api) -> None:
    email = await api.register()
    known = await api.call("POST", "/password/forgot", {"email": email})
    unknown = await api.call("POST", "/password/forgot", {"email": "nobody-at-all@example.org"})
    assert (known.status, unknown.status) == (202, 202)
    assert known.body == unknown.body


async def test_asvs_6_4_3_a_reset_neither_passes_by_a_second_factor_nor_removes_it(api: Api) -> None:
    email = await api.register()
    login = await api.login(email)
    await set_up_app(login)
    token = await reset_link(api, email)
    assert (await api.call("POST", "/password/reset", {"token": token, "password": NEW})).status == 200
    answer = (await log_in(api, email, NEW)).data
    assert answer["mfaRequired"] is True
    assert "totp" in answer["methods"]
    assert "accessToken" not in answer


async def test_a_login_that_waits_for_its_second_factor_ends_with_the_password(api: Api) -> None:
    email = await api.register()
    login = await api.login(email)
    app = await set_up_app(login)
    waiting = (await log_in(api, email, PASSWORD)).data["mfaToken"]
    assert (await change(login)).status == 200
    answer = await api.call("POST", "/2fa/verify", {"mfaToken": waiting, "code": await app.code()})
    assert answer.code == "invalid_token"


async def test_a_reset_makes_a_strangers_registration_its_owners(api: Api) -> None:
    """Pre-hijacking: the stranger's password is gone, and the address counts as proved."""
    email = await api.register(verify=False)
    token = await reset_link(api, email)
    answer = await api.call("POST", "/password/reset", {"token": token, "password": NEW, "keepSessions": True})
    assert answer.data["user"]["emailVerified"] is True
    assert (await log_in(api, email, PASSWORD)).code == "invalid_credentials"
    assert (await log_in(api, email, NEW)).status == 200
