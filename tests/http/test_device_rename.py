"""PATCH /sessions/{sessionId}: a user renames their own devices, and nobody else's."""

from typing import Any

import aiohttp
import pytest
from support.clients import Api, Login
from support.nodes import Node

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
async def laptop(node: Node, http: aiohttp.ClientSession) -> Login:
    api = Api(node.url, http)
    return await api.login(await api.register(), device="Laptop")


async def rename(login: Login, session_id: str, name: Any) -> Any:
    return await login.call("PATCH", f"/sessions/{session_id}", {"deviceName": name})


async def names(login: Login) -> dict[str, str]:
    listed = (await login.call("GET", "/sessions")).data["sessions"]
    return {session["sessionId"]: session["device"]["name"] for session in listed}


async def test_any_device_of_the_user_is_renamed_and_keeps_the_name(laptop: Login) -> None:
    phone = await laptop.api.login(laptop.data["user"]["email"], device="Phone")
    answer = await rename(laptop, phone.session_id, "Blue phone")
    assert answer.status == 200
    assert answer.data["session"]["sessionId"] == phone.session_id
    assert answer.data["session"]["device"]["name"] == "Blue phone"
    assert (await rename(laptop, laptop.session_id, "Grey laptop")).data["session"]["isCurrent"]
    assert (await phone.refresh()).status == 200
    assert await names(laptop) == {laptop.session_id: "Grey laptop", phone.session_id: "Blue phone"}


@pytest.mark.parametrize("nothing", ["", "  ", None], ids=["empty", "blank", "null"])
async def test_without_a_name_it_gets_the_one_that_was_derived_at_login(
    node: Node, http: aiohttp.ClientSession, laptop: Login, nothing: Any
) -> None:
    body = {"email": laptop.data["user"]["email"], "password": "a quiet harbour at dusk"}
    answer = await laptop.api.call("POST", "/login", body, headers={"User-Agent": IPHONE})
    derived = answer.data["session"]["device"]["name"]
    phone = Login(laptop.api, answer.data)
    assert (await rename(phone, phone.session_id, "Mine")).data["session"]["device"]["name"] == "Mine"
    assert (await rename(phone, phone.session_id, nothing)).data["session"]["device"]["name"] == derived
    assert derived == "Safari on iPhone"


async def test_a_name_is_cleaned_as_at_login(laptop: Login) -> None:
    odd = "  Ada’s\u202e la\u0007ptop\n " + "x" * 70
    given = await laptop.api.login(laptop.data["user"]["email"], device=odd)
    answer = await rename(laptop, laptop.session_id, odd)
    assert answer.data["session"]["device"]["name"] == given.data["session"]["device"]["name"]


@pytest.mark.parametrize("body", [{}, {"deviceName": 7}, {"deviceName": "x" * 101}, {"deviceName": "a", "b": 1}])
async def test_a_body_of_another_form_is_refused(laptop: Login, body: Any) -> None:
    answer = await laptop.call("PATCH", f"/sessions/{laptop.session_id}", body)
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_device_of_another_user_and_an_unknown_one_are_not_found(
    node: Node, http: aiohttp.ClientSession, laptop: Login
) -> None:
    api = Api(node.url, http)
    stranger = await api.login(await api.register(), device="Theirs")
    for session_id in (stranger.session_id, "f" * 32, "nobody's"):
        answer = await rename(laptop, session_id, "Mine")
        assert (answer.status, answer.code) == (404, "not_found")
    assert await names(stranger) == {stranger.session_id: "Theirs"}


async def test_a_device_that_was_logged_out_neither_renames_nor_is_renamed(laptop: Login) -> None:
    phone = await laptop.api.login(laptop.data["user"]["email"])
    await phone.call("POST", "/logout", {})
    ended = await rename(phone, laptop.session_id, "Thief’s")
    assert (ended.status, ended.code) == (401, "session_revoked")
    assert (await rename(laptop, phone.session_id, "Gone")).status == 404
    assert (await rename(laptop, laptop.session_id, "Laptop")).status == 200


async def test_a_change_is_in_the_security_log_and_no_change_is_not(laptop: Login) -> None:
    for name in ("Laptop", "Kitchen", "Kitchen"):
        assert (await rename(laptop, laptop.session_id, name)).status == 200
    events = (await laptop.call("GET", "/me/security-log")).data["events"]
    renamed = [event for event in events if event["kind"] == "device_renamed"]
    assert [event["details"] for event in renamed] == [{"from": "Laptop", "to": "Kitchen"}]
