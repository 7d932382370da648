"""A login approved on another device, end to end: the new device on one node, the known one on another."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest
from support.authenticator import Authenticator
from support.clients import ORIGIN, PASSWORD, Answer, Api, Live, Login

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


@dataclass
class Home:
    """An account with an authenticator app, and the device that set it up, online on the second node."""

    email: str
    login: Login
    app: Authenticator
    live: Live


@dataclass
class NewDevice:
    """A device that logs in, on the first node."""

    api: Api
    email: str
    delivery: str = "body"
    token: str = ""

    async def call(self, path: str, **more: Any) -> Answer:
        body = {"mfaToken": self.token} | more
        return await self.api.call("POST", path, body, headers={"Origin": ORIGIN, "User-Agent": IPHONE})

    async def begin(self) -> Any:
        """Prove the password; what the login waits for."""
        body = {"email": self.email, "password": PASSWORD, "delivery": self.delivery}
        headers = {"Origin": ORIGIN, "User-Agent": IPHONE}
        answer = await self.api.call("POST", "/login", body, headers=headers)
        self.token = answer.data["mfaToken"]
        return answer.data

    async def ask(self) -> Any:
        """Begin, and ask the other devices; what is to be shown."""
        await self.begin()
        answer = await self.call("/approvals")
        assert answer.status == 200, answer.body
        return answer.data


@pytest.fixture
async def home(shared_nodes: Any, http: Any, connect: Any) -> Home:
    api = Api(shared_nodes[1].url, http)
    email = await api.register()
    login = await api.login(email)
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    enabled = await login.call("POST", "/2fa/enable", {"code": await app.code()})
    assert enabled.status == 200, enabled.body
    return Home(email, login, app, await connect(shared_nodes[1], login.access_token))


@pytest.fixture(params=["body", "cookie", "cookies"])
def delivery(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def phone(shared_nodes: Any, http: Any, home: Home) -> NewDevice:
    return NewDevice(Api(shared_nodes[0].url, http), home.email)


async def asked(home: Home) -> Any:
    return await home.live.wait("login-approval-requested")


async def test_the_number_that_the_new_device_shows_lets_it_in(
    home: Home, phone: NewDevice, delivery: str
) -> None:
    phone.delivery = delivery
    assert (await phone.begin())["methods"] == ["totp", "recovery_code", "approval"]
    shown = (await phone.call("/approvals")).data
    assert shown.keys() == {"number", "status", "expiresAt"}
    request = await asked(home)
    assert request.keys() == {"eventId", "approvalId", "device", "location", "ip", "numbers", "expiresAt"}
    assert request["device"]["name"] == "Safari on iPhone"
    assert (request["ip"], request["expiresAt"]) == ("127.0.0.1", shown["expiresAt"])
    assert shown["number"] in request["numbers"]
    waiting = asyncio.create_task(phone.call("/approvals/status"))
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    ack = await home.live.ask(
        "login-approval-answer", {"approvalId": request["approvalId"], "number": shown["number"]}
    )
    assert ack == {"ok": True, "status": "approved"}
    assert (await waiting).data["status"] == "approved"
    assert time.monotonic() - begun < 1
    closed = await home.live.wait("login-approval-closed")
    assert (closed["approvalId"], closed["status"]) == (request["approvalId"], "approved")
    finished = await phone.call("/2fa/verify", method="approval")
    assert finished.status == 200, finished.body
    assert finished.data["session"]["amr"] == ["pwd", "mca"]
    assert ("refreshToken" in finished.data) is (delivery == "body")
    assert (await phone.call("/2fa/verify", method="approval")).code == "invalid_token"
    me = await phone.api.call("GET", "/me", token=finished.data.get("accessToken"))
    assert me.data["user"]["email"] == home.email


async def test_asvs_16_3_1_an_approved_login_is_written_down_as_one(home: Home, phone: NewDevice) -> None:
    await phone.begin()
    shown = (await phone.call("/approvals")).data
    answer = {"approvalId": (await asked(home))["approvalId"], "number": shown["number"]}
    assert (await home.live.ask("login-approval-answer", answer))["ok"]
    assert (await phone.call("/2fa/verify", method="approval")).status == 200
    events = (await home.login.call("GET", "/me/security-log")).data["events"]
    [login, _] = [event for event in events if event["kind"] == "login"]
    assert (login["details"]["amr"], login["ip"]) == ("pwd mca", "127.0.0.1")


async def test_a_device_that_waits_on_a_socket_asks_hears_and_goes_live_on_it(
    home: Home, phone: NewDevice, shared_nodes: Any, connect: Any
) -> None:
    assert "approval" in (await phone.begin())["methods"]
    waiting = await connect(shared_nodes[0], None, mfa_token=phone.token)
    shown = await waiting.ask("approval-request")
    assert shown.keys() == {"ok", "number", "status", "expiresAt"}
    assert await waiting.ask("approval-request") == shown
    request = await asked(home)
    answer = {"approvalId": request["approvalId"], "number": shown["number"]}
    assert (await home.live.ask("login-approval-answer", answer))["status"] == "approved"
    assert (await waiting.wait("login-approval-result", timeout=30)) == {"status": "approved"}
    verified = await waiting.ask("mfa-verify", {"method": "approval"})
    assert (verified["ok"], verified["session"]["amr"]) == (True, ["pwd", "mca"])
    assert (await waiting.wait("ready"))["sessionId"] == verified["session"]["sessionId"]
    assert (await waiting.ask("approval-request"))["ok"] is False
    assert len(home.live.all("login-approval-requested")) == 1


async def test_a_socket_that_waits_hears_of_a_denial_and_can_do_nothing_more(
    home: Home, phone: NewDevice, shared_nodes: Any, connect: Any
) -> None:
    await phone.begin()
    waiting = await connect(shared_nodes[0], None, mfa_token=phone.token)
    await waiting.ask("approval-request")
    request = await asked(home)
    await home.live.ask("login-approval-answer", {"approvalId": request["approvalId"], "deny": True})
    assert (await waiting.wait("login-approval-result", timeout=30)) == {"status": "denied"}
    refused = await waiting.ask("mfa-verify", {"method": "totp", "code": await home.app.code()})
    assert refused["code"] == "invalid_token"
    assert (await waiting.wait("mfa-closed"))["code"] == "invalid_token"
    await waiting.until_gone()


async def test_a_live_socket_asks_nobody_and_one_that_waits_answers_nothing(
    home: Home, phone: NewDevice, shared_nodes: Any, connect: Any
) -> None:
    assert (await home.live.ask("approval-request"))["code"] == "unknown_event"
    await phone.begin()
    waiting = await connect(shared_nodes[0], None, mfa_token=phone.token)
    shown = await waiting.ask("approval-request")
    request = await asked(home)
    answer = {"approvalId": request["approvalId"], "number": shown["number"]}
    assert (await waiting.ask("login-approval-answer", answer))["code"] == "mfa_required"
    assert (await waiting.ask("alert-not-me", {"sessionId": home.login.session_id}))["code"] == "mfa_required"
    assert (await waiting.ask("approval-request", {"x": 1}))["code"] == "invalid_request"


async def test_a_wrong_number_denies_and_ends_the_login(home: Home, phone: NewDevice) -> None:
    shown = await phone.ask()
    request = await asked(home)
    wrong = next(number for number in request["numbers"] if number != shown["number"])
    ack = await home.live.ask("login-approval-answer", {"approvalId": request["approvalId"], "number": wrong})
    assert ack == {"ok": True, "status": "denied"}
    assert (await phone.call("/approvals/status")).data["status"] == "denied"
    for answer in ({"method": "approval"}, {"method": "totp", "code": await home.app.code()}):
        assert (await phone.call("/2fa/verify", **answer)).code == "invalid_token"
    again = await home.live.ask(
        "login-approval-answer", {"approvalId": request["approvalId"], "number": shown["number"]}
    )
    assert (again["ok"], again["code"]) == (False, "not_found")


@pytest.mark.parametrize("way", ["socket", "http"])
async def test_after_a_wrong_number_both_sides_get_new_ones_once(
    home: Home, phone: NewDevice, shared_nodes: Any, connect: Any, way: str
) -> None:
    await phone.begin()
    if way == "socket":
        waiting = await connect(shared_nodes[0], None, mfa_token=phone.token)
        shown = await waiting.ask("approval-request", {"canRenumber": True})
    else:
        shown = (await phone.call("/approvals", canRenumber=True)).data
        polling = asyncio.create_task(phone.call("/approvals/status", number=shown["number"]))
    request = await asked(home)
    wrong = next(number for number in request["numbers"] if number != shown["number"])
    answer = {"approvalId": request["approvalId"], "number": wrong}
    assert await home.live.ask("login-approval-answer", answer) == {
        "ok": True,
        "status": "denied",
        "tryAgain": True,
    }
    closed = await home.live.wait("login-approval-closed")
    assert (closed["approvalId"], closed["status"], closed["tryAgain"]) == (request["approvalId"], "denied", True)
    again = await home.live.wait("login-approval-requested", lambda event: "afterWrongNumber" in event)
    news = await waiting.wait("login-approval-number") if way == "socket" else (await polling).data
    assert news["number"] in again["numbers"]
    assert news["expiresAt"] == again["expiresAt"] == shown["expiresAt"]
    answer = {"approvalId": again["approvalId"], "number": news["number"]}
    assert (await home.live.ask("login-approval-answer", answer))["status"] == "approved"
    assert (await phone.call("/2fa/verify", method="approval")).status == 200


async def test_the_device_that_approved_a_login_gets_no_alert_about_it_and_the_others_do(
    home: Home, phone: NewDevice, shared_nodes: Any, connect: Any
) -> None:
    assert (await phone.begin())["methods"]
    other = Api(shared_nodes[1].url, phone.api.http)
    pending = await other.call("POST", "/login", {"email": home.email, "password": PASSWORD})
    proof = {"mfaToken": pending.data["mfaToken"], "method": "totp", "code": await home.app.code()}
    tablet = await connect(shared_nodes[1], (await other.call("POST", "/2fa/verify", proof)).data["accessToken"])
    shown = await phone.ask()
    request = await asked(home)
    answer = {"approvalId": request["approvalId"], "number": shown["number"]}
    assert (await home.live.ask("login-approval-answer", answer))["ok"]
    finished = (await phone.call("/2fa/verify", method="approval")).data
    session_id = finished["session"]["sessionId"]
    alert = await tablet.wait("security-alert")
    assert (alert["kind"], alert["session"]["sessionId"]) == ("new_device", session_id)
    assert alert["approvedBy"] == home.login.session_id
    # A later event has arrived, so the alert would have, too.
    await connect(shared_nodes[0], finished["accessToken"])
    await home.live.wait("device-status", lambda event: event["sessionId"] == session_id)
    assert home.live.all("security-alert") == []
    outbox = (await phone.api.call("GET", "/dev/outbox.json")).body["messages"]
    assert [mail for mail in outbox if mail["to"] == home.email and "New login" in mail["subject"]]


async def test_a_denial_can_end_every_session_and_the_one_that_denies_hears_of_it(
    home: Home, phone: NewDevice
) -> None:
    await phone.ask()
    request = await asked(home)
    ack = await home.live.ask(
        "login-approval-answer", {"approvalId": request["approvalId"], "deny": True, "endAll": True}
    )
    assert (ack["ok"], ack["status"], ack["revoked"]) == (True, "denied", 1)
    assert ack["delivery"]["sockets"] == 1
    assert (await home.live.wait("session-revoked"))["reason"] == "logout_all"
    await home.live.until_gone()
    outbox = (await phone.api.call("GET", "/dev/outbox.json")).body["messages"]
    assert "Vigil: A login to your account was denied" in [
        mail["subject"] for mail in outbox if mail["to"] == home.email
    ]


async def test_a_device_that_comes_back_in_time_hears_of_the_request_and_of_its_answer(
    home: Home, phone: NewDevice, shared_nodes: Any, connect: Any
) -> None:
    cursor = home.live.ready["lastEventId"]
    other = await connect(shared_nodes[0], home.login.access_token)
    await home.live.close()
    await phone.ask()
    request = await other.wait("login-approval-requested")
    back = await connect(shared_nodes[1], home.login.access_token, last_event_id=cursor)
    assert (await back.wait("login-approval-requested"))["approvalId"] == request["approvalId"]
    await other.ask("login-approval-answer", {"approvalId": request["approvalId"], "deny": True})
    await back.wait("login-approval-closed")
    late = await connect(shared_nodes[1], home.login.access_token, last_event_id=cursor)
    await late.wait("login-approval-closed")
    names = [name for name, _ in late.heard if name.startswith("login-approval")]
    assert names == ["login-approval-requested", "login-approval-closed"]


async def test_of_two_devices_the_first_to_answer_is_heard_and_the_other_is_told(
    home: Home, phone: NewDevice, shared_nodes: Any, connect: Any
) -> None:
    other = await connect(shared_nodes[0], home.login.access_token)
    shown = await phone.ask()
    approval_id = (await asked(home))["approvalId"]
    await other.wait("login-approval-requested")
    acks = await asyncio.gather(
        home.live.ask("login-approval-answer", {"approvalId": approval_id, "number": shown["number"]}),
        other.ask("login-approval-answer", {"approvalId": approval_id, "deny": True}),
    )
    assert sorted(ack["ok"] for ack in acks) == [False, True]
    [status] = [ack["status"] for ack in acks if ack["ok"]]
    for live in (home.live, other):
        assert (await live.wait("login-approval-closed"))["status"] == status
    assert (await phone.call("/approvals/status")).data["status"] == status


async def test_what_was_approved_on_a_device_that_is_logged_out_then_lets_nobody_in(
    home: Home, phone: NewDevice
) -> None:
    shown = await phone.ask()
    request = await asked(home)
    await home.live.ask("login-approval-answer", {"approvalId": request["approvalId"], "number": shown["number"]})
    await home.login.call("POST", "/logout", {})
    assert (await phone.call("/2fa/verify", method="approval")).code == "invalid_code"


async def test_a_device_that_was_approved_cannot_approve_the_next(
    home: Home, phone: NewDevice, shared_nodes: Any, connect: Any
) -> None:
    shown = await phone.ask()
    request = await asked(home)
    await home.live.ask("login-approval-answer", {"approvalId": request["approvalId"], "number": shown["number"]})
    finished = await phone.call("/2fa/verify", method="approval")
    live = await connect(shared_nodes[0], finished.data["accessToken"])
    shown = await phone.ask()
    request = await live.wait("login-approval-requested")
    answer = {"approvalId": request["approvalId"], "number": shown["number"]}
    assert (await live.ask("login-approval-answer", answer))["code"] == "step_up_required"
    proof = {"method": "totp", "code": await home.app.code()}
    stepped = await phone.api.call("POST", "/step-up", proof, token=finished.data["accessToken"])
    assert stepped.status == 200, stepped.body
    assert (await live.ask("login-approval-answer", answer))["status"] == "approved"


async def test_a_later_request_for_news_sends_the_earlier_one_home(home: Home, phone: NewDevice) -> None:
    await phone.ask()
    earlier = asyncio.create_task(phone.call("/approvals/status"))
    await asyncio.sleep(0.3)
    later = asyncio.create_task(phone.call("/approvals/status"))
    async with asyncio.timeout(30):
        assert (await earlier).data["status"] == "pending"
    assert not later.done()
    later.cancel()


async def test_without_another_device_online_nobody_is_asked(home: Home, phone: NewDevice) -> None:
    await home.live.close()
    for _ in range(50):
        if "approval" not in (await phone.begin())["methods"]:
            break
        await asyncio.sleep(0.1)
    answer = await phone.call("/approvals")
    assert (answer.status, answer.code) == (409, "conflict")


async def test_whoever_turned_it_off_is_not_asked(home: Home, phone: NewDevice) -> None:
    assert (await home.login.call("GET", "/approvals")).data == {"enabled": True}
    assert (await home.login.call("PUT", "/approvals", {"enabled": False})).data == {"enabled": False}
    assert (await home.login.call("GET", "/approvals")).data == {"enabled": False}
    assert (await phone.begin())["methods"] == ["totp", "recovery_code"]


BAD_ANSWERS: list[Any] = [
    {},
    {"approvalId": "x"},
    {"approvalId": "x", "number": 58, "deny": True},
    {"approvalId": "x", "deny": False},
    {"approvalId": "x", "number": 58, "endAll": True},
    {"approvalId": "x", "number": "58"},
    {"approvalId": "x", "number": True},
    {"approvalId": "x", "number": 2**53},
    {"approvalId": "x", "number": {"$gt": 0}},
    {"approvalId": {"$ne": ""}, "number": 58},
    {"approvalId": "x", "number": 58, "more": 1},
]


async def test_what_is_no_answer_is_refused(home: Home) -> None:
    for payload in BAD_ANSWERS:
        ack = await home.live.ask("login-approval-answer", payload)
        assert (ack["ok"], ack["code"]) == (False, "invalid_request"), payload
    ack = await home.live.ask("login-approval-answer", {"approvalId": "x", "number": 58})
    assert ack["code"] == "not_found"


async def test_a_planned_stop_sends_home_whoever_waits(start_node: Any, http: Any, connect: Any) -> None:
    node = start_node()
    api = Api(node.url, http)
    email = await api.register()
    login = await api.login(email)
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    await login.call("POST", "/2fa/enable", {"code": await app.code()})
    await connect(node, login.access_token)
    phone = NewDevice(api, email)
    await phone.ask()
    waiting = asyncio.create_task(phone.call("/approvals/status"))
    await asyncio.sleep(0.5)
    begun = time.monotonic()
    stopped = asyncio.create_task(asyncio.to_thread(node.stop))
    assert (await waiting).data["status"] == "pending"
    assert time.monotonic() - begun < 1.5
    assert await stopped == 0


async def test_a_caller_that_hangs_up_is_not_waited_for(start_node: Any, http: Any, connect: Any) -> None:
    """Seen at the node's stop, which waits for requests that are still at work."""
    node = start_node()
    api = Api(node.url, http)
    email = await api.register()
    login = await api.login(email)
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    await login.call("POST", "/2fa/enable", {"code": await app.code()})
    live = await connect(node, login.access_token)
    phone = NewDevice(api, email)
    await phone.ask()
    for _ in range(5):
        waiting = asyncio.create_task(phone.call("/approvals/status"))
        await asyncio.sleep(0.2)
        waiting.cancel()
    await live.close()
    assert await asyncio.to_thread(node.stop) == 0
    assert not [line for line in node.log if '"level":"error"' in line.replace(" ", "")]


