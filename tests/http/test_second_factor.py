"""Second factors over HTTP on a real node: set one up, log in with it in every delivery, step up."""

import asyncio
import json
import time
from email.utils import formatdate
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pymongo import MongoClient
from support.authenticator import STEP, Authenticator, code_at
from support.clients import ORIGIN, PASSWORD, Answer, Api, Login
from support.secured import Secured, secure

from auth.http.cookies import ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE

TOKENS_IN_BODY = {"body": {"accessToken", "refreshToken"}, "cookie": {"accessToken"}, "cookies": set()}
COOKIES = {
    "body": set(),
    "cookie": {REFRESH_ONLY_COOKIE, "csrf"},
    "cookies": {ACCESS_COOKIE, REFRESH_COOKIE, "csrf"},
}


@pytest.fixture
async def secured(api: Api) -> Secured:
    return await secure(api)


async def begin(browser: Any, email: str, delivery: str = "body") -> Answer:
    return await browser.login(email, delivery)


async def finish(browser: Any, token: str, **answer: Any) -> Answer:
    return await browser.call("POST", "/2fa/verify", {"mfaToken": token, **answer})


async def test_a_new_account_has_no_second_factor(api: Api, email: str) -> None:
    answer = await (await api.login(email)).call("GET", "/2fa")
    assert {**answer.data, "passkeys": 0} == {"totp": None, "recoveryCodes": None, "methods": [], "passkeys": 0}


async def test_what_is_shown_to_set_an_app_up(api: Api, email: str) -> None:
    login = await api.login(email)
    setup = (await login.call("POST", "/2fa/setup", {})).data
    assert set(setup) == {"secret", "uri", "qrSvg", "expiresAt"}
    assert len(setup["secret"]) == 32
    assert setup["uri"].startswith("otpauth://totp/Vigil:")
    svg = ET.fromstring(setup["qrSvg"])
    assert svg.tag == "svg"
    assert {element.tag for element in svg.iter()} == {"svg", "g", "path"}


async def test_set_up_it_is_shown_and_its_secrets_are_not(secured: Secured) -> None:
    answer = await secured.login.call("GET", "/2fa")
    assert answer.data["totp"]["enabledAt"].endswith("Z")
    assert answer.data["recoveryCodes"] == {"left": 10}
    assert answer.data["methods"] == ["totp", "recovery_code"]
    assert secured.app.secret not in str(answer.body)
    assert len(set(secured.recovery_codes)) == 10


async def test_asvs_7_4_3_turned_on_it_ends_the_other_devices(api: Api, email: str) -> None:
    one, other = await api.login(email), await api.login(email)
    app = Authenticator((await one.call("POST", "/2fa/setup", {})).data["secret"])
    assert (await one.call("POST", "/2fa/enable", {"code": await app.code()})).status == 200
    assert (await other.call("GET", "/me")).code == "session_revoked"
    assert (await one.call("GET", "/me")).status == 200


async def test_without_a_setup_there_is_nothing_to_turn_on(api: Api, email: str) -> None:
    login = await api.login(email)
    answer = await login.call("POST", "/2fa/enable", {"code": "123456"})
    assert (answer.status, answer.code) == (409, "conflict")
    await login.call("POST", "/2fa/setup", {})
    answer = await login.call("POST", "/2fa/enable", {"code": "000000"})
    assert (answer.status, answer.code) == (401, "invalid_code")
    assert (await login.call("POST", "/2fa/recovery-codes", {})).code == "conflict"


async def age(services: Any, node: Any, login: Login) -> None:
    """Make a login an hour old, as the store knows it."""
    with MongoClient[Any](services.mongo, tz_aware=True) as client:
        for name in client.list_database_names():
            found = client[name]["sessions"].find_one({"_id": login.session_id})
            if found is not None:
                before = found["loggedInAt"].replace(hour=0, minute=0, year=found["loggedInAt"].year - 1)
                client[name]["sessions"].update_one(
                    {"_id": login.session_id}, {"$set": {"loggedInAt": before, "assuredAt": before}}
                )
                return
    raise AssertionError("no such session")


