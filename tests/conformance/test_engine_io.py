"""Engine.IO protocol, version 4 (socketio/socket.io, docs/engine.io-protocol/v4-current.md), from its text.

A test's docstring names the section. All of them hold for the reference implementation, too; what we ask of
ourselves beyond it stands in test_stricter_than_the_reference.py.
"""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from conformance.wire import PATIENTLY, PING, PONG, PROMPTLY, Polling, Refused, Wire
from support.waiting import Stopwatch, eventually

# How late a timer may be on a busy machine.
LATE = 5.0
# How early a timer seems, since the greeting was on its way while it ran.
EARLY = 0.05

MALFORMED = ["abc", "9", "-4hello", ""]


class TestHandshake:
    """Protocol, "Handshake"; Transports, "Query parameters"."""

    async def test_a_polling_client_is_told_the_terms_to_the_millisecond(self, engine: Wire) -> None:
        """The open packet: these keys, these units."""
        reply = await engine.ask(EIO="4", transport="polling")
        assert reply.status == 200
        assert reply.headers["Content-Type"].lower().replace(" ", "") == "text/plain;charset=utf-8"
        assert reply.text[0] == "0"
        terms = json.loads(reply.text[1:])
        assert isinstance(terms.pop("sid"), str)
        assert terms == {
            "upgrades": ["websocket"], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000
        }  # fmt: skip

    async def test_a_websocket_client_is_told_the_same_and_offered_no_upgrade(self, engine: Wire) -> None:
        async with engine.websocket(EIO="4", transport="websocket") as socket:
            opened = await socket.receive()
        assert isinstance(opened, str)
        terms = json.loads(opened[1:])
        assert isinstance(terms.pop("sid"), str)
        assert terms == {"upgrades": [], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}

    async def test_the_terms_of_production_are_exact_too(self, patient_engine: Wire) -> None:
        terms = json.loads((await patient_engine.ask(EIO="4", transport="polling")).text[1:])
        assert (terms["pingInterval"], terms["pingTimeout"]) == (25_000, 20_000)

    async def test_no_two_sessions_have_the_same_id(self, patient_engine: Wire) -> None:
        opened = await asyncio.gather(*(patient_engine.poll_in() for _ in range(20)))
        assert len({polling.sid for polling in opened}) == 20

    @pytest.mark.parametrize("version", [None, "", "abc", "3", "5"])
    async def test_a_missing_or_unknown_version_is_refused(
        self, patient_engine: Wire, version: str | None
    ) -> None:
        """The text: "If a mandatory query parameter is missing, then the server MUST respond with an HTTP 400"."""
        query = {"transport": "polling"} | ({} if version is None else {"EIO": version})
        assert (await patient_engine.ask(**query)).status == 400

    @pytest.mark.parametrize("transport", [None, "", "abc", "Polling"])
    async def test_a_missing_or_unknown_transport_is_refused(
        self, patient_engine: Wire, transport: str | None
    ) -> None:
        query = {"EIO": "4"} | ({} if transport is None else {"transport": transport})
        assert (await patient_engine.ask(**query)).status == 400

    @pytest.mark.parametrize(
        "query",
        [{"transport": "websocket"}, {"EIO": "abc", "transport": "websocket"}, {"EIO": "4"},
         {"EIO": "4", "transport": "abc"}, {"EIO": "4", "transport": "polling"}],
    )  # fmt: skip
    async def test_so_is_a_websocket_with_such_a_query(self, patient_engine: Wire, query: dict[str, str]) -> None:
        """The text: "if a mandatory query parameter is missing … MUST close the WebSocket connection"."""
        with contextlib.suppress(Refused):
            async with patient_engine.websocket(**query) as socket:
                assert await socket.until_closed(PROMPTLY) == []

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    async def test_only_get_opens_a_session(self, patient_engine: Wire, method: str) -> None:
        assert (await patient_engine.ask(method, EIO="4", transport="polling")).status == 400

    async def test_a_websocket_transport_without_a_websocket_is_refused(self, patient_engine: Wire) -> None:
        assert (await patient_engine.ask(EIO="4", transport="websocket")).status == 400

    async def test_an_unknown_session_is_refused_however_it_is_addressed(self, patient_engine: Wire) -> None:
        """The text: "The server MUST return an HTTP 400 response if the session ID is not known"."""
        nobody = Polling(patient_engine, "0123456789abcdef")
        assert (await nobody.poll()).status == 400
        assert (await nobody.post("4hello")).status == 400
        with pytest.raises(Refused):
            async with patient_engine.upgrade(nobody):
                pass


