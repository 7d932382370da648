"""Phones over a real node: a number is added, logs its owner in, and tells a stranger nothing."""

import asyncio
import itertools
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from support.clients import ORIGIN, Answer, Api, Login
from support.mailbox import mailed, was_mailed
from support.secured import secure

CODE = re.compile(r"^(\d{6}) is your code")
_NUMBERS = itertools.count(secrets.randbelow(9_000_000) + 10_000_000)


def new_number() -> str:
    """A Dutch mobile number that no other test has."""
    return f"+316{next(_NUMBERS)}"


async def code_to(api: Api, number: str) -> str:
    return await mailed(api, number, CODE)


async def add(login: Login, number: str) -> Answer:
    asked = await login.call("POST", "/phone/send-otp", {"phoneNumber": number})
    assert asked.status == 202, asked.body
    code = await code_to(login.api, number)
    body = {"phoneNumber": number, "otp": code, "requestId": asked.data["requestId"]}
    return await login.call("POST", "/phone/verify-otp", body)


async def owner(api: Api) -> tuple[Login, str]:
    """Somebody with a confirmed number."""
    login, number = await api.login(await api.register()), new_number()
    added = await add(login, number)
    assert added.status == 200, added.body
    return login, number


async def ask(api: Api, number: str) -> tuple[str, str]:
    """A request to log in and the code that came for it."""
    before = await texts_to(api, number)
    answer = await api.call("POST", "/phone/send-otp", {"phoneNumber": number})
    assert answer.status == 202, answer.body
    for _ in range(100):
        texts = await texts_to(api, number)
        if len(texts) > len(before):
            return answer.data["requestId"], texts[0][:6]
        await asyncio.sleep(0.05)
    raise AssertionError("no SMS")


async def texts_to(api: Api, number: str) -> list[str]:
    outbox = await api.call("GET", "/dev/outbox.json")
    return [each["text"] for each in outbox.body["messages"] if (each["to"], each["channel"]) == (number, "sms")]


async def verify(api: Api, number: str, otp: str, **more: Any) -> Answer:
    body = {"phoneNumber": number, "otp": otp} | more
    return await api.call("POST", "/phone/verify-otp", body, headers={"Origin": ORIGIN})