class TestLoginByTwoFactors:
    """The same login in every delivery, from the password to the tokens."""

    @pytest.fixture(params=["body", "cookie", "cookies"])
    def delivery(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    async def test_the_password_gets_a_token_for_the_second_step_alone(
        self, browser: Any, secured: Secured, delivery: str
    ) -> None:
        answer = await begin(browser, secured.email, delivery)
        assert set(answer.data) == {"mfaRequired", "mfaToken", "methods", "expiresAt"}
        assert answer.data["mfaRequired"] is True
        assert answer.data["methods"] == ["totp", "recovery_code"]
        assert browser.cookies == {}
        for path in ("/me", "/sessions", "/2fa"):
            bearer = {"Authorization": f"Bearer {answer.data['mfaToken']}"}
            assert (await browser.call("GET", path, headers=bearer)).code == "invalid_token"
        assert (await browser.call("POST", "/refresh", {"refreshToken": answer.data["mfaToken"]})).status == 401

    async def test_the_code_brings_the_tokens_as_they_were_asked_for(
        self, browser: Any, secured: Secured, delivery: str
    ) -> None:
        pending = (await begin(browser, secured.email, delivery)).data
        answer = await finish(browser, pending["mfaToken"], code=await secured.app.code())
        assert answer.status == 200
        assert {"accessToken", "refreshToken"} & set(answer.data) == TOKENS_IN_BODY[delivery]
        assert set(browser.cookies) == COOKIES[delivery]
        assert answer.data["user"]["email"] == secured.email
        assert answer.data["session"]["amr"] == ["pwd", "otp", "mfa"]
        headers = {} if delivery == "cookies" else {"Authorization": f"Bearer {answer.data['accessToken']}"}
        assert (await browser.call("GET", "/me", headers=headers)).status == 200

    async def test_a_recovery_code_does_as_well(self, browser: Any, secured: Secured, delivery: str) -> None:
        pending = (await begin(browser, secured.email, delivery)).data
        code = secured.recovery_codes[0].lower().replace("-", " ")
        answer = await finish(browser, pending["mfaToken"], method="recovery_code", code=code)
        assert answer.data["session"]["amr"] == ["pwd", "recovery_code", "mfa"]
        assert set(browser.cookies) == COOKIES[delivery]

    async def test_a_wrong_code_brings_nothing(self, browser: Any, secured: Secured, delivery: str) -> None:
        pending = (await begin(browser, secured.email, delivery)).data
        answer = await finish(browser, pending["mfaToken"], code="000000")
        assert (answer.status, answer.code) == (401, "invalid_code")
        assert browser.cookies == {}
        assert (await finish(browser, pending["mfaToken"], code=await secured.app.code())).status == 200

    async def test_a_foreign_page_finishes_no_login_by_cookie(
        self, browser: Any, secured: Secured, delivery: str
    ) -> None:
        """Login CSRF: it must not log the browser in as somebody else, and costs the login no try."""
        pending = (await begin(browser, secured.email, delivery)).data
        browser.origin = "https://evil.example"
        for _ in range(6):
            answer = await finish(browser, pending["mfaToken"], code="000000")
            if delivery == "body":
                assert answer.code in {"invalid_code", "invalid_token"}
            else:
                assert (answer.status, answer.code) == (403, "origin_not_allowed")
        assert browser.cookies == {}
        browser.origin = ORIGIN
        after = await finish(browser, pending["mfaToken"], code=await secured.app.code())
        assert after.status == (401 if delivery == "body" else 200)

    async def test_finished_at_once_it_begins_one_session(
        self, browser: Any, secured: Secured, delivery: str
    ) -> None:
        pending = (await begin(browser, secured.email, delivery)).data
        answers = [{"method": "recovery_code", "code": code} for code in secured.recovery_codes[:4]]
        answers.append({"code": await secured.app.code()})
        done = await asyncio.gather(*(finish(browser.twin(), pending["mfaToken"], **each) for each in answers))
        assert sorted(each.status for each in done) == [200, 401, 401, 401, 401]
        sessions = (await secured.login.call("GET", "/sessions")).data["sessions"]
        assert len(sessions) == 2

    async def test_asvs_6_6_3_five_wrong_codes_end_it(self, browser: Any, secured: Secured, delivery: str) -> None:
        pending = (await begin(browser, secured.email, delivery)).data
        for _ in range(5):
            assert (await finish(browser, pending["mfaToken"], code="000000")).code == "invalid_code"
        answer = await finish(browser, pending["mfaToken"], code=await secured.app.code())
        assert (answer.status, answer.code) == (401, "invalid_token")


async def test_asvs_6_5_8_no_client_says_what_time_it_is(send: Any, secured: Secured) -> None:
    """A code of an hour from now, as a phone that was out of its owner's sight can show it, is none yet."""
    then = int(time.time()) + 3600
    token = await secured.begin()
    body = json.dumps({"mfaToken": token, "code": code_at(secured.app.secret, then // STEP)})
    headers = {"Content-Type": "application/json", "Date": formatdate(then, usegmt=True)}
    answer = await send("POST", "/api/auth/2fa/verify", body, headers)
    assert (answer.status, answer.code) == (401, "invalid_code")


async def test_asvs_6_5_1_the_same_code_at_two_nodes_at_once_lets_one_in(
    shared_nodes: Any, http: Any, secured: Secured
) -> None:
    apis = [Api(each.url, http) for each in shared_nodes]
    body = {"email": secured.email, "password": PASSWORD}
    tokens = [(await apis[i % 2].call("POST", "/login", body)).data["mfaToken"] for i in range(10)]
    code = await secured.app.code()
    answers = await asyncio.gather(
        *(apis[i % 2].call("POST", "/2fa/verify", {"mfaToken": t, "code": code}) for i, t in enumerate(tokens))
    )
    assert sorted(answer.status for answer in answers) == [200] + [401] * 9


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mfaToken": ""},
        {"mfaToken": None, "code": "123456"},
        {"mfaToken": "x", "code": 123456},
        {"mfaToken": "x", "code": ""},
        {"mfaToken": "x", "code": "1" * 65},
        {"mfaToken": "x", "method": "password", "code": "123456"},
        {"mfaToken": "x", "method": ["totp"], "code": "123456"},
        {"mfaToken": "x", "credential": "x"},
        {"mfaToken": "x", "code": "123456", "password": "x"},
        {"mfaToken": "x\0", "code": "123456"},
        {"mfaToken": "x", "code": "123456", "time": 1_700_000_000},
    ],
)
async def test_an_answer_of_wrong_form_is_refused_as_invalid(api: Api, body: Any) -> None:
    answer = await api.call("POST", "/2fa/verify", body)
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize("token", ["x", "x" * 5000, "eyJhbGciOiJub25lIn0.e30.", "rt1.x", "é"])
async def test_a_token_that_is_none_finishes_nothing(api: Api, token: str) -> None:
    answer = await api.call("POST", "/2fa/verify", {"mfaToken": token, "code": "123456"})
    assert (answer.status, answer.code) == (401, "invalid_token")


async def test_asvs_6_3_1_answers_are_limited_over_all_logins(start_node: Any, http: Any) -> None:
    node = start_node(
        VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_SECOND_FACTOR="4/5 minutes", VIGIL_LIMIT_LOGIN="100/minute"
    )
    api = Api(node.url, http)
    secured = await secure(api)
    body = {"email": secured.email, "password": PASSWORD}
    codes = []
    for _ in range(6):
        pending = (await api.call("POST", "/login", body)).data
        answer = await api.call("POST", "/2fa/verify", {"mfaToken": pending["mfaToken"], "code": "000000"})
        codes.append(answer.code)
    assert codes == ["invalid_code"] * 4 + ["rate_limited"] * 2
    assert int(answer.headers["Retry-After"]) >= 1


class TestStepUp:
    """RFC 9470 over HTTP."""

    async def test_the_challenge_says_what_is_asked_for(
        self, services: Any, node: Any, api: Api, email: str
    ) -> None:
        login = await api.login(email)
        await age(services, node, login)
        answer = await login.call("POST", "/2fa/setup", {})
        assert (answer.status, answer.code) == (401, "step_up_required")
        assert answer.headers["WWW-Authenticate"] == (
            'Bearer error="insufficient_user_authentication", acr_values="urn:vigil:acr:recent", max_age=600'
        )
        assert {name: answer.body[name] for name in ("acr", "maxAge", "methods")} == {
            "acr": "urn:vigil:acr:recent",
            "maxAge": 600,
            "methods": ["password"],
        }

    async def test_the_password_serves_for_ten_minutes(
        self, services: Any, node: Any, api: Api, email: str
    ) -> None:
        login = await api.login(email)
        await age(services, node, login)
        answer = await login.call("POST", "/step-up", {"method": "password", "password": PASSWORD})
        assert set(answer.data) == {"assuredUntil"}
        assert (await login.call("POST", "/2fa/setup", {})).status == 200

    async def test_a_wrong_password_serves_for_nothing(
        self, services: Any, node: Any, api: Api, email: str
    ) -> None:
        login = await api.login(email)
        await age(services, node, login)
        answer = await login.call("POST", "/step-up", {"method": "password", "password": "wrong"})
        assert (answer.status, answer.code) == (401, "invalid_code")
        assert (await login.call("POST", "/2fa/setup", {})).code == "step_up_required"

    async def test_with_a_second_factor_it_is_asked_for_that(
        self, services: Any, node: Any, secured: Secured
    ) -> None:
        await age(services, node, secured.login)
        answer = await secured.login.call("POST", "/2fa/disable", {})
        assert answer.body["acr"] == "urn:vigil:acr:recent-mfa"
        assert 'acr_values="urn:vigil:acr:recent-mfa"' in answer.headers["WWW-Authenticate"]
        assert answer.body["methods"] == ["totp", "recovery_code"]
        by_password = {"method": "password", "password": PASSWORD}
        assert (await secured.login.call("POST", "/step-up", by_password)).code == "invalid_code"
        by_code = {"method": "totp", "code": await secured.app.code()}
        assert (await secured.login.call("POST", "/step-up", by_code)).status == 200
        assert (await secured.login.call("POST", "/2fa/disable", {})).status == 200
        assert (await secured.login.call("GET", "/2fa")).data["totp"] is None

    @pytest.mark.parametrize("delivery", ["cookie", "cookies"])
    async def test_it_serves_sessions_by_cookie(
        self, services: Any, node: Any, browser: Any, email: str, delivery: str
    ) -> None:
        data = (await browser.login(email, delivery)).data
        await age(services, node, Login(browser, data))
        headers = {} if delivery == "cookies" else {"Authorization": f"Bearer {data['accessToken']}"}
        assert (await browser.call("POST", "/2fa/setup", {}, headers=headers)).code == "step_up_required"
        by_password = {"method": "password", "password": PASSWORD}
        assert (await browser.call("POST", "/step-up", by_password, headers=headers)).status == 200
        assert (await browser.call("POST", "/2fa/setup", {}, headers=headers)).status == 200
        if delivery == "cookies":
            assert (await browser.call("POST", "/step-up", by_password, csrf=None)).code == "csrf_failed"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"method": "approval"},
            {"method": "pwd", "password": PASSWORD},
            {"method": "password", "password": ""},
            {"method": "password", "password": PASSWORD, "extra": 1},
            {"method": "totp", "code": None, "credential": []},
        ],
    )
    async def test_a_proof_of_wrong_form_is_refused_as_invalid(self, api: Api, email: str, body: Any) -> None:
        login = await api.login(email)
        answer = await login.call("POST", "/step-up", body)
        assert (answer.status, answer.code) == (400, "invalid_request")

    async def test_new_tokens_say_how_it_was_proved(self, secured: Secured) -> None:
        refreshed = await secured.login.refresh()
        assert refreshed.status == 200
        sessions = (await secured.login.call("GET", "/sessions")).data["sessions"]
        assert set(sessions[0]["amr"]) == {"pwd", "otp", "mfa"}