class TestMessagesByPolling:
    """Transports, "Sending and receiving data"; Packet encoding, "HTTP long-polling"."""

    @pytest.mark.parametrize(
        "packets",
        [["4hello"], ["4test1", "4test2", "4test3"], ["4hello", "bAQIDBA=="], ["bAQIDBA==", "4", "bAA=="],
         ["4€ ü 日本 \U0001f980"], ["4" + "x" * 100_000], ["42", "43"]],
    )  # fmt: skip
    async def test_what_is_posted_is_taken_and_comes_back_in_order(
        self, patient_engine: Wire, packets: list[str]
    ) -> None:
        polling = await patient_engine.poll_in()
        posted = await polling.post(*packets)
        assert (posted.status, posted.text) == (200, "ok")
        assert await polling.messages(len(packets)) == packets

    async def test_a_poll_waits_until_there_is_something(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        poll = await polling.hang()
        assert (await polling.post("4hello")).text == "ok"
        reply = await poll.answer(PROMPTLY)
        assert (reply.status, reply.text) == (200, "4hello")

    async def test_a_post_of_more_than_max_payload_is_refused(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        assert (await polling.post("4" + "x" * 1_000_001)).status in (0, 413)

    async def test_a_post_of_just_max_payload_is_taken(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        packet = "4" + "x" * 999_999
        assert (await polling.post(packet)).text == "ok"
        assert await polling.message() == packet

    @pytest.mark.parametrize("payload", [*MALFORMED, "4fine\x1eabc", "2", "2probe"])
    async def test_a_malformed_payload_closes_the_session_at_once(
        self, patient_engine: Wire, payload: str
    ) -> None:
        polling = await patient_engine.poll_in()
        assert (await polling.post(payload)).status in (0, 200, 400)
        said = await polling.until_gone(PROMPTLY)
        assert set(said) <= {"4fine", "1"}

    async def test_it_is_gone_for_the_very_next_request(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        await polling.post("abc")
        assert (await polling.poll()).status == 400

    async def test_two_polls_at_once_close_the_session(self, patient_engine: Wire) -> None:
        """The text: "a client MUST NOT have more than one active GET request. Should it happen …"."""
        polling = await patient_engine.poll_in()
        first = await polling.hang()
        assert (await polling.poll()).status == 400
        reply = await first.answer(PROMPTLY)
        assert (reply.status, reply.text) == (200, "1")
        assert (await polling.poll()).status == 400

    async def test_two_posts_at_once_close_the_session(self, patient_engine: Wire) -> None:
        """The text: "a client MUST NOT have more than one active POST request. Should it happen …"."""
        polling = await patient_engine.poll_in()
        first = await polling.post_half()
        assert (await polling.post("4hello")).status == 400
        assert "4hello" not in await polling.until_gone(PROMPTLY)
        first.abandon()

    async def test_a_poll_that_is_hung_up_closes_the_session(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        (await polling.hang()).abandon()

        async def is_gone() -> bool:
            return (await polling.post(PONG)).status == 400

        await eventually(is_gone, "the session is closed", timeout=PATIENTLY)

    async def test_it_is_not_polled_again(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        (await polling.hang()).abandon()
        await patient_engine.let_it_work()
        assert (await polling.poll()).status == 400

    async def test_nor_is_anything_sent_into_it_and_lost(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        (await polling.hang()).abandon()
        await patient_engine.let_it_work()
        assert (await polling.post("4hello")).status == 400


class TestMessagesByWebSocket:
    """Transports, "WebSocket"; Packet encoding, "WebSocket"."""

    @pytest.mark.parametrize("frame", ["4hello", "4", "4€ ü 日本 \U0001f980", "4" + "x" * 999_999, "4\x1e4"])
    async def test_text_comes_back(self, patient_engine: Wire, frame: str) -> None:
        async with patient_engine.connection() as socket:
            await socket.send(frame)
            assert await socket.receive() == frame

    @pytest.mark.parametrize("frame", [b"\x01\x02\x03\x04", b"4hello", bytes(1_000_000)])
    async def test_binary_comes_back_as_it_is(self, patient_engine: Wire, frame: bytes) -> None:
        async with patient_engine.connection() as socket:
            await socket.send(frame)
            assert await socket.receive() == frame

    async def test_a_thousand_messages_keep_their_order(self, patient_engine: Wire) -> None:
        sent: list[str | bytes] = [f"4{n}" if n % 3 else n.to_bytes(2, "big") for n in range(1000)]
        async with patient_engine.connection() as socket:
            sending = asyncio.create_task(socket.send(*sent))
            assert await socket.messages(len(sent)) == sent
            await sending

    async def test_a_message_of_more_than_max_payload_closes_the_connection(self, patient_engine: Wire) -> None:
        async with patient_engine.connection() as socket:
            await socket.send("4" + "x" * 1_000_001)
            assert await socket.until_closed(PROMPTLY) == []

    @pytest.mark.parametrize("frame", [*MALFORMED, PING, "2probe"])
    async def test_a_malformed_frame_closes_the_connection_at_once(self, patient_engine: Wire, frame: str) -> None:
        async with patient_engine.connection() as socket:
            await socket.send(frame)
            assert await socket.until_closed(PROMPTLY) == []


class TestHeartbeat:
    """Protocol, "Heartbeat"."""

    async def test_a_websocket_client_is_pinged_at_the_interval_announced(self, steady_engine: Wire) -> None:
        async with steady_engine.connection() as socket:
            for _ in range(3):
                watch = Stopwatch()
                assert await socket.receive() == PING
                assert steady_engine.interval - EARLY <= watch.seconds <= steady_engine.interval + LATE
                await socket.send(PONG)

    async def test_so_is_a_polling_client(self, steady_engine: Wire) -> None:
        polling = await steady_engine.poll_in()
        for _ in range(3):
            watch = Stopwatch()
            assert (await polling.poll()).text == PING
            assert steady_engine.interval - EARLY <= watch.seconds <= steady_engine.interval + LATE
            assert (await polling.post(PONG)).text == "ok"

    async def test_a_websocket_that_does_not_answer_is_closed_when_its_time_is_over(self, engine: Wire) -> None:
        async with engine.connection() as socket:
            watch = Stopwatch()
            assert await socket.until_closed(PATIENTLY) == [PING]
        whole = engine.interval + engine.timeout
        assert whole - EARLY <= watch.seconds <= whole + LATE

    async def test_a_polling_client_that_does_not_answer_is_closed_when_its_time_is_over(
        self, engine: Wire
    ) -> None:
        polling = await engine.poll_in()
        watch = Stopwatch()
        assert (await polling.poll()).text == PING
        # This one hangs until the end.
        last = await polling.poll()
        whole = engine.interval + engine.timeout
        assert whole - EARLY <= watch.seconds <= whole + LATE
        assert (last.status, last.text) in {(200, "1"), (200, "6"), (400, last.text)}
        assert (await polling.poll()).status == 400

    async def test_a_client_that_never_polled_is_forgotten_just_then(self, engine: Wire) -> None:
        polling = await engine.poll_in()
        await asyncio.sleep(engine.interval + engine.timeout + EARLY)
        assert (await polling.poll()).status == 400

    async def test_talking_does_not_replace_a_pong(self, engine: Wire) -> None:
        async with engine.connection() as socket:

            async def talk() -> None:
                while True:
                    await socket.send("4hello")
                    await asyncio.sleep(0.02)

            talking = asyncio.create_task(talk())
            watch = Stopwatch()
            heard = await socket.until_closed(PATIENTLY)
            talking.cancel()
        assert heard.count(PING) == 1
        assert watch.seconds <= engine.interval + 2 * engine.timeout + LATE


class TestClose:
    """Protocol, packet type `close`."""

    async def test_a_polling_client_can_close_and_its_own_poll_is_released(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        poll = await polling.hang()
        assert (await polling.post("1")).status == 200
        reply = await poll.answer(PROMPTLY)
        assert (reply.status, reply.text) == (200, "6")
        assert (await polling.poll()).status == 400
        assert (await polling.post("4hello")).status == 400

    async def test_what_was_sent_before_it_is_still_taken(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        poll = await polling.hang()
        assert (await polling.post("4hello", "1")).status == 200
        assert (await poll.answer(PROMPTLY)).packets[0] == "4hello"
        await polling.until_gone(PROMPTLY)

    async def test_a_websocket_client_can_close(self, patient_engine: Wire) -> None:
        async with patient_engine.connection() as socket:
            await socket.send("1")
            await socket.until_closed(PROMPTLY)

    async def test_a_websocket_that_ends_ends_the_session(self, patient_engine: Wire) -> None:
        async with patient_engine.connection() as socket:
            await socket.close()
            again = Polling(patient_engine, socket.sid)

            async def is_unknown() -> bool:
                try:
                    async with patient_engine.upgrade(again):
                        return False
                except Refused:
                    return True

            await eventually(is_unknown, "the session is closed", timeout=PATIENTLY)


class TestUpgrade:
    """Protocol, "Upgrade"."""

    async def test_a_polling_client_changes_over_to_websocket(self, patient_engine: Wire) -> None:
        """The text: "send a `noop` packet to any pending `GET` request … respond with a `pong` packet"."""
        polling = await patient_engine.poll_in()
        poll = await polling.hang()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            assert (await poll.answer(PROMPTLY)).text in ("6", "2")
            await socket.send("5", "4hello")
            assert await socket.message() == "4hello"

    async def test_the_poll_that_hangs_is_released_by_the_probe(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        poll = await polling.hang()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            reply = await poll.answer(PROMPTLY)
            assert (reply.status, reply.text) == (200, "6")

    async def test_so_is_one_that_comes_after_the_probe(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            async with asyncio.timeout(PROMPTLY):
                reply = await polling.poll()
            assert (reply.status, reply.text) == (200, "6")

    async def test_the_probe_alone_changes_nothing(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            assert (await polling.post("4hello")).text == "ok"
            said: list[str] = []
            while "4hello" not in said:
                said += (await polling.poll()).packets
            assert set(said) <= {"4hello", "6"}

    async def test_no_noop_strays_onto_the_websocket(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        poll = await polling.hang()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            await poll.answer(PROMPTLY)
            await socket.send("5")
            for n in range(5):
                await socket.send(f"4{n}")
                assert await socket.receive() == f"4{n}"

    @pytest.mark.parametrize("with_poll", [True, False])
    async def test_nothing_is_lost_doubled_or_reordered_on_the_way(
        self, patient_engine: Wire, with_poll: bool
    ) -> None:
        polling = await patient_engine.poll_in()
        heard: list[str | bytes | None] = []
        await polling.post("41", "42", "bAw==")
        async with patient_engine.upgrade(polling) as socket:
            await polling.post("44")
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            if with_poll:
                heard += (await polling.poll()).packets
            await polling.post("45", "46", "bBw==")
            await socket.send("5", "48", b"\x09", "410")
            while "410" not in heard:
                heard.append(await socket.receive())
        texts: dict[Any, str] = {b"\x03": "bAw==", b"\x07": "bBw==", b"\x09": "9"}
        as_text = [texts.get(each, each) for each in heard]
        assert [each for each in as_text if each != "6"] == [
            "41", "42", "bAw==", "44", "45", "46", "bBw==", "48", "9", "410"
        ]  # fmt: skip

    async def test_what_waits_for_the_peer_goes_out_by_websocket_binary_as_binary(
        self, patient_engine: Wire
    ) -> None:
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            await polling.post("4hello", "bAQIDBA==")
            await socket.send("5")
            assert await socket.messages(2) == ["4hello", b"\x01\x02\x03\x04"]

    async def test_heartbeats_go_on_by_websocket(self, steady_engine: Wire) -> None:
        polling = await steady_engine.poll_in()
        async with steady_engine.upgrade(polling) as socket:
            await socket.send("2probe", "5")
            assert await socket.receive() == "3probe"
            for _ in range(3):
                assert await socket.receive() == PING
                await socket.send(PONG)

    async def test_and_so_does_the_ping_timeout(self, engine: Wire) -> None:
        polling = await engine.poll_in()
        async with engine.upgrade(polling) as socket:
            await socket.send("2probe", "5")
            assert await socket.until_closed(engine.interval + engine.timeout + LATE) == ["3probe", PING]

    async def test_http_requests_are_refused_from_then_on(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("2probe", "5", "4hello")
            assert await socket.messages(2) == ["3probe", "4hello"]
            assert (await polling.poll()).status == 400
            assert (await polling.post("4stranger")).status == 400
            await socket.send("4still here")
            assert await socket.receive() == "4still here"

    @pytest.mark.parametrize("upgraded", [True, False])
    async def test_a_second_websocket_is_closed_and_the_first_goes_on(
        self, patient_engine: Wire, upgraded: bool
    ) -> None:
        """The text: "A client MUST NOT open more than one WebSocket connection per session … MUST close"."""
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as first:
            await first.send("2probe")
            assert await first.receive() == "3probe"
            if upgraded:
                await first.send("5", "4hello")
                assert await first.receive() == "4hello"
            async with patient_engine.upgrade(polling) as second:
                await second.send("2probe", "5")
                assert await second.until_closed(PROMPTLY) == []
            await first.send(*([] if upgraded else ["5"]), "4still here")
            assert await first.receive() == "4still here"

    @pytest.mark.parametrize("wrong", [["4hello"], ["abc"], ["2wrong"], ["2probe", "4hello"], [b"\x00"]])
    async def test_a_wrong_probe_closes_the_websocket_and_polling_goes_on(
        self, patient_engine: Wire, wrong: list[str | bytes]
    ) -> None:
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send(*wrong)
            assert await socket.until_closed(PROMPTLY) == ["3probe"] * (len(wrong) - 1)
        assert (await polling.post("4still here")).text == "ok"
        assert await polling.message() == "4still here"

    @pytest.mark.parametrize("probed", [True, False])
    async def test_after_an_upgrade_that_was_given_up_polling_goes_on_and_may_try_again(
        self, patient_engine: Wire, probed: bool
    ) -> None:
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as socket:
            if probed:
                await socket.send("2probe")
                assert await socket.receive() == "3probe"
            await socket.close()
        await polling.post("4still here")
        said: list[str] = []
        while "4still here" not in said:
            said += (await polling.poll()).packets
        assert set(said) <= {"4still here", "6"}
        await eventually(lambda: self.upgrades(patient_engine, polling), "a second try works", timeout=PATIENTLY)

    @staticmethod
    async def upgrades(wire: Wire, polling: Polling) -> bool:
        async with wire.upgrade(polling) as socket:
            await socket.send("2probe", "5", "4hello")
            return await socket.messages(2) == ["3probe", "4hello"]

    async def test_a_session_that_is_closed_meanwhile_takes_its_websocket_along(
        self, patient_engine: Wire
    ) -> None:
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            await polling.post("1")
            await socket.until_closed(PROMPTLY)


class TestOtherOrigins:
    """CORS, for pages of any origin; no section of the protocol, but no browser would get in otherwise."""

    ORIGIN = "http://elsewhere.example"

    def allows(self, headers: Any) -> bool:
        return headers["Access-Control-Allow-Origin"] in ("*", self.ORIGIN)

    async def test_a_preflight_is_answered(self, patient_engine: Wire) -> None:
        reply = await patient_engine.ask(
            "OPTIONS",
            headers={
                "Origin": self.ORIGIN,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            },
            EIO="4",
            transport="polling",
        )
        assert reply.status in (200, 204)
        assert self.allows(reply.headers)
        assert "POST" in reply.headers["Access-Control-Allow-Methods"]
        assert "content-type" in reply.headers["Access-Control-Allow-Headers"].lower()

    async def test_so_is_every_request(self, patient_engine: Wire) -> None:
        polling = await patient_engine.poll_in()
        for method, body, query in (
            ("GET", None, {"EIO": "4", "transport": "polling"}),
            ("POST", "4hello", polling.query),
            ("GET", None, polling.query),
            ("GET", None, {"EIO": "4", "transport": "none"}),
        ):
            reply = await patient_engine.ask(method, body, {"Origin": self.ORIGIN}, **query)
            assert self.allows(reply.headers), (method, query)
