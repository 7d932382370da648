"""A place for the application: its events, rooms and hooks, and what it cannot be made to do."""

import asyncio
from typing import Any

import pytest
from support.clients import Live
from support.nodes import PROBE
from support.raw_socket import RawSocket
from support.waiting import eventually

PROBE_EVENTS = ("probe:said", "probe:welcome", "probe:whispered")


async def seen_on(live: Live, session_id: str) -> list[tuple[str, str]]:
    """What the hooks on this socket's node were told of a session, in order: hook and socket."""
    seen = (await live.ask("probe:seen"))["seen"]
    return [(hook, socket_id) for hook, session, socket_id in seen if session == session_id]


async def until_seen(live: Live, session_id: str, hook: str) -> None:
    async with asyncio.timeout(10):
        while all(name != hook for name, _ in await seen_on(live, session_id)):
            await asyncio.sleep(0.05)


class TestEvents:
    """`probe:…` events are served for a live principal, and their answers are acks."""

    async def test_a_handler_answers_with_its_ack(self, probe_nodes: Any, connect: Any, log_in: Any) -> None:
        login = await log_in(probe_nodes[0])
        live = await connect(probe_nodes[1], login.access_token)
        data = {"text": "é 🎉", "n": 1.5, "list": [None, True, {"a": {}}]}
        assert await live.ask("probe:echo", data) == {"ok": True, "data": data}
        assert await live.ask("probe:silent") == {"ok": True}

    async def test_an_event_of_no_handler_is_unknown(self, probe_nodes: Any, connect: Any, log_in: Any) -> None:
        live = await connect(probe_nodes[0], (await log_in(probe_nodes[0])).access_token)
        for event in ("probe:nothing", "probe", "echo", "chat:join", "probe:", ":echo", "PROBE:echo", ""):
            ack = await live.ask(event)
            assert (ack["ok"], ack["code"]) == (False, "unknown_event"), event

    async def test_a_refusal_is_an_ack_with_its_code_and_words(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        live = await connect(probe_nodes[0], (await log_in(probe_nodes[0])).access_token)
        assert await live.ask("probe:refuse") == {"ok": False, "code": "forbidden", "message": "Not before noon."}

    async def test_a_failure_gives_nothing_away(self, probe_nodes: Any, connect: Any, log_in: Any) -> None:
        node = probe_nodes[0]
        live = await connect(node, (await log_in(node)).access_token)
        ack = await live.ask("probe:fail")
        assert ack == {
            "ok": False,
            "code": "internal_error",
            "message": "Something went wrong on our side.",
            "retryable": True,
            "retryAfterMs": 2000,
        }

        async def logged() -> bool:
            return "12-34-56" in node.text()

        await eventually(logged, "the operator can read why", timeout=30)
        assert (await live.ask("probe:echo", {}))["ok"] is True

    async def test_an_answer_that_is_no_json_is_an_internal_error_too(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        live = await connect(probe_nodes[0], (await log_in(probe_nodes[0])).access_token)
        asked = [asyncio.create_task(live.ask(event)) for event in ("probe:no-json", "probe:silent")]
        wrong, right = await asyncio.gather(*asked)
        assert (wrong["ok"], wrong["code"]) == (False, "internal_error")
        assert right == {"ok": True}

    async def test_a_handler_that_is_cancelled_answers_and_costs_nothing_behind_it(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        live = await connect(probe_nodes[0], (await log_in(probe_nodes[0])).access_token)
        events = ("probe:wait-for-what-is-cancelled", "probe:silent", "probe:silent")
        cancelled, *behind = await asyncio.gather(*(live.ask(event) for event in events))
        assert (cancelled["ok"], cancelled["code"]) == (False, "internal_error")
        assert behind == [{"ok": True}] * 2

    async def test_an_event_without_an_ack_is_served_as_well(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        live = await connect(probe_nodes[0], (await log_in(probe_nodes[0])).access_token, also=PROBE_EVENTS)
        await live.client.emit("probe:whisper", {"n": 7})
        assert (await live.wait("probe:whispered")) == {"n": 7}

    async def test_deep_nesting_is_refused_before_a_handler_walks_it(self, probe_nodes: Any, log_in: Any) -> None:
        login = await log_in(probe_nodes[0])
        async with RawSocket.open(probe_nodes[0].url) as raw:
            await raw.connect({"token": login.access_token})
            for depth in (40, 900):
                nested: Any = {}
                for _ in range(depth):
                    nested = {"a": nested}
                assert (await raw.ask("probe:echo", nested))["code"] == "invalid_request"
            shallow = {"a": [[[[[{"b": 1}]]]]]}
            assert (await raw.ask("probe:echo", shallow)) == {"ok": True, "data": shallow}

    async def test_who_a_socket_is_is_known_where_it_is(self, probe_nodes: Any, connect: Any, log_in: Any) -> None:
        first, second = probe_nodes
        login = await log_in(first)
        here, there = await connect(first, login.access_token), await connect(second, login.access_token)
        me = {"ok": True, "userId": login.data["user"]["userId"], "sessionId": login.session_id}
        assert await here.ask("probe:who-is", {"socketId": here.ready["socketId"]}) == me
        assert await there.ask("probe:who-is", {"socketId": there.ready["socketId"]}) == me
        assert (await here.ask("probe:who-is", {"socketId": there.ready["socketId"]}))["userId"] is None
        assert (await here.ask("probe:who-is", {"socketId": "x"}))["userId"] is None
        assert (await here.ask("probe:me"))["userId"] == me["userId"]


class TestOthers:
    """What Socket.IO calls a broadcast from a socket."""

    async def test_a_broadcast_reaches_the_others_of_a_room_on_every_node_and_not_its_sender(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        token = (await log_in(probe_nodes[0])).access_token
        sender, beside, there = [
            await connect(node, token, also=PROBE_EVENTS) for node in (probe_nodes[0], *probe_nodes[:2])
        ]
        for live in (sender, beside, there):
            await live.ask("probe:enter")
        assert await sender.ask("probe:typing", {"n": 1}) == {"ok": True}
        for live in (beside, there):
            assert (await live.wait("probe:said"))["n"] == 1
        await there.ask("probe:say", {"n": 2})
        await sender.wait("probe:said", lambda said: said["n"] == 2)
        assert [said["n"] for said in sender.all("probe:said")] == [2]


class TestRooms:
    """Rooms are the application's own and span the nodes."""

    async def test_a_room_spans_the_nodes_until_it_is_left(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = probe_nodes
        login = await log_in(first)
        here = await connect(first, login.access_token, also=PROBE_EVENTS)
        there = await connect(second, login.access_token, also=PROBE_EVENTS)
        outside = await connect(second, login.access_token, also=PROBE_EVENTS)
        # Stays, and so knows when a message has come to the second node.
        witness = await connect(second, login.access_token, also=PROBE_EVENTS)
        for live in (here, there, witness):
            assert (await live.ask("probe:enter"))["ok"] is True
        await here.ask("probe:say", {"n": 1})
        for live in (here, there):
            assert (await live.wait("probe:said"))["n"] == 1
        await there.ask("probe:leave")
        await here.ask("probe:say", {"n": 2})
        await witness.wait("probe:said", lambda said: said["n"] == 2)
        await there.ask("probe:enter")
        await here.ask("probe:say", {"n": 3})
        await there.wait("probe:said", lambda said: said["n"] == 3)
        assert [said["n"] for said in there.all("probe:said")] == [1, 3]
        assert outside.all("probe:said") == []

    async def test_a_room_cannot_be_another_socket(self, probe_nodes: Any, connect: Any, log_in: Any) -> None:
        """A socket's own id is a room to Socket.IO: no room name of an application reaches it."""
        first, second = probe_nodes
        login = await log_in(first)
        live = await connect(first, login.access_token, also=PROBE_EVENTS)
        other = await connect(second, login.access_token, also=PROBE_EVENTS)
        assert (await live.ask("probe:enter", {"room": other.ready["socketId"]}))["ok"] is True
        await other.ask("probe:whisper", {"n": 1})
        await other.wait("probe:whispered")
        assert live.all("probe:whispered") == []

    async def test_a_session_that_is_ended_hears_no_room_any_more(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        """Not even while it is given a second to acknowledge, nor by a handler that was under way."""
        first, second = probe_nodes
        laptop = await log_in(first)
        phone = await log_in(first, laptop.data["user"]["email"])
        live = await connect(first, laptop.access_token, also=PROBE_EVENTS)
        ended = await connect(second, phone.access_token, acknowledge=False, also=PROBE_EVENTS)
        await live.ask("probe:enter")
        await ended.ask("probe:enter")
        await ended.client.emit("probe:enter-late", {"seconds": 0.6})
        asking = asyncio.create_task(live.ask("session-revoke", {"sessionId": phone.session_id}))
        await ended.wait("session-revoked")
        await until_seen(await connect(second, laptop.access_token), phone.session_id, "entered")
        await live.ask("probe:say", {"n": 1})
        assert (await live.wait("probe:said"))["n"] == 1
        await asking
        await ended.until_gone()
        assert ended.all("probe:said") == []


class TestHooks:
    """What the application is told of sockets and sessions."""

    async def test_a_socket_is_told_of_after_its_ready_and_when_it_is_gone(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = probe_nodes
        login = await log_in(first)
        live = await connect(second, login.access_token, also=PROBE_EVENTS)
        await live.wait("probe:welcome")
        assert [name for name, _ in live.heard][:2] == ["ready", "probe:welcome"]
        socket_id = live.ready["socketId"]
        other = await connect(second, login.access_token)
        await live.close()
        # One of its hooks fails the first time.
        await until_seen(other, login.session_id, "disconnected at last here")
        seen = [hook for hook, of in await seen_on(other, login.session_id) if of == socket_id]
        assert seen == ["connected", "disconnected", "disconnected at last here"]

    async def test_that_it_is_gone_is_told_after_the_handler_that_was_at_work_for_it(
        self, probe_nodes: Any, connect: Any, log_in: Any
    ) -> None:
        first, second = probe_nodes
        login = await log_in(first)
        live = await connect(second, login.access_token)
        other = await connect(second, login.access_token)
        await live.client.emit("probe:enter-late", {"seconds": 0.5})
        await live.close()
        await until_seen(other, login.session_id, "disconnected")
        gone = live.ready["socketId"]
        seen = await seen_on(other, login.session_id)
        mine = [hook for hook, socket_id in seen if socket_id == gone and "at last" not in hook]
        assert mine in (["connected", "entered", "disconnected"], ["connected", "disconnected"])
        # A socket that is gone is in no room, whatever a late handler wanted.
        assert "Traceback" not in "\n".join(
            line for line in second.log if gone in line and "fails the first time" not in line
        )

    async def test_a_refused_socket_is_never_told_of(self, probe_nodes: Any, connect: Any, log_in: Any) -> None:
        first, _ = probe_nodes
        login = await log_in(first)
        watching = await connect(first, (await log_in(first)).access_token)
        await login.call("POST", "/logout", {})
        with pytest.raises(Exception, match="session_revoked"):
            await connect(first, login.access_token)
        seen = [hook for hook, _ in await seen_on(watching, login.session_id)]
        assert seen[:2] == ["started", "ended"]
        assert "connected" not in seen

    @pytest.mark.parametrize("how", ["logout", "revoked", "logout_all"])
    async def test_sessions_are_told_of_when_they_begin_and_end(
        self, probe_nodes: Any, connect: Any, log_in: Any, how: Any
    ) -> None:
        first, second = probe_nodes
        laptop = await log_in(first)
        phone = await log_in(second, laptop.data["user"]["email"])
        watching = [await connect(where, (await log_in(where)).access_token) for where in (first, second)]

        async def told() -> list[str]:
            """On whichever node it was, once."""
            return sorted([hook for live in watching for hook, _ in await seen_on(live, phone.session_id)])

        assert await told() == ["started"]
        if how == "logout":
            await phone.call("POST", "/logout", {})
        elif how == "revoked":
            await laptop.call("DELETE", f"/sessions/{phone.session_id}")
        else:
            await laptop.call("POST", "/logout-all", {})
        # On either node one of the hooks fails the first time, and one each time: the others are told once.
        async with asyncio.timeout(30):
            while await told() != ["ended", "ended at last", "started"]:
                await asyncio.sleep(0.05)

    async def test_a_session_that_expires_is_told_of_as_ended(
        self, start_node: Any, connect: Any, log_in: Any
    ) -> None:
        node = start_node(VIGIL_APPLICATION=PROBE, VIGIL_REFRESH_TOKEN_SECONDS="3")
        login = await log_in(node)
        live = await connect(node, login.access_token)
        assert live.ready["accessTokenExpiresAt"] <= login.data["refreshTokenExpiresAt"]
        revoked = await live.wait("session-revoked", timeout=30)
        assert (revoked["reason"], revoked["by"]) == ("expired", {"kind": "system"})
        await live.until_gone()
        watching = await connect(node, (await log_in(node)).access_token)
        await until_seen(watching, login.session_id, "ended")


async def test_a_node_without_an_application_serves_the_rest(start_node: Any, connect: Any, log_in: Any) -> None:
    node = start_node(VIGIL_APPLICATION="")
    live = await connect(node, (await log_in(node)).access_token)
    assert (await live.ask("chat:join"))["code"] == "unknown_event"
    assert (await live.ask("sessions-list"))["ok"] is True
