"""Registering, the mailed link, and the development outbox."""

import json
import re
from typing import Any

import pytest
from support.clients import PASSWORD, Api


async def test_registering_answers_alike_for_known_and_unknown_addresses(api: Api, email: str) -> None:
    known = await api.call("POST", "/register", {"email": email, "password": PASSWORD})
    unknown = await api.call("POST", "/register", {"email": "new-" + email, "password": PASSWORD})
    assert known.status == unknown.status == 202
    assert known.body == unknown.body
    assert set(known.headers) == set(unknown.headers)


async def test_asking_for_the_mail_again_answers_alike_too(api: Api, email: str) -> None:
    known = await api.call("POST", "/resend-verification", {"email": email})
    unknown = await api.call("POST", "/resend-verification", {"email": "unknown-" + email})
    assert known.status == unknown.status == 202
    assert known.body == unknown.body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nonsense", "password": PASSWORD}, "email"),
        ({"email": "a@b", "password": PASSWORD}, "email"),
        ({"email": "a@example.org", "password": "short"}, "password"),
        ({"email": "a@example.org", "password": "password1"}, "password"),
        ({"email": "a@example.org", "password": "x" * 129}, "password"),
        ({"email": "a@example.org", "password": PASSWORD, "username": "a"}, "username"),
        ({"email": "a@example.org", "password": PASSWORD, "name": "a\x01"}, "name"),
    ],
)
async def test_what_is_wrong_with_a_registration_is_said_by_field(api: Api, body: Any, field: str) -> None:
    answer = await api.call("POST", "/register", body)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert [error["field"] for error in answer.body["errors"]] == [field]


async def test_an_unconfirmed_address_cannot_log_in(api: Api) -> None:
    email = await api.register(verify=False)
    answer = await api.call("POST", "/login", {"email": email, "password": PASSWORD})
    assert (answer.status, answer.code) == (403, "email_not_verified")


async def test_the_outbox_shows_mails_newest_first(api: Api, send: Any) -> None:
    first = await api.register(verify=False)
    second = await api.register(verify=False)
    await api.mailed_token(first)
    await api.mailed_token(second)
    answer = await send("GET", "/dev/outbox.json")
    (newest, older) = [message for message in answer.body["messages"] if message["to"] in {first, second}]
    assert (newest["to"], older["to"]) == (second, first)
    assert set(newest) == {"to", "channel", "subject", "text", "html", "sentAt"}
    assert newest["channel"] == "email"
    assert newest["sentAt"].endswith("Z")
    page = await send("GET", "/dev/outbox")
    assert page.status == 200
    token = await api.mailed_token(second)
    assert re.search(rf'<a href="[^"]*verify-email\?token={re.escape(token)}"', page.body)


async def test_a_mail_is_shown_without_rights(api: Api, send: Any) -> None:
    await api.mailed_token(await api.register(verify=False))
    page = await send("GET", "/dev/outbox")
    frames = re.findall(r"<iframe[^>]*>", page.body)
    assert frames
    assert all('sandbox="allow-popups allow-popups-to-escape-sandbox"' in frame for frame in frames)
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "'unsafe-inline'" not in policy.replace("style-src 'self' 'unsafe-inline'", "")


async def test_where_no_outbox_is_kept_there_is_none(start_node: Any, send: Any) -> None:
    node = start_node(VIGIL_DEV_OUTBOX="off")
    for path in ("/dev/outbox", "/dev/outbox.json"):
        answer = await send("GET", path, url=node.url)
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("header", [{"X-Forwarded-Proto": "https"}, {"Host": "auth.example.org"}], ids=str)
async def test_the_outbox_does_not_exist_for_who_comes_from_elsewhere(send: Any, header: dict[str, str]) -> None:
    for path in ("/dev/outbox", "/dev/outbox.json"):
        answer = await send("GET", path, headers=header)
        assert (answer.status, answer.code) == (404, "not_found")


async def test_a_login_attempt_with_an_address_that_is_none_is_a_wrong_login(api: Api) -> None:
    answer = await api.call("POST", "/login", {"email": "no address", "password": "x"})
    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert "no address" not in json.dumps(answer.body)