async def test_asvs_6_6_4_a_node_limits_what_devices_are_asked(start_node: Any, http: Any, connect: Any) -> None:
    """ASVS 5.0, 6.6.4: push bombing is stopped by rate limits, and for an hour by the first no."""
    node = start_node(VIGIL_RATE_LIMITS="on")
    api = Api(node.url, http)
    email = await api.register()
    login = await api.login(email)
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    await login.call("POST", "/2fa/enable", {"code": await app.code()})
    live = await connect(node, login.access_token)
    phone = NewDevice(api, email)
    for _ in range(3):
        await phone.ask()
    await phone.begin()
    refused = await phone.call("/approvals")
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) <= 600
    assert len(live.all("login-approval-requested")) == 3
    last = live.all("login-approval-requested")[-1]
    assert (await live.ask("login-approval-answer", {"approvalId": last["approvalId"], "deny": True}))["ok"]
    await phone.begin()
    refused = await phone.call("/approvals")
    assert int(refused.headers["Retry-After"]) > 3000


async def test_a_denied_login_is_told_for_how_long_approval_is_off(
    start_node: Any, http: Any, connect: Any
) -> None:
    node = start_node(VIGIL_RATE_LIMITS="on")
    api = Api(node.url, http)
    email = await api.register()
    login = await api.login(email)
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    await login.call("POST", "/2fa/enable", {"code": await app.code()})
    live = await connect(node, login.access_token)
    phone = NewDevice(api, email)
    await phone.begin()
    waiting = await connect(node, None, mfa_token=phone.token)
    await waiting.ask("approval-request")
    request = await live.wait("login-approval-requested")
    await live.ask("login-approval-answer", {"approvalId": request["approvalId"], "deny": True})
    for result in (await waiting.wait("login-approval-result"), (await phone.call("/approvals/status")).data):
        assert result["status"] == "denied"
        assert 3_500_000 < result["retryAfterMs"] <= 3_600_000
