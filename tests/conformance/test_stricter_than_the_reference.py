"""Where the protocol says MUST, and the reference implementation is lenient or waits for its ping timeout."""

import contextlib

import pytest
from conformance.socket_io import connected, events, post_connect
from conformance.wire import PROMPTLY, Polling, Refused, Wire


class TestEngineIO:
    """Engine.IO protocol, version 4."""

    async def test_a_close_packet_by_websocket_closes_at_once(self, patient_engine: Wire) -> None:
        """Protocol, packet type `close`."""
        async with patient_engine.connection() as socket:
            await socket.send("1")
            assert await socket.until_closed(PROMPTLY) == []

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
    async def test_other_methods_are_refused_with_400_on_an_open_session_too(
        self, patient_engine: Wire, method: str
    ) -> None:
        """Transports, "HTTP long-polling"."""
        polling = await patient_engine.poll_in()
        assert (await patient_engine.ask(method, **polling.query)).status == 400
        assert (await polling.post("4still here")).text == "ok"
        assert await polling.message() == "4still here"

    @pytest.mark.parametrize("payload", ["abc", "", "b!!!!", "bAQ", "4fine\x1ebAQ", "0", "5", "6", "2", "\x1e4"])
    async def test_a_malformed_post_is_answered_with_400_not_with_ok(
        self, patient_engine: Wire, payload: str
    ) -> None:
        """Packet encoding, "HTTP long-polling": base64 is base64; clients send neither `open` nor `noop`."""
        polling = await patient_engine.poll_in()
        assert (await polling.post(payload)).status == 400
        assert (await polling.poll()).status == 400

    async def test_bytes_that_are_no_utf_8_are_malformed(self, patient_engine: Wire) -> None:
        """Packet encoding: "The character encoding is UTF-8"."""
        polling = await patient_engine.poll_in()
        headers = {"Content-Type": "text/plain;charset=UTF-8"}
        assert (await patient_engine.ask("POST", b"4\xff\xfe", headers, **polling.query)).status == 400
        assert (await polling.poll()).status == 400

    @pytest.mark.parametrize("frame", ["0", "5", "6", "2", "bAQIDBA=="])
    async def test_packets_that_are_not_for_clients_to_send_close_the_websocket(
        self, patient_engine: Wire, frame: str
    ) -> None:
        """Protocol, packet types; Packet encoding, "WebSocket": binary is sent as is."""
        async with patient_engine.connection() as socket:
            await socket.send(frame)
            assert await socket.until_closed(PROMPTLY) == []

    async def test_no_answer_to_a_poll_holds_more_packets_than_any_client_takes_in_one(
        self, patient_engine: Wire
    ) -> None:
        """python-engineio's client gives the connection up at a seventeenth."""
        polling = await patient_engine.poll_in()
        said = [f"4{number}" for number in range(200)]
        assert (await polling.post(*said)).text == "ok"
        heard: list[str] = []
        while len(heard) < len(said):
            packets = (await polling.poll()).packets
            assert len(packets) <= 16
            heard += [packet for packet in packets if packet != "2"]
        assert heard == said

    async def test_an_upgrade_without_a_probe_is_none(self, patient_engine: Wire) -> None:
        """Protocol, "Upgrade": the client MUST send the probe."""
        polling = await patient_engine.poll_in()
        async with patient_engine.upgrade(polling) as socket:
            await socket.send("5")
            assert await socket.until_closed(PROMPTLY) == []
        assert (await polling.post("4still here")).text == "ok"
        assert await polling.message() == "4still here"

    async def test_a_session_that_began_by_websocket_takes_no_second_one(self, patient_engine: Wire) -> None:
        """Transports, "WebSocket": "A client MUST NOT open more than one WebSocket connection per session"."""
        async with patient_engine.connection() as first:
            with contextlib.suppress(Refused):
                async with patient_engine.upgrade(Polling(patient_engine, first.sid)) as second:
                    assert await second.until_closed(PROMPTLY) == []
            await first.send("4still here")
            assert await first.receive() == "4still here"

    async def test_a_session_that_began_by_websocket_is_not_polled(self, patient_engine: Wire) -> None:
        async with patient_engine.connection() as socket:
            stranger = Polling(patient_engine, socket.sid)
            assert (await stranger.poll()).status == 400
            assert (await stranger.post("4stranger")).status == 400
            await socket.send("4still here")
            assert await socket.receive() == "4still here"


class TestSocketIO:
    """Socket.IO protocol, version 5."""

    @pytest.mark.parametrize(
        "packet", ["42", "42/custom,", "421", "43", "431", '43["no id"]', "42[1]", "42[true]"]
    )
    async def test_an_event_or_an_ack_without_a_payload_closes_the_connection(
        self, patient: Wire, packet: str
    ) -> None:
        """Exchange protocol: "The payload is mandatory and MUST be a non-empty array"."""
        async with connected(patient, "/", "/custom") as socket:
            await socket.send(packet)
            assert await socket.until_closed(PROMPTLY) == []

    @pytest.mark.parametrize("packet", ["4abc", "42{}", '42["connect"]', "49"])
    async def test_a_malformed_packet_by_polling_is_answered_with_400(self, patient: Wire, packet: str) -> None:
        polling = await post_connect(patient)
        assert (await polling.post(packet)).status == 400
        assert (await polling.poll()).status == 400

    async def test_nothing_behind_a_malformed_packet_is_acted_on(self, patient: Wire) -> None:
        async with connected(patient, "/") as socket:
            await socket.send("42{}", '421["message-with-ack"]')
            assert await socket.until_closed(PROMPTLY) == []

    async def test_a_client_that_is_in_no_namespace_any_more_is_closed(self, patient: Wire) -> None:
        """Exchange protocol, "Disconnection": the connection is kept for a client in another namespace."""
        async with connected(patient, "/") as socket:
            await socket.send("41")
            assert await events(socket) == []

    async def test_what_comes_right_behind_a_connect_is_taken_after_it(self, patient: Wire) -> None:
        async with patient.connection() as socket:
            await socket.send("40", '421["message-with-ack"]', "41", "40", '422["message-with-ack"]')
            heard = [frame for frame in await socket.messages(6) if '{"sid"' not in str(frame)]
            assert heard == ['42["auth",{}]', "431[]", '42["auth",{}]', "432[]"]

    async def test_so_it_is_in_one_post(self, patient: Wire) -> None:
        polling = await patient.poll_in()
        assert (await polling.post("40", '421["message-with-ack"]', "41", "40")).text == "ok"
        heard = [text for text in await polling.messages(5) if '{"sid"' not in text]
        assert heard == ['42["auth",{}]', "431[]", '42["auth",{}]']

    @pytest.mark.parametrize("packet", ["401", '401{"token":"123"}'])
    async def test_a_connect_has_no_ack_id(self, patient: Wire, packet: str) -> None:
        """Packet encoding: an id asks for the acknowledgement of an event."""
        async with connected(patient, "/custom") as socket:
            await socket.send(packet)
            assert await socket.until_closed(PROMPTLY) == []
