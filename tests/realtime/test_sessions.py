"""The list of devices on the socket: seen, ended, and told of as it changes."""

import asyncio
import secrets
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from support.authenticator import Authenticator
from support.clients import Live
from support.nodes import Node

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


async def revoked_with(live: Live, **expected: Any) -> Any:
    """The socket was told why, and is gone; what it was told."""
    revoked = await live.wait("session-revoked")
    assert {key: revoked[key] for key in expected} == expected
    await live.until_gone()
    return revoked


def removal_of(session_id: str) -> Callable[[Any], bool]:
    return lambda event: (event["change"], event["session"]["sessionId"]) == ("removed", session_id)


def by_id(sessions: list[Any]) -> dict[str, Any]:
    return {session["sessionId"]: session for session in sessions}


class TestListing:
    """`sessions-list` says what GET /sessions says."""

    async def test_it_equals_the_list_over_http_with_online_states(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        laptop = await log_in(first, user_agent=FIREFOX)
        phone = await log_in(second, laptop.data["user"]["email"], user_agent=IPHONE)
        await log_in(first, laptop.data["user"]["email"], deviceName="Never online")
        live, other = await connect(second, laptop.access_token), await connect(first, phone.access_token)
        listed = await live.ask("sessions-list")
        assert listed.keys() == {"ok", "sessions", "version"}
        over_http = (await laptop.call("GET", "/sessions")).data
        assert listed["version"] == over_http["version"]
        assert by_id(listed["sessions"]) == by_id(over_http["sessions"])
        online = {s["device"]["name"]: (s["online"], s["isCurrent"]) for s in listed["sessions"]}
        assert sorted(online.values()) == [(False, False), (True, False), (True, True)]
        assert online["Never online"] == (False, False)
        current = [s["sessionId"] for s in (await other.ask("sessions-list"))["sessions"] if s["isCurrent"]]
        assert current == [phone.session_id]

    async def test_it_holds_no_token_and_no_hash(self, node: Node, connect: Any, log_in: Any) -> None:
        login = await log_in(node)
        live = await connect(node, login.access_token)
        (session,) = (await live.ask("sessions-list"))["sessions"]
        assert session.keys() == {
            "sessionId",
            "device",
            "userAgent",
            "ip",
            "location",
            "loggedInAt",
            "lastSeenAt",
            "expiresAt",
            "isCurrent",
            "online",
            "amr",
            "alerts",
        }

    async def test_a_payload_with_anything_in_it_is_refused(self, node: Node, connect: Any, standing: Any) -> None:
        live = await connect(node, standing.access_token)
        ack = await live.ask("sessions-list", {"userId": "someone"})
        assert (ack["ok"], ack["code"]) == (False, "invalid_request")


class TestEndingOne:
    """`session-revoke`."""

    async def test_every_socket_of_that_session_goes_and_is_counted_over_all_nodes(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        phone = await log_in(second, laptop.data["user"]["email"])
        live = await connect(first, laptop.access_token)
        tabs = [await connect(where, phone.access_token) for where in (first, second, second)]
        ack = await live.ask("session-revoke", {"sessionId": phone.session_id})
        assert ack == {
            "ok": True,
            "delivery": {"sockets": 3, "notified": 3, "acknowledged": 3, "closed": 3, "pending": 0},
        }
        by = {"kind": "user", "sessionId": laptop.session_id}
        for tab in tabs:
            await revoked_with(tab, sessionId=phone.session_id, reason="revoked", by=by)
        assert live.all("session-revoked") == []
        assert (await live.ask("sessions-list"))["ok"] is True
        assert (await phone.call("GET", "/me")).code == "session_revoked"

    async def test_a_device_without_a_socket_is_ended_as_well(self, node: Node, connect: Any, log_in: Any) -> None:
        laptop = await log_in(node)
        phone = await log_in(node, laptop.data["user"]["email"])
        live = await connect(node, laptop.access_token)
        ack = await live.ask("session-revoke", {"sessionId": phone.session_id})
        assert ack["delivery"] == {"sockets": 0, "notified": 0, "acknowledged": 0, "closed": 0, "pending": 0}
        assert (await phone.call("GET", "/me")).code == "session_revoked"

    async def test_ones_own_is_answered_before_the_socket_goes(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        login = await log_in(first)
        live, tab = await connect(first, login.access_token), await connect(second, login.access_token)
        ack = await live.ask("session-revoke", {"sessionId": login.session_id})
        assert ack == {
            "ok": True,
            "delivery": {"sockets": 2, "notified": 2, "acknowledged": 2, "closed": 2, "pending": 0},
        }
        by = {"kind": "user", "sessionId": login.session_id}
        await asyncio.gather(*(revoked_with(each, reason="revoked", by=by) for each in (live, tab)))

    async def test_someone_elses_and_nobodys_are_not_found(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        login, stranger = await log_in(first), await log_in(first)
        live, theirs = await connect(second, login.access_token), await connect(first, stranger.access_token)
        answers = [
            await live.ask("session-revoke", {"sessionId": session_id})
            for session_id in (stranger.session_id, secrets.token_hex(16), "x", "../" * 20, "x" * 10_000)
        ]
        assert {(ack["ok"], ack["code"]) for ack in answers} == {(False, "not_found")}
        assert len({ack["message"] for ack in answers}) == 1  # nothing tells one from the other
        assert (await theirs.ask("sessions-list"))["ok"] is True
        assert theirs.all("session-revoked") == []

    async def test_one_that_was_ended_already_is_not_found(self, node: Node, connect: Any, log_in: Any) -> None:
        laptop = await log_in(node)
        phone = await log_in(node, laptop.data["user"]["email"])
        live = await connect(node, laptop.access_token)
        assert (await live.ask("session-revoke", {"sessionId": phone.session_id}))["ok"] is True
        assert (await live.ask("session-revoke", {"sessionId": phone.session_id}))["code"] == "not_found"

    @pytest.mark.parametrize(
        "payload",
        [{}, {"sessionId": 1}, {"sessionId": None}, {"sessionId": ["x"]}, {"sessionId": {"$ne": None}},
         {"sessionId": ""}, {"sessionId": "a\0b"}, {"sessionId": "x", "all": True}, {"session_id": "x"}],
    )  # fmt: skip
    async def test_a_wrong_payload_is_refused(self, node: Node, connect: Any, standing: Any, payload: Any) -> None:
        live = await connect(node, standing.access_token)
        ack = await live.ask("session-revoke", payload)
        assert (ack["ok"], ack["code"]) == (False, "invalid_request")
        assert (await live.ask("sessions-list"))["ok"] is True


class TestEndingTheOthers:
    """`sessions-revoke-others` keeps the session it was asked from, with all its tabs."""

    async def test_both_tabs_of_the_asking_device_stay(self, shared_nodes: Any, connect: Any, log_in: Any) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        email = laptop.data["user"]["email"]
        phone, tablet, absent = [await log_in(where, email) for where in (first, second, first)]
        tabs = [await connect(where, laptop.access_token) for where in (first, second)]
        ended = [await connect(second, phone.access_token), await connect(second, tablet.access_token)]
        ack = await tabs[0].ask("sessions-revoke-others")
        assert ack == {
            "ok": True,
            "revoked": 3,
            "delivery": {"sockets": 2, "notified": 2, "acknowledged": 2, "closed": 2, "pending": 0},
        }
        by = {"kind": "user", "sessionId": laptop.session_id}
        for live in ended:
            await revoked_with(live, reason="revoked_others", by=by)
        for tab in tabs:
            assert [s["sessionId"] for s in (await tab.ask("sessions-list"))["sessions"]] == [laptop.session_id]
            assert tab.all("session-revoked") == []
            for gone in (phone, tablet, absent):
                await tab.wait("sessions-changed", removal_of(gone.session_id))
        assert (await absent.call("GET", "/me")).code == "session_revoked"

    async def test_with_no_others_nothing_happens(self, node: Node, connect: Any, log_in: Any) -> None:
        live = await connect(node, (await log_in(node)).access_token)
        ack = await live.ask("sessions-revoke-others")
        assert (ack["ok"], ack["revoked"], ack["delivery"]["sockets"]) == (True, 0, 0)


class TestEndedFromElsewhere:
    """Whatever ends a session, its sockets are told why."""

    @pytest.mark.parametrize(
        ("method", "path", "reason"),
        [
            ("POST", "/logout", "logout"),
            ("POST", "/logout-all", "logout_all"),
            ("POST", "/sessions/revoke-others", "revoked_others"),
            ("DELETE", "/sessions/{}", "revoked"),
        ],
    )
    async def test_over_http(
        self, shared_nodes: Any, connect: Any, log_in: Any, method: Any, path: Any, reason: Any
    ) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        phone = await log_in(first, laptop.data["user"]["email"])
        live = await connect(second, laptop.access_token)
        asking = laptop if reason in {"logout", "logout_all"} else phone
        answer = await asking.call(method, path.format(laptop.session_id), {} if method == "POST" else None)
        assert answer.status == 200
        by = {"kind": "user", "sessionId": asking.session_id}
        told = await revoked_with(live, reason=reason, by=by, sessionId=laptop.session_id)
        assert "act" not in told

    async def test_by_turning_on_two_step_verification(self, shared_nodes: Any, connect: Any, log_in: Any) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        phone = await log_in(first, laptop.data["user"]["email"])
        live = await connect(second, laptop.access_token)
        app = Authenticator((await phone.call("POST", "/2fa/setup", {})).data["secret"])
        assert (await phone.call("POST", "/2fa/enable", {"code": await app.code()})).status == 200
        by = {"kind": "user", "sessionId": phone.session_id}
        await revoked_with(live, reason="revoked_others", by=by, act="two_factor_enabled")


class TestAcknowledging:
    """The device is told, and given a second to say that it heard."""

    async def test_one_that_never_does_is_closed_after_a_second(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        phone = await log_in(first, laptop.data["user"]["email"])
        live = await connect(first, laptop.access_token)
        deaf = await connect(second, phone.access_token, acknowledge=False)
        clock = asyncio.get_running_loop().time
        asked = clock()
        asking = asyncio.create_task(live.ask("session-revoke", {"sessionId": phone.session_id}))
        await deaf.wait("session-revoked")
        assert not deaf.gone.is_set()
        delivery = (await asking)["delivery"]
        assert clock() - asked < 3
        # The second is the node's that closes as well as the one's that counts: either may be over first.
        counted = delivery.pop("closed"), delivery.pop("pending")
        assert counted in {(0, 1), (1, 0)}
        assert delivery == {"sockets": 1, "notified": 1, "acknowledged": 0}
        await deaf.until_gone()
        assert clock() - asked > 0.9

    async def test_one_that_does_is_closed_at_once(self, shared_nodes: Any, connect: Any, log_in: Any) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        phone = await log_in(first, laptop.data["user"]["email"])
        live, other = await connect(first, laptop.access_token), await connect(second, phone.access_token)
        silent = await connect(second, phone.access_token, acknowledge=False)
        asking = asyncio.create_task(live.ask("session-revoke", {"sessionId": phone.session_id}))
        await other.until_gone()
        assert not silent.gone.is_set()
        delivery = (await asking)["delivery"]
        assert (delivery["sockets"], delivery["notified"], delivery["acknowledged"]) == (2, 2, 1)
        await silent.until_gone()


class TestChanges:
    """`sessions-changed` comes to every device, numbered without a gap."""

    async def test_versions_have_no_gap_and_mark_the_recipients_own(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        email = laptop.data["user"]["email"]
        seeing = await connect(first, laptop.access_token)
        version = (await seeing.ask("sessions-list"))["version"]
        phone = await log_in(second, email)
        other = await connect(second, phone.access_token)
        logins = [await log_in(where, email) for where in (first, second, first, second)]
        for login in logins:
            assert (await login.call("POST", "/logout", {})).status == 200
        ids = [phone.session_id, *(login.session_id for login in logins)]
        gone = ids[1:]
        for live in (seeing, other):
            await live.wait("sessions-changed", removal_of(gone[-1]))
        told = seeing.all("sessions-changed")
        assert [e["version"] for e in told] == list(range(version + 1, version + 1 + len(told)))
        assert [(e["change"], e["session"]["sessionId"]) for e in told] == [
            *(("created", each) for each in ids),
            *(("removed", each) for each in gone),
        ]
        assert not any(e["session"]["isCurrent"] for e in told)
        # The other one came later and heard the same from then on.
        heard = other.all("sessions-changed")
        assert [e["version"] for e in heard] == [e["version"] for e in told[1:]]
        assert (await seeing.ask("sessions-list"))["version"] == told[-1]["version"]

    async def test_a_new_name_comes_to_every_device_with_the_next_version(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        phone = await log_in(second, laptop.data["user"]["email"])
        seeing, other = await connect(first, laptop.access_token), await connect(second, phone.access_token)
        version = (await seeing.ask("sessions-list"))["version"]
        answer = await laptop.call("PATCH", f"/sessions/{phone.session_id}", {"deviceName": "Blue phone"})
        assert answer.data["session"]["online"]
        for live, is_own in ((seeing, False), (other, True)):
            told = await live.wait("sessions-changed", lambda event: event["change"] == "updated")
            assert told["version"] == version + 1
            assert told["session"]["device"]["name"] == "Blue phone"
            assert (told["session"]["online"], told["session"]["isCurrent"]) == (True, is_own)
        listed = await other.ask("sessions-list")
        assert listed["version"] == version + 1
        assert by_id(listed["sessions"])[phone.session_id]["device"]["name"] == "Blue phone"

    async def test_a_device_hears_of_its_own_end_as_its_own(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        """The event of the removal follows the end, which only other devices live to hear."""
        first, second = shared_nodes
        laptop = await log_in(first)
        phone = await log_in(first, laptop.data["user"]["email"])
        live, other = await connect(first, laptop.access_token), await connect(second, phone.access_token)
        await live.ask("session-revoke", {"sessionId": phone.session_id})
        removed = await live.wait("sessions-changed", lambda e: e["change"] == "removed")
        assert removed["session"]["isCurrent"] is False
        await other.until_gone()
        assert [e for e in other.all("sessions-changed") if e["change"] == "removed"] == []

    async def test_event_ids_grow_strictly_whatever_the_event(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        laptop = await log_in(first)
        email = laptop.data["user"]["email"]
        lives = [await connect(where, laptop.access_token) for where in (first, second)]
        phones = await asyncio.gather(*(log_in(where, email) for where in (first, second) * 3))
        phone_sockets = [await connect(second, phone.access_token) for phone in phones]
        await lives[0].ask("sessions-revoke-others")
        for live in lives:
            for phone in phones:
                await live.wait("sessions-changed", removal_of(phone.session_id))
        logs = [[data["eventId"] for _, data in live.heard if "eventId" in data] for live in lives]
        for log, live in zip(logs, lives, strict=True):
            assert len(log) >= 6 * 3  # created, online and removed of each
            assert all(before < after for before, after in pairwise(log))
            assert log[0] > live.ready["lastEventId"]
        # Both tabs heard the same under the same numbers, each from its own beginning on.
        begin, end = lives[1].ready["lastEventId"], min(log[-1] for log in logs)
        both = [[event_id for event_id in log if begin < event_id <= end] for log in logs]
        assert both[0] == both[1]
        for live in phone_sockets:
            await live.until_gone()


class TestAlerts:
    """`security-alert`."""

    async def test_a_login_from_a_device_of_another_kind_is_told_to_the_others(
        self, shared_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = shared_nodes
        laptop = await log_in(first, user_agent=FIREFOX)
        live = await connect(second, laptop.access_token)
        phone = await log_in(first, laptop.data["user"]["email"], user_agent=IPHONE)
        alert = await live.wait("security-alert")
        assert alert.keys() == {"eventId", "kind", "session", "at"}
        assert alert["kind"] == "new_device"
        assert alert["session"]["sessionId"] == phone.session_id
        assert alert["session"]["isCurrent"] is False
        assert alert["session"]["device"]["kind"] == "phone"

    async def test_a_device_known_already_and_the_first_one_cause_none(
        self, node: Node, connect: Any, log_in: Any
    ) -> None:
        laptop = await log_in(node, user_agent=FIREFOX)
        live = await connect(node, laptop.access_token)
        again = await log_in(node, laptop.data["user"]["email"], user_agent=FIREFOX)
        await live.wait("sessions-changed", lambda e: e["session"]["sessionId"] == again.session_id)
        # An alert would come with the event of the login or not at all; one more round makes sure.
        other = await log_in(node, laptop.data["user"]["email"], user_agent=IPHONE)
        alert = await live.wait("security-alert")
        assert alert["session"]["sessionId"] == other.session_id
        assert len(live.all("security-alert")) == 1