def another(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


async def test_a_number_is_added_shown_and_told_by_mail(api: Api) -> None:
    login, number = await owner(api)
    me = await login.call("GET", "/me")
    assert me.data["user"]["phoneNumber"] == number
    assert await mailed(api, me.data["user"]["email"], re.compile(rf"ending in ({number[-2:]}) was added"))


@pytest.mark.parametrize("delivery", ["body", "cookie", "cookies"])
async def test_its_owner_logs_in_by_it_over_every_delivery(api: Api, delivery: str) -> None:
    login, number = await owner(api)
    request_id, code = await ask(api, number)
    answer = await verify(api, number, code, requestId=request_id, delivery=delivery, deviceName="Phone")
    assert answer.status == 200, answer.body
    assert answer.data["user"]["userId"] == login.data["user"]["userId"]
    assert (answer.data["session"]["amr"], answer.data["session"]["device"]["name"]) == (["sms"], "Phone")
    assert ("accessToken" in answer.data, "refreshToken" in answer.data) == (
        delivery != "cookies",
        delivery == "body",
    )


async def test_a_page_by_cookie_adds_a_number(api: Api, browser: Any) -> None:
    await browser.login(await api.register(), "cookies")
    number = new_number()
    asked = await browser.call("POST", "/phone/send-otp", {"phoneNumber": number})
    assert asked.status == 202, asked.body
    body = {"phoneNumber": number, "otp": await code_to(api, number)}
    assert (await browser.call("POST", "/phone/verify-otp", body, csrf=None)).code == "csrf_failed"
    added = await browser.call("POST", "/phone/verify-otp", body)
    assert added.data == {"user": added.data["user"]}
    assert added.data["user"]["phoneNumber"] == number


async def test_a_foreign_page_logs_nobody_in(api: Api) -> None:
    _, number = await owner(api)
    _, code = await ask(api, number)
    body = {"phoneNumber": number, "otp": code, "delivery": "cookies"}
    answer = await api.call("POST", "/phone/verify-otp", body, headers={"Origin": "https://evil.example"})
    assert answer.code == "origin_not_allowed"


async def test_a_second_factor_is_asked_for_after_the_code(api: Api) -> None:
    secured = await secure(api)
    number = new_number()
    assert (await add(secured.login, number)).status == 200
    _, code = await ask(api, number)
    waiting = (await verify(api, number, code)).data
    assert waiting["mfaRequired"] is True
    body = {"mfaToken": waiting["mfaToken"], "code": await secured.app.code()}
    finished = await api.call("POST", "/2fa/verify", body)
    assert {"sms", "otp", "mfa"} <= set(finished.data["session"]["amr"])


async def test_asvs_6_3_8_unknown_numbers_are_answered_alike_and_sent_nothing(api: Api) -> None:
    _, known = await owner(api)
    unknown = new_number()
    answers = [await api.call("POST", "/phone/send-otp", {"phoneNumber": each}) for each in (known, unknown)]
    assert [each.status for each in answers] == [202, 202]
    assert answers[0].data.keys() == answers[1].data.keys() == {"requestId", "expiresAt", "resendAfterMs"}
    assert answers[0].body["message"] == answers[1].body["message"]
    refusals = [await verify(api, each, "000000", requestId="x") for each in (known, unknown)]
    assert {(each.status, each.code) for each in refusals} == {(401, "invalid_code")}
    again = [await api.call("POST", "/phone/send-otp", {"phoneNumber": each}) for each in (known, unknown)]
    assert {(each.status, each.code) for each in again} == {(429, "rate_limited")}
    assert not await was_mailed(api, unknown, CODE)


async def test_asvs_6_5_1_of_two_right_codes_at_once_one_begins_a_session(api: Api) -> None:
    login, number = await owner(api)
    _, code = await ask(api, number)
    answers = await asyncio.gather(*(verify(api, number, code) for _ in range(2)))
    assert sorted(each.status for each in answers) == [200, 401]
    assert (await login.call("GET", "/sessions")).data["count"] == 2


async def test_asvs_6_6_2_a_code_is_bound_to_the_request_it_was_sent_for(api: Api) -> None:
    (login, number), (_, other) = await owner(api), await owner(api)
    request_id, code = await ask(api, number)
    other_request, other_code = await ask(api, other)
    # Neither for another number, nor with another request, nor to add a number on a live session.
    assert (await verify(api, other, code, requestId=request_id)).code == "invalid_code"
    assert (await verify(api, number, code, requestId=other_request)).code == "invalid_code"
    added = await login.call("POST", "/phone/verify-otp", {"phoneNumber": number, "otp": code})
    assert added.code == "invalid_code"
    assert (await verify(api, number, code, requestId=request_id)).status == 200
    assert (await verify(api, other, other_code, requestId=other_request)).status == 200


async def test_asvs_6_6_3_of_many_guesses_five_are_looked_at(api: Api) -> None:
    _, number = await owner(api)
    request_id, code = await ask(api, number)
    for _ in range(5):
        assert (await verify(api, number, another(code), requestId=request_id)).code == "invalid_code"
    assert (await verify(api, number, code, requestId=request_id)).code == "invalid_code"


async def test_asvs_6_5_5_a_code_by_sms_is_good_for_five_minutes(
    api: Api, services: Any, shared_installation: Any
) -> None:
    _, number = await owner(api)
    asked = await api.call("POST", "/phone/send-otp", {"phoneNumber": number})
    life = datetime.fromisoformat(asked.data["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=4, seconds=50) < life <= timedelta(minutes=5)
    code = (await texts_to(api, number))[0][:6]
    with MongoClient[Any](services.mongo) as client:
        past = [{"$set": {"expiresAt": {"$subtract": ["$expiresAt", 300_000]}}}]
        client[shared_installation.name]["challenges"].update_many({"purpose": "phone_login"}, past)
    assert (await verify(api, number, code, requestId=asked.data["requestId"])).code == "invalid_code"


@pytest.mark.parametrize(
    "number",
    ["0612345678", "612345678", "+31201234567", "+1", "+999123456789", "+1-800-FLOWERS",
     "+31612345678;ext=1", "", "+", "+" + "1" * 39],
)  # fmt: skip
async def test_what_is_no_mobile_number_is_refused(api: Api, number: str) -> None:
    for path, more in (("/phone/send-otp", {}), ("/phone/verify-otp", {"otp": "123456"})):
        answer = await api.call("POST", path, {"phoneNumber": number} | more)
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert [error["field"] for error in answer.body["errors"]] == ["phoneNumber"]


async def test_it_is_taken_off_and_is_no_way_in_any_more(api: Api) -> None:
    login, number = await owner(api)
    _, code = await ask(api, number)
    removed = await login.call("DELETE", "/phone")
    assert removed.data["user"]["phoneNumber"] is None
    assert (await verify(api, number, code)).code == "invalid_code"
    assert (await login.call("DELETE", "/phone")).status == 200
    email = removed.data["user"]["email"]
    assert await mailed(api, email, re.compile(rf"ending in ({number[-2:]}) was removed"))


async def test_another_accounts_number_is_told_only_to_who_holds_the_phone(api: Api) -> None:
    _, number = await owner(api)
    other = await api.login(await api.register())
    assert (await other.call("POST", "/phone/send-otp", {"phoneNumber": number})).status == 202
    body = {"phoneNumber": number, "otp": "000000"}
    assert (await other.call("POST", "/phone/verify-otp", body)).code in {"invalid_code", "conflict"}


async def test_a_wrong_token_is_not_taken_for_a_stranger(api: Api) -> None:
    answer = await api.call("POST", "/phone/send-otp", {"phoneNumber": new_number()}, token="nonsense")
    assert answer.code == "invalid_token"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_where_it_is_off_there_is_nothing(start_node: Any, http: Any, method: str) -> None:
    api = Api(start_node(VIGIL_PHONE_LOGIN="off").url, http)
    login = await api.login(await api.register())
    path, body = ("/phone/send-otp", {"phoneNumber": new_number()}) if method == "POST" else ("/phone", None)
    assert (await login.call(method, path, body)).code == "not_found"
