"""A login from an unknown device, end to end: told live and by mail, ended by "this wasn't me" on either way."""

import asyncio
import re
from typing import Any

from support.clients import Api, Login

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)
LINK = re.compile(r"/\?notme=([A-Za-z0-9_-]+)")


async def mail_about(login: Login) -> str:
    """The text of the alert's mail."""
    for _ in range(100):
        outbox = (await login.api.call("GET", "/dev/outbox.json")).body["messages"]
        for mail in outbox:
            if mail["to"] == login.data["user"]["email"] and LINK.search(mail["text"]):
                return str(mail["text"])
        await asyncio.sleep(0.05)
    raise AssertionError("no mail")


async def test_the_mailed_link_ends_the_login_and_following_it_by_a_get_ends_nothing(
    shared_nodes: Any, connect: Any, log_in: Any, http: Any
) -> None:
    first, second = shared_nodes
    laptop = await log_in(first, user_agent=FIREFOX)
    phone = await log_in(first, laptop.data["user"]["email"], user_agent=IPHONE)
    live = await connect(second, phone.access_token)
    text = await mail_about(laptop)
    assert "Safari on iPhone" in text
    found = LINK.search(text)
    assert found is not None
    async with http.get(f"{first.url}/?notme={found[1]}", allow_redirects=False):
        pass
    assert (await phone.call("GET", "/me")).status == 200
    stranger = Api(second.url, http)
    ended = await stranger.call("POST", "/alerts/not-me", {"token": found[1]})
    assert ended.data["revoked"] == 1
    assert ended.data["delivery"]["closed"] == 1
    revoked = await live.wait("session-revoked")
    assert (revoked["reason"], revoked["by"]) == ("revoked", {"kind": "user"})
    assert (await phone.call("GET", "/me")).code == "session_revoked"
    assert (await laptop.call("GET", "/me")).status == 200
    again = await stranger.call("POST", "/alerts/not-me", {"token": found[1]})
    assert (again.status, again.data["revoked"]) == (200, 0)


async def test_no_other_token_of_ours_ends_a_login(node: Any, log_in: Any, http: Any) -> None:
    api = Api(node.url, http)
    email = await api.register(verify=False)
    for token in (await api.mailed_token(email), "guess", "A" * 43):
        answer = await api.call("POST", "/alerts/not-me", {"token": token})
        assert (answer.status, answer.code) == (401, "invalid_token")


async def test_a_device_disowns_a_login_at_a_tap(shared_nodes: Any, connect: Any, log_in: Any) -> None:
    first, second = shared_nodes
    laptop = await log_in(first, user_agent=FIREFOX)
    live = await connect(second, laptop.access_token)
    phone = await log_in(first, laptop.data["user"]["email"], user_agent=IPHONE)
    other = await connect(first, phone.access_token)
    alert = await live.wait("security-alert")
    ack = await live.ask("alert-not-me", {"sessionId": alert["session"]["sessionId"]})
    assert (ack["ok"], ack["delivery"]["closed"]) == (True, 1)
    await other.until_gone()
    again = await live.ask("alert-not-me", {"sessionId": phone.session_id})
    assert (again["ok"], again["code"]) == (False, "not_found")
    for payload in ({}, {"sessionId": 1}, {"sessionId": {"$ne": 1}}, {"sessionId": "x", "more": 1}):
        assert (await live.ask("alert-not-me", payload))["code"] == "invalid_request"


async def test_an_unanswered_alert_is_in_the_list_until_another_device_dismisses_it(
    shared_nodes: Any, connect: Any, log_in: Any
) -> None:
    first, second = shared_nodes
    laptop = await log_in(first, user_agent=FIREFOX)
    phone = await log_in(first, laptop.data["user"]["email"], user_agent=IPHONE)

    async def alerts() -> list[str]:
        listed = (await laptop.call("GET", "/sessions")).data["sessions"]
        (of_phone,) = [each["alerts"] for each in listed if each["sessionId"] == phone.session_id]
        return [alert["kind"] for alert in of_phone]

    path = f"/sessions/{phone.session_id}/alerts"
    assert await alerts() == ["new_device"]
    assert (await phone.call("DELETE", path)).code == "forbidden"
    assert (await laptop.call("DELETE", "/sessions/nobody/alerts")).code == "not_found"
    stranger = await log_in(first)
    assert (await stranger.call("DELETE", path)).code == "not_found"
    assert await alerts() == ["new_device"]

    live = await connect(second, laptop.access_token)
    for _ in range(2):
        assert (await laptop.call("DELETE", path)).status == 200
    changed = await live.wait("sessions-changed")
    assert (changed["change"], changed["session"]["alerts"]) == ("updated", [])
    assert await alerts() == []
    log = (await laptop.call("GET", "/me/security-log")).data["events"]
    assert [event["details"]["alerts"] for event in log if event["kind"] == "alert_dismissed"] == ["new_device"]


async def test_the_push_of_a_new_session_has_its_alerts(node: Any, connect: Any, log_in: Any) -> None:
    laptop = await log_in(node, user_agent=FIREFOX)
    live = await connect(node, laptop.access_token)
    await log_in(node, laptop.data["user"]["email"], user_agent=IPHONE)
    created = await live.wait("sessions-changed")
    assert [alert["kind"] for alert in created["session"]["alerts"]] == ["new_device"]
