"""OWASP ASVS 5.0, V6.3: guessing, and finding out who has an account, over a real node."""

import re
from typing import Any

import pytest
from support.clients import PASSWORD, Answer, Api
from support.mailbox import mailed

from auth.http.cookies import ALL_COOKIES

CODE = re.compile(r"^(\d{6}) is your code")
NUMBER = "+31613572469"


@pytest.fixture
def limited(start_node: Any, http: Any) -> Any:
    """The API of a node with limits, that takes the address of a caller from the proxy in front."""

    def start(**limits: str) -> Api:
        settings = {"VIGIL_RATE_LIMITS": "on", "VIGIL_TRUSTED_PROXIES": "127.0.0.0/8"} | limits
        return Api(start_node(**settings).url, http)

    return start


async def from_elsewhere(api: Api, path: str, body: Any, address: str = "203.0.113.9") -> Answer:
    return await api.call("POST", path, body, headers={"X-Forwarded-For": address})


async def test_asvs_6_3_1_many_addresses_guess_no_further_and_stop_no_device_that_was_here_before(
    limited: Any,
) -> None:
    """Each guess is the first of its address and of its /48."""
    api = limited(VIGIL_LIMIT_PASSWORD_GUESSES="4/day")
    email = await api.register()
    owner = await api.login(email)
    assert (await owner.call("POST", "/logout")).status == 200
    nobody = f"nobody-{email}"
    known, unknown = [], []
    for number in range(6):
        address = f"2001:db8:{number:x}::1"
        wrong = {"password": f"guess number {number}"}
        # Without the cookies of the owner's browser.
        stranger = Api(api.url, api.http)
        known.append((await from_elsewhere(stranger, "/login", {"email": email} | wrong, address)).code)
        unknown.append((await from_elsewhere(stranger, "/login", {"email": nobody} | wrong, address)).code)
    assert known == ["invalid_credentials"] * 4 + ["rate_limited"] * 2
    assert unknown == known
    right = {"email": email, "password": PASSWORD}
    assert (await from_elsewhere(Api(api.url, api.http), "/login", right)).code == "rate_limited"
    # The owner's own device logs in, from wherever it is, with the cookie of a login that has ended.
    assert set(api.cookies).isdisjoint(ALL_COOKIES)
    assert (await from_elsewhere(api, "/login", right, "2001:db8:1:7::1")).status == 200
    told = await mailed(api, email, re.compile("(many wrong passwords)"))
    assert told


async def test_asvs_6_3_1_registrations_and_wishes_for_mail_are_limited_by_address(limited: Any) -> None:
    api = limited(VIGIL_LIMIT_REGISTER="3/hour")
    wishes = [
        ("/register", {"email": "a@example.org", "password": PASSWORD}),
        ("/resend-verification", {"email": "a@example.org"}),
        ("/password/forgot", {"email": "a@example.org"}),
    ]
    assert [(await api.call("POST", path, body)).status for path, body in wishes] == [202] * 3
    for path, body in wishes:
        assert (await api.call("POST", path, body)).code == "rate_limited"
        assert (await from_elsewhere(api, path, body, "203.0.113.10")).status == 202


async def test_asvs_6_6_3_a_stranger_closes_no_number_to_its_owner(limited: Any) -> None:
    """By wrong codes for requests of his own, by newer requests, and by codes without a request."""
    api = limited(VIGIL_LIMIT_SMS_GUESSES="4/day", VIGIL_LIMIT_SMS_VERIFY="100/hour")
    owner = await api.login(await api.register())
    asked = await owner.call("POST", "/phone/send-otp", {"phoneNumber": NUMBER})
    confirm = {"phoneNumber": NUMBER, "requestId": asked.data["requestId"]}
    added = await owner.call("POST", "/phone/verify-otp", confirm | {"otp": await mailed(api, NUMBER, CODE)})
    assert added.status == 200, added.body

    phone, stranger = Api(api.url, api.http), Api(api.url, api.http)
    mine = await from_elsewhere(phone, "/phone/send-otp", {"phoneNumber": NUMBER}, "198.51.100.7")
    code = await mailed(api, NUMBER, CODE)
    refusals = set()
    for number in range(3):
        address = f"203.0.113.{number}"
        his = await from_elsewhere(stranger, "/phone/send-otp", {"phoneNumber": NUMBER}, address)
        for request in ({"requestId": his.data["requestId"]}, {}):
            for _ in range(3):
                guess = {"phoneNumber": NUMBER, "otp": "000000"} | request
                refusals.add((await from_elsewhere(stranger, "/phone/verify-otp", guess, address)).code)
    assert refusals == {"invalid_code", "rate_limited"}
    right = {"phoneNumber": NUMBER, "otp": code, "requestId": mine.data["requestId"]}
    assert (await from_elsewhere(phone, "/phone/verify-otp", right, "198.51.100.7")).status == 200


def told(answer: Answer) -> tuple[int, Any, set[str]]:
    """All of an answer that a stranger could tell two apart by, but for its id and its time."""
    body = {name: value for name, value in answer.body.items() if name != "requestId"}
    return answer.status, body, set(answer.headers)


@pytest.mark.parametrize("path", ["/register", "/resend-verification", "/password/forgot", "/login"])
async def test_asvs_6_3_8_no_answer_says_whether_there_is_an_account(api: Api, path: str) -> None:
    """The work behind them is the same too: tests/accounts counts hashes and documents, and times a login."""
    verified, unverified = await api.register(), await api.register(verify=False)
    body = {"password": "a wrong password, but a good one"} if path in {"/register", "/login"} else {}
    answers = [
        await api.call("POST", path, {"email": email} | body)
        for email in (verified, unverified, f"nobody-{verified}")
    ]
    assert told(answers[0]) == told(answers[1]) == told(answers[2])
