"""Moving to another address over a real node: both mailboxes agree, within an hour, or nothing changes."""

import asyncio
import re
import secrets
from typing import Any

import pytest
from pymongo import MongoClient
from support.clients import PASSWORD, Api, Login
from support.mailbox import mailed, was_mailed

LINK = re.compile(r"\?email=([A-Za-z0-9_-]+)")


def new_address() -> str:
    return f"moved-{secrets.token_hex(6)}@example.org"


async def ask(login: Login, email: str) -> None:
    answer = await login.call("POST", "/email/change", {"email": email})
    assert answer.status == 202, answer.body


async def confirm(api: Api, token: str) -> Any:
    return await api.call("POST", "/email/confirm", {"token": token})


@pytest.fixture
async def email(api: Api) -> str:
    return await api.register()


@pytest.fixture
async def login(api: Api, email: str) -> Login:
    return await api.login(email)


@pytest.mark.parametrize("first", ["old", "new"])
async def test_the_address_changes_when_both_mailboxes_agreed(
    api: Api, login: Login, email: str, first: str
) -> None:
    new = new_address()
    await ask(login, new)
    links = {"old": await mailed(api, email, LINK), "new": await mailed(api, new, LINK)}
    half = (await confirm(api, links.pop(first))).data
    assert (half["confirmed"], half["user"]["email"]) == (first, email)
    [(_, other)] = links.items()
    whole = (await confirm(api, other)).data
    assert (whole["confirmed"], whole["user"]["email"], whole["user"]["emailVerified"]) == ("both", new, True)
    assert (await api.call("POST", "/login", {"email": email, "password": PASSWORD})).code == "invalid_credentials"
    assert (await api.call("POST", "/login", {"email": new, "password": PASSWORD})).status == 200
    assert await mailed(api, email, re.compile(r"(You will get no more e-mails at this address)"))


async def pending(login: Login) -> Any:
    return (await login.call("GET", "/me")).data["user"].get("pendingEmail")


async def test_a_change_that_waits_is_shown_and_can_be_cancelled(api: Api, login: Login, email: str) -> None:
    assert await pending(login) is None
    new = new_address()
    await ask(login, new)
    links = {"old": await mailed(api, email, LINK), "new": await mailed(api, new, LINK)}
    shown = await pending(login)
    assert (shown["email"], shown["confirmed"]) == (new, None)
    assert (await confirm(api, links["new"])).status == 200
    renamed = (await login.call("PATCH", "/me", {"name": "Ada"})).data["user"]
    assert renamed["pendingEmail"] == await pending(login) == {**shown, "confirmed": "new"}
    for _ in range(2):
        assert (await login.call("DELETE", "/email/change")).status == 200
    assert await pending(login) is None
    for link in links.values():
        assert (await confirm(api, link)).code == "invalid_token"
    kinds = [event["kind"] for event in (await login.call("GET", "/me/security-log")).data["events"]]
    assert kinds.count("email_change_cancelled") == 1


async def test_a_link_followed_again_says_the_same(api: Api, login: Login, email: str) -> None:
    new = new_address()
    await ask(login, new)
    old_link, new_link = await mailed(api, email, LINK), await mailed(api, new, LINK)
    assert [(await confirm(api, old_link)).data["confirmed"] for _ in range(2)] == ["old", "old"]
    assert (await confirm(api, new_link)).data["confirmed"] == "both"
    assert (await confirm(api, old_link)).data["confirmed"] == "both"


async def test_clicks_in_both_mailboxes_at_once_make_one_change(api: Api, login: Login, email: str) -> None:
    new = new_address()
    await ask(login, new)
    links = [await mailed(api, email, LINK), await mailed(api, new, LINK)] * 4
    answers = await asyncio.gather(*(confirm(api, link) for link in links))
    assert "both" in {answer.data["confirmed"] for answer in answers}
    assert (await login.call("GET", "/me")).data["user"]["email"] == new


async def test_a_later_wish_voids_the_links_of_an_earlier_one(api: Api, login: Login, email: str) -> None:
    first, second = new_address(), new_address()
    await ask(login, first)
    old_link, new_link = await mailed(api, email, LINK), await mailed(api, first, LINK)
    await ask(login, second)
    assert (await confirm(api, new_link)).code == "invalid_token"
    assert (await confirm(api, old_link)).code == "invalid_token"
    assert (await login.call("GET", "/me")).data["user"]["email"] == email


async def test_asvs_6_3_8_nobody_learns_that_the_new_address_is_somebodys(
    api: Api, login: Login, email: str
) -> None:
    taken, free = await api.register(), new_address()
    answers = [await login.call("POST", "/email/change", {"email": address}) for address in (taken, free)]
    assert answers[0].body == answers[1].body
    # Its owner is sent no link that a tired click could follow.
    await mailed(api, free, LINK)
    assert not await was_mailed(api, taken, LINK)


async def test_an_address_that_was_taken_meanwhile_is_not_taken_over(api: Api, login: Login, email: str) -> None:
    new = new_address()
    await ask(login, new)
    links = [await mailed(api, email, LINK), await mailed(api, new, LINK)]
    await api.register(new)
    codes = [(await confirm(api, link)) for link in links]
    assert (codes[0].data["confirmed"], codes[1].code) == ("old", "invalid_token")
    assert (await login.call("GET", "/me")).data["user"]["email"] == email


async def test_asvs_7_5_1_an_old_login_must_be_proved_again_first(
    installation: Any, start_node: Any, http: Any
) -> None:
    api = Api(start_node().url, http)
    login = await api.login(await api.register())
    with MongoClient[Any](installation.services.mongo, tz_aware=True) as client:
        sessions = client[installation.name]["sessions"]
        session = sessions.find_one({"_id": login.session_id})
        assert session is not None
        long_ago = session["loggedInAt"].replace(year=session["loggedInAt"].year - 1)
        sessions.update_one({"_id": login.session_id}, {"$set": {"loggedInAt": long_ago}})
    answer = await login.call("POST", "/email/change", {"email": new_address()})
    assert (answer.status, answer.code, answer.body["methods"]) == (401, "step_up_required", ["password"])
    proved = await login.call("POST", "/step-up", {"method": "password", "password": PASSWORD})
    assert proved.status == 200
    await ask(login, new_address())


@pytest.mark.parametrize("address", ["", "nobody", "a@b", "x" * 300 + "@example.org"])
async def test_what_is_no_address_is_refused(login: Login, address: str) -> None:
    answer = await login.call("POST", "/email/change", {"email": address})
    assert (answer.status, answer.code) == (400, "invalid_request")
