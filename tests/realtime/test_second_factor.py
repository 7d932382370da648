"""A login that is finished on the live socket: it waits, it is proved, and it goes on as any other."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
from pymongo import MongoClient
from support.clients import ORIGIN, PASSWORD, Api, Live, Login, Refused
from support.nodes import Node, ServiceUrls, mongo_client
from support.raw_socket import Polling, RawSocket
from support.secured import Secured, secure
from support.waiting import eventually

LOGIN_FIELDS = {
    "user",
    "session",
    "accessToken",
    "accessTokenExpiresAt",
    "refreshToken",
    "refreshTokenExpiresAt",
}


@pytest.fixture
async def secured(node: Node, http: aiohttp.ClientSession) -> Secured:
    return await secure(Api(node.url, http))


async def wait_raw(raw: RawSocket, token: str) -> Any:
    """Connect a raw socket as far as `mfa-required`; its payload."""
    await raw.send("40" + json.dumps({"mfaToken": token}))
    await raw.wait_for("0")
    return (await raw.wait_for("2", event="mfa-required")).data[1]


@contextmanager
def writes_held(services: ServiceUrls) -> Iterator[None]:
    """MongoDB serves no write meanwhile."""
    admin = mongo_client(services.mongo).admin
    admin.command("fsync", lock=True)
    try:
        yield
    finally:
        admin.command("fsyncUnlock")


class TestWaiting:
    """Between the first factor and the second."""

    async def test_it_is_told_what_is_asked_of_it_and_for_how_long(
        self, node: Node, connect: Any, secured: Any
    ) -> None:
        live = await connect(node, None, mfa_token=await secured.begin())
        assert [name for name, _ in live.heard] == ["mfa-required"]
        asked = live.all("mfa-required")[0]
        assert asked == {"methods": ["totp", "recovery_code"], "deadlineMs": 60_000}

    @pytest.mark.parametrize(
        "event",
        ["sessions-list", "session-revoke", "reauthenticate", "refresh", "step-up", "chat:join", "x", "ready"],
    )
    async def test_nothing_else_is_served(self, node: Node, connect: Any, secured: Any, event: str) -> None:
        live = await connect(node, None, mfa_token=await secured.begin())
        ack = await live.ask(event, {"token": "x"})
        assert (ack["ok"], ack["code"]) == (False, "mfa_required")

    async def test_it_makes_no_device_online_and_hears_nothing_of_its_user(
        self, node: Node, connect: Any, secured: Any
    ) -> None:
        other = await connect(node, secured.login.access_token)
        waiting = await connect(node, None, mfa_token=await secured.begin())
        await Api(node.url, secured.api.http).call(
            "POST", "/2fa/verify", {"mfaToken": await secured.begin(), **secured.recovery(0)}
        )
        created = await other.wait("sessions-changed")
        assert created["change"] == "created"
        listed = (await other.ask("sessions-list"))["sessions"]
        assert [each["online"] for each in listed if each["isCurrent"]] == [True]
        assert sum(each["online"] for each in listed) == 1
        assert [name for name, _ in waiting.heard] == ["mfa-required"]

    @pytest.mark.parametrize(
        "token", ["", "x", "x" * 5000, "eyJhbGciOiJub25lIn0.e30.", "rt1." + "A" * 96, "é\u0000"]
    )
    async def test_a_token_that_is_none_is_refused(self, node: Node, connect: Any, token: str) -> None:
        with pytest.raises(Refused) as refused:
            await connect(node, None, mfa_token=token)
        expected = "invalid_request" if not token or "\0" in token else "invalid_token"
        assert refused.value.data == {"code": expected, "retryable": False}

    async def test_it_is_no_access_token_and_an_access_token_is_none_of_it(
        self, node: Node, connect: Any, secured: Any
    ) -> None:
        for token, mfa_token in ((await secured.begin(), None), (None, secured.login.access_token)):
            with pytest.raises(Refused) as refused:
                await connect(node, token, mfa_token=mfa_token)
            assert refused.value.data["code"] == "invalid_token"

    @pytest.mark.parametrize("more", [{"token": "x"}, {"lastEventId": 3}, {"mfaToken": 5}, {"mfaToken": ["x"]}])
    async def test_the_token_stands_alone(self, node: Node, more: Any) -> None:
        async with RawSocket.open(node.url) as raw:
            answer = await raw.connect({"mfaToken": "x"} | more)
        assert (answer.kind, answer.data["data"]["code"]) == ("4", "invalid_request")

    async def test_a_foreign_page_is_refused(self, node: Node, connect: Any, secured: Any) -> None:
        with pytest.raises(Refused) as refused:
            await connect(node, None, mfa_token=await secured.begin(), headers={"Origin": "https://evil.example"})
        assert refused.value.data["code"] == "origin_not_allowed"

    async def test_a_login_has_five_sockets_and_no_more(self, node: Node, connect: Any, secured: Any) -> None:
        token = await secured.begin()
        opened = [await connect(node, None, mfa_token=token) for _ in range(5)]
        with pytest.raises(Refused) as refused:
            await connect(node, None, mfa_token=token)
        assert refused.value.data["code"] == "rate_limited"
        await opened[0].close()
        await asyncio.sleep(0.1)
        await connect(node, None, mfa_token=token)

    async def test_handshakes_are_counted_like_others(
        self, start_node: Any, http: aiohttp.ClientSession, connect: Any
    ) -> None:
        node = start_node(
            VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_SOCKET_CONNECTS="3/minute", VIGIL_LIMIT_SECOND_FACTOR="100/minute"
        )
        secured = await secure(Api(node.url, http))
        token = await secured.begin()
        for _ in range(3):
            await connect(node, None, mfa_token=token)
        with pytest.raises(Refused) as refused:
            await connect(node, None, mfa_token=token)
        assert refused.value.data["code"] == "rate_limited"
        assert refused.value.data["retryAfterMs"] > 0

    async def test_a_node_that_stops_sends_it_elsewhere(
        self, start_node: Any, http: aiohttp.ClientSession, connect: Any
    ) -> None:
        first, second = start_node(), start_node()
        secured = await secure(Api(first.url, http))
        token = await secured.begin()
        live = await connect(first, None, mfa_token=token)
        stopping = asyncio.create_task(asyncio.to_thread(first.stop))
        assert (await live.wait("draining"))["reconnectAfterMs"] > 0
        await live.until_gone()
        assert await stopping == 0
        again = await connect(second, None, mfa_token=token)
        assert (await again.ask("mfa-verify", secured.recovery(0)))["ok"] is True
        await again.wait("ready")


class TestFinishing:
    """The second factor on the socket."""

    @pytest.mark.parametrize("transports", [("websocket",), ("polling",), ("polling", "websocket")])
    async def test_the_code_brings_the_tokens_and_the_same_socket_is_live(
        self, shared_nodes: Any, connect: Any, secured: Any, transports: Any
    ) -> None:
        first, second = shared_nodes
        other = await connect(first, secured.login.access_token)
        live = await connect(second, None, mfa_token=await secured.begin(deviceName="Boat"), transports=transports)
        socket_id = live.client.get_sid()
        ack = await live.ask("mfa-verify", {"code": await secured.app.code()})
        assert ack["ok"] is True
        assert set(ack) == LOGIN_FIELDS | {"ok"}
        assert ack["session"]["amr"] == ["pwd", "otp", "mfa"]
        assert ack["session"]["device"]["name"] == "Boat"
        ready = await live.wait("ready")
        assert ready["socketId"] == socket_id == live.client.get_sid()
        assert ready["sessionId"] == ack["session"]["sessionId"]
        assert [name for name, _ in live.heard[:2]] == ["mfa-required", "ready"]
        listed = await live.ask("sessions-list")
        assert {each["sessionId"]: each["online"] for each in listed["sessions"]} == {
            secured.login.session_id: True,
            ready["sessionId"]: True,
        }
        status = await other.wait("device-status", lambda e: e["sessionId"] == ready["sessionId"])
        assert status["online"] is True
        token = Login(secured.api, dict(ack))
        assert (await token.call("GET", "/me")).status == 200
        assert (await token.refresh()).data["outcome"] == "rotated"

    async def test_it_is_ended_like_any_other(self, shared_nodes: Any, connect: Any, secured: Any) -> None:
        live = await connect(shared_nodes[1], None, mfa_token=await secured.begin())
        ack = await live.ask("mfa-verify", secured.recovery(0))
        ready = await live.wait("ready")
        ended = await secured.login.call("DELETE", f"/sessions/{ready['sessionId']}")
        assert ended.data["delivery"]["acknowledged"] == 1
        assert (await live.wait("session-revoked"))["reason"] == "revoked"
        await live.until_gone()
        assert (await Login(secured.api, dict(ack)).call("GET", "/me")).code == "session_revoked"

    async def test_its_token_expires_and_is_renewed_like_any_other(
        self, brief_nodes: Any, http: aiohttp.ClientSession, connect: Any
    ) -> None:
        secured = await secure(Api(brief_nodes[0].url, http))
        live = await connect(brief_nodes[0], None, mfa_token=await secured.begin())
        ack = await live.ask("mfa-verify", secured.recovery(0))
        await live.wait("token-expiring", timeout=30)
        renewed = await live.ask("refresh", {"refreshToken": ack["refreshToken"]})
        assert (renewed["ok"], renewed["outcome"]) == (True, "rotated")

    async def test_what_it_sends_before_the_answer_is_served_behind_it_in_order(
        self, node: Node, secured: Any
    ) -> None:
        async with RawSocket.open(node.url) as raw:
            await wait_raw(raw, await secured.begin())
            early = await raw.emit("sessions-list", {})
            verify = await raw.emit("mfa-verify", secured.recovery(0))
            late = [await raw.emit("sessions-list", {}), await raw.emit("nothing", {})]
            refused = await raw.wait_for("3", early)
            assert refused.data[0]["code"] == "mfa_required"
            served = await raw.wait_for("3", verify)
            assert served.data[0]["ok"] is True
            answers = [(await raw.wait_for("3", number)).data[0] for number in late]
            assert answers[0]["sessions"][0]["isCurrent"] or answers[0]["sessions"][1]["isCurrent"]
            assert answers[1]["code"] == "unknown_event"
            order = [f"ack {packet.id}" if packet.kind == "3" else packet.event for packet in raw.heard]
            assert order.index(f"ack {verify}") < order.index("ready") < order.index(f"ack {late[0]}")

    async def test_answers_at_once_on_two_nodes_begin_one_session(
        self, shared_nodes: Any, connect: Any, secured: Any
    ) -> None:
        token = await secured.begin()
        lives = [await connect(shared_nodes[each % 2], None, mfa_token=token) for each in range(4)]
        acks = await asyncio.gather(
            *(live.ask("mfa-verify", secured.recovery(number)) for number, live in enumerate(lives))
        )
        assert [ack["ok"] for ack in acks].count(True) == 1
        assert {ack["code"] for ack in acks if not ack["ok"]} == {"invalid_token"}
        for live, ack in zip(lives, acks, strict=True):
            if ack["ok"]:
                await live.wait("ready")
            else:
                assert await live.wait("mfa-closed") == {"code": "invalid_token"}
                await live.until_gone()
        assert len(await secured.sessions()) == 2

    async def test_two_answers_on_one_socket_are_taken_one_after_the_other(self, node: Node, secured: Any) -> None:
        async with RawSocket.open(node.url) as raw:
            await wait_raw(raw, await secured.begin())
            numbers = [await raw.emit("mfa-verify", secured.recovery(number)) for number in (0, 1)]
            assert (await raw.wait_for("3", numbers[0])).data[0]["ok"] is True
            await raw.wait_for("2", event="ready")
            assert (await raw.wait_for("3", numbers[1])).data[0]["code"] == "unknown_event"
        factors = (await secured.login.call("GET", "/2fa")).data
        assert factors["recoveryCodes"] == {"left": 9}

    async def test_finished_over_http_meanwhile_there_is_nothing_left_to_finish(
        self, node: Node, connect: Any, secured: Any
    ) -> None:
        token = await secured.begin()
        live = await connect(node, None, mfa_token=token)
        assert (
            await secured.api.call("POST", "/2fa/verify", {"mfaToken": token, **secured.recovery(0)})
        ).status == 200
        assert (await live.ask("mfa-verify", secured.recovery(1)))["code"] == "invalid_token"
        assert await live.wait("mfa-closed") == {"code": "invalid_token"}
        await live.until_gone()

    @pytest.mark.parametrize("delivery", ["cookie", "cookies"])
    async def test_a_login_by_cookie_is_finished_over_http(
        self, node: Node, connect: Any, secured: Any, delivery: str
    ) -> None:
        token = await secured.begin(delivery=delivery)
        live = await connect(node, None, mfa_token=token)
        assert (await live.ask("mfa-verify", secured.recovery(0)))["code"] == "forbidden"
        body = {"mfaToken": token, **secured.recovery(0)}
        answer = await secured.api.call("POST", "/2fa/verify", body, headers={"Origin": ORIGIN})
        assert answer.status == 200
        assert "refreshToken" not in answer.data

    async def test_an_answer_that_nobody_waits_for_is_not_taken(self, node: Node, secured: Any) -> None:
        """Its tokens would reach nobody."""
        token = await secured.begin()
        async with RawSocket.open(node.url) as raw:
            await wait_raw(raw, token)
            await raw.send("42" + json.dumps(["mfa-verify", secured.recovery(0)]))
            assert (await raw.ask("sessions-list", {}))["code"] == "mfa_required"
            assert (await raw.ask("mfa-verify", secured.recovery(0)))["ok"] is True
        assert len(await secured.sessions()) == 2

    async def test_of_one_that_goes_before_it_is_answered_no_session_is_left_that_nobody_can_use(
        self, node: Node, services: ServiceUrls, secured: Any
    ) -> None:
        async with RawSocket.open(node.url) as raw:
            await wait_raw(raw, await secured.begin())
            with writes_held(services):
                await raw.emit("mfa-verify", secured.recovery(0))
                await raw.ws.ping()
                assert (await raw.ws.receive()).type is aiohttp.WSMsgType.PONG
                raw.abort()
                # Answered after the node has read that the connection ended.
                for _ in range(2):
                    assert (await secured.login.call("GET", "/me")).status == 200

        async def kinds() -> list[str] | None:
            events = (await secured.login.call("GET", "/me/security-log")).data["events"]
            kinds = [event["kind"] for event in events]
            return kinds if "session_revoked" in kinds else None

        await eventually(kinds, "the session is ended", timeout=30)
        assert await secured.sessions() == [secured.login.session_id]

    @pytest.mark.parametrize("delay", [0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03])
    async def test_one_that_goes_in_the_middle_is_not_online(self, node: Node, secured: Any, delay: float) -> None:
        """Whenever it goes: while the login is finished, while the socket becomes live, or after."""
        async with RawSocket.open(node.url) as raw:
            await wait_raw(raw, await secured.begin())
            await raw.emit("mfa-verify", secured.recovery(0))
            await asyncio.sleep(delay)
            raw.abort()
        async with asyncio.timeout(10):
            # Two seconds are a page's to come back; only then is it said to be gone.
            await asyncio.sleep(2.5)
            while any(each["online"] for each in await listed(secured)):
                await asyncio.sleep(0.2)

    async def test_a_polling_peer_is_told_it_is_live(
        self, node: Node, http: aiohttp.ClientSession, secured: Any
    ) -> None:
        polling = await Polling.open(node.url, http)
        await polling.send("40" + json.dumps({"mfaToken": await secured.begin()}))
        await polling.until("mfa-required")
        await polling.send("421" + json.dumps(["mfa-verify", secured.recovery(0)]))
        told = await polling.until("accessToken")
        if '"ready"' not in told:
            told += await polling.until('"ready"')
        assert told.index("accessToken") < told.index('"ready"')


async def listed(secured: Secured) -> list[Any]:
    return list((await secured.login.call("GET", "/sessions")).data["sessions"])


class TestFailing:
    """Wrong answers, and time."""

    async def test_asvs_6_6_3_five_wrong_answers_close_it(self, node: Node, connect: Any, secured: Any) -> None:
        live = await connect(node, None, mfa_token=await secured.begin())
        for _ in range(5):
            ack = await live.ask("mfa-verify", {"code": "000000"})
            assert (ack["ok"], ack["code"]) == (False, "invalid_code")
        assert await live.wait("mfa-closed") == {"code": "too_many_tries"}
        await live.until_gone()

    async def test_wrong_answers_count_wherever_they_were_given(
        self, node: Node, connect: Any, secured: Any
    ) -> None:
        token = await secured.begin()
        lives = [await connect(node, None, mfa_token=token) for _ in range(2)]
        for number in range(4):
            wrong = {"mfaToken": token, "code": "000000"}
            if number % 2:
                assert (await secured.api.call("POST", "/2fa/verify", wrong)).code == "invalid_code"
            else:
                assert (await lives[0].ask("mfa-verify", {"code": "000000"}))["code"] == "invalid_code"
        await lives[1].ask("mfa-verify", {"code": "000000"})
        assert await lives[1].wait("mfa-closed") == {"code": "too_many_tries"}
        assert (await lives[0].ask("mfa-verify", secured.recovery(0)))["code"] == "invalid_token"
        assert await lives[0].wait("mfa-closed") == {"code": "too_many_tries"}
        with pytest.raises(Refused):
            await connect(node, None, mfa_token=token)

    async def test_after_a_wrong_answer_the_right_one_is_taken(
        self, node: Node, connect: Any, secured: Any
    ) -> None:
        live = await connect(node, None, mfa_token=await secured.begin())
        for wrong in ({"code": "000000"}, {"method": "passkey", "credential": {}}, {"method": "approval"}):
            assert (await live.ask("mfa-verify", wrong))["code"] == "invalid_code"
        assert (await live.ask("mfa-verify", {"code": await secured.app.code()}))["ok"] is True
        await live.wait("ready")

    @pytest.mark.parametrize(
        "payload",
        [
            "x",
            ["x"],
            7,
            {"code": 123456},
            {"code": ""},
            {"code": "x" * 65},
            {"method": "password"},
            {"code": "1", "extra": 1},
            {"credential": "x"},
            {"code": "\0"},
            {"code": "x" * 70_000},
            {"credential": {"a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}},
        ],
    )
    async def test_what_is_no_answer_costs_no_try(
        self, node: Node, connect: Any, secured: Any, payload: Any
    ) -> None:
        live = await connect(node, None, mfa_token=await secured.begin())
        for _ in range(6):
            assert (await live.ask("mfa-verify", payload))["code"] == "invalid_request"
        assert (await live.ask("mfa-verify", secured.recovery(0)))["ok"] is True

    @pytest.mark.timeout(90)
    async def test_asvs_6_5_5_after_a_minute_it_is_closed(self, node: Node, connect: Any, secured: Any) -> None:
        live = await connect(node, None, mfa_token=await secured.begin())
        begun = time.monotonic()
        assert await live.wait("mfa-closed", timeout=63) == {"code": "timeout"}
        assert 58 < time.monotonic() - begun < 62
        await live.until_gone()

    async def test_a_burst_is_held_to_the_limit_on_events(
        self, start_node: Any, http: aiohttp.ClientSession
    ) -> None:
        node = start_node(
            VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_SOCKET_EVENTS="5/minute", VIGIL_LIMIT_SECOND_FACTOR="100/minute"
        )
        secured = await secure(Api(node.url, http))
        async with RawSocket.open(node.url) as raw:
            await wait_raw(raw, await secured.begin())
            answers = [await raw.ask("x", {}) for _ in range(6)]
        assert [answer["code"] for answer in answers] == ["mfa_required"] * 5 + ["rate_limited"]

    async def test_an_account_locked_meanwhile_is_not_let_in(
        self, node: Node, connect: Any, secured: Any, services: ServiceUrls
    ) -> None:
        live = await connect(node, None, mfa_token=await secured.begin())
        change(services, secured, {"lockedAt": secured.login.data["user"]["createdAt"]})
        ack = await live.ask("mfa-verify", secured.recovery(0))
        assert (ack["ok"], ack["code"]) == (False, "account_locked")
        assert [name for name, _ in live.heard] == ["mfa-required"]

    async def test_a_password_changed_meanwhile_closes_it(
        self, node: Node, connect: Any, secured: Any, services: ServiceUrls
    ) -> None:
        live = await connect(node, None, mfa_token=await secured.begin())
        change(services, secured, {"passwordHash": "another", "credentialsVersion": 7})
        assert (await live.ask("mfa-verify", secured.recovery(0)))["code"] == "invalid_token"
        assert await live.wait("mfa-closed") == {"code": "invalid_token"}
        await live.until_gone()

    async def test_its_token_is_never_in_the_log(self, node: Node, connect: Any, secured: Any) -> None:
        token = await secured.begin()
        live = await connect(node, None, mfa_token=token)
        await live.ask("mfa-verify", {"code": "000000"})
        await live.ask("mfa-verify", secured.recovery(0))
        await live.wait("ready")
        assert token not in node.text()
        assert secured.recovery_codes[0] not in node.text()


def change(services: ServiceUrls, secured: Secured, fields: dict[str, Any]) -> None:
    """Change a user as another part of the service would."""
    with MongoClient[Any](services.mongo) as client:
        for name in client.list_database_names():
            client[name]["users"].update_one({"email": secured.email}, {"$set": fields})


class TestStepUp:
    """`step-up` on a live socket."""

    async def test_the_password_will_do_where_there_is_no_second_factor(
        self, node: Node, connect: Any, log_in: Any
    ) -> None:
        login = await log_in(node)
        live = await connect(node, login.access_token)
        ack = await live.ask("step-up", {"method": "password", "password": PASSWORD})
        assert set(ack) == {"ok", "assuredUntil"}
        assert ack["ok"] is True

    async def test_where_there_is_one_it_is_asked_for(self, node: Node, connect: Any, secured: Any) -> None:
        live = await connect(node, secured.login.access_token)
        ack = await live.ask("step-up", {"method": "password", "password": PASSWORD})
        assert (ack["ok"], ack["code"]) == (False, "invalid_code")
        ack = await live.ask("step-up", {"method": "totp", "code": await secured.app.code()})
        assert ack["ok"] is True

    @pytest.mark.parametrize(
        "payload",
        [{}, {"method": "approval"}, {"method": "password", "password": ""}, {"method": "totp", "x": 1}, []],
    )
    async def test_a_proof_of_wrong_form_is_refused(
        self, node: Node, connect: Any, standing: Any, payload: Any
    ) -> None:
        live = await connect(node, standing.access_token)
        assert (await live.ask("step-up", payload))["code"] == "invalid_request"

    async def test_guesses_are_limited(self, start_node: Any, http: aiohttp.ClientSession, connect: Any) -> None:
        node = start_node(VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_SECOND_FACTOR="3/5 minutes")
        api = Api(node.url, http)
        login = await api.login(await api.register())
        live: Live = await connect(node, login.access_token)
        acks = [await live.ask("step-up", {"method": "password", "password": "wrong"}) for _ in range(4)]
        assert [ack["code"] for ack in acks] == ["invalid_code"] * 3 + ["rate_limited"]
        assert acks[3]["retryAfterMs"] > 0
