"""Socket.IO protocol, version 5 (socketio/socket.io, docs/socket.io-protocol/v5-current.md), from its text.

A class's or test's docstring names the section. All of them hold for the reference implementation, too; what we
ask of ourselves beyond it stands in test_stricter_than_the_reference.py.
"""

import asyncio
import json
from typing import Any

import pytest
from conformance.socket_io import connected, events, greeted, packet, post_connect
from conformance.wire import PATIENTLY, PING, PONG, PROMPTLY, Wire
from support.waiting import Stopwatch

NAMESPACES = ("/", "/custom")
CONNECT_SECONDS = 1.0
PLACEHOLDERS = [{"_placeholder": True, "num": 0}, {"_placeholder": True, "num": 1}]
ONE = '{"_placeholder":true,"num":0}'

# What a client in `/` (and not in `/custom`) may send as little as in the middle of nothing.
MALFORMED: dict[str, list[str | bytes]] = {
    "a message of nothing": ["4"],
    "no packet type": ["4abc"],
    "an unknown packet type": ["47"],
    "another unknown packet type": ['49["message"]'],
    "an event that is an object": ["42{}"],
    "an event of nothing": ["42[]"],
    "an event without a name": ["42[null]"],
    "an event named by an object": ["42[{}]"],
    "an event that is a string": ['42"message"'],
    "an ack id that is no number": ['42abc["message-with-ack",1,"2",{"3":[false]}]'],
    "a negative ack id": ['42-1["message-with-ack"]'],
    "half of its JSON": ['42["message"'],
    "something behind its JSON": ['42["message"]]'],
    "NaN": ['42["message",NaN]'],
    "a reserved event": ['42["connect"]'],
    "another reserved event": ['42["disconnect","transport close"]'],
    "a third reserved event": ['42["connect_error",{}]'],
    "an ack that is an object": ["431{}"],
    "a refusal by the client": ['44{"message":"no"}'],
    "a disconnect with a payload": ['41{"reason":"bored"}'],
    "a second connect": ["40"],
    "an event for a namespace that it is not in": ['42/custom,["message"]'],
    "an event for an unknown namespace": ['42/unknown,["message"]'],
    "an ack for a namespace that it is not in": ["43/custom,1[]"],
    "leaving a namespace that it is not in": ["41/custom,"],
    "attachments without their number": ['45["message",' + ONE + "]"],
    "no attachments": ['450-["message"]'],
    "too many attachments": ['4511-["message",' + ONE + "]"],
    "far too many attachments": ['45999999999-["message",' + ONE + "]"],
    "a number of attachments that is none": ['45x-["message",' + ONE + "]"],
    "a placeholder of no attachment": ['451-["message",{"_placeholder":true,"num":5}]', b"\x01"],
    "a placeholder that is no number": ['451-["message",{"_placeholder":true,"num":"0"}]', b"\x01"],
    "binary that nobody announced": [b"\x01\x02\x03"],
    "text where an attachment is due": ['451-["message",' + ONE + "]", '42["message"]'],
    "too few attachments, then text": ['452-["message",' + ONE + "]", b"\x01", '42["message"]'],
}


class TestConnecting:
    """Exchange protocol, "Connection to a namespace"."""

    @pytest.mark.parametrize("namespace", NAMESPACES)
    @pytest.mark.parametrize("auth", [None, {}, {"token": "123"}, {"€": [1, {"a": None}]}])
    async def test_a_client_connects_and_is_told_what_it_brought(
        self, steady: Wire, namespace: str, auth: Any
    ) -> None:
        async with steady.connection() as socket:
            await greeted(socket, namespace, auth)

    @pytest.mark.parametrize("text", ["40/custom", "40/custom,", "40/custom,{}"])
    async def test_the_comma_may_be_left_out_where_nothing_follows(self, steady: Wire, text: str) -> None:
        """Packet encoding, "Format"."""
        async with steady.connection() as socket:
            await socket.send(text)
            answer, activation = await socket.messages(2)
            assert str(answer).startswith('40/custom,{"sid":"')
            assert activation == '42/custom,["auth",{}]'

    async def test_a_client_may_be_in_several_namespaces_each_with_an_id_of_its_own(self, patient: Wire) -> None:
        """The text: "A client MAY be connected to multiple namespaces at the same time"."""
        async with patient.connection() as socket:
            ids = {socket.sid, *[await greeted(socket, namespace) for namespace in NAMESPACES]}
            assert len(ids) == 3
            for namespace in NAMESPACES:
                await socket.send(packet(2, namespace, ["message", namespace]))
                assert await socket.message() == packet(2, namespace, ["message-back", namespace])

    async def test_an_unknown_namespace_is_refused(self, steady: Wire) -> None:
        """The text: "a CONNECT_ERROR packet if the connection is not allowed"."""
        async with steady.connection() as socket:
            await socket.send("40/random")
            assert await socket.message() == '44/random,{"message":"Invalid namespace"}'

    async def test_and_the_client_may_go_on_with_another(self, patient: Wire) -> None:
        async with patient.connection() as socket:
            await socket.send('40/random,{"token":"123"}')
            assert await socket.message() == '44/random,{"message":"Invalid namespace"}'
            await greeted(socket, "/")
            await socket.send("40/random,")
            assert await socket.message() == '44/random,{"message":"Invalid namespace"}'
            await socket.send('421["message-with-ack"]')
            assert await socket.message() == "431[]"

    @pytest.mark.parametrize(
        "first", ['42["message"]', "41", "431[]", "4abc", "47", '451-["message",' + ONE + "]"]
    )
    async def test_whoever_begins_with_anything_else_is_closed(self, patient: Wire, first: str) -> None:
        """The text: "If the server does not receive a CONNECT packet first, then it MUST close the connection"."""
        async with patient.connection() as socket:
            await socket.send(first, *([b"\x01"] if first[1] == "5" else []))
            assert await socket.until_closed(PROMPTLY) == []

    async def test_whoever_says_nothing_is_closed_after_a_second(self, patient: Wire) -> None:
        async with patient.connection() as socket:
            watch = Stopwatch()
            await socket.until_closed(PATIENTLY)
        assert watch.seconds >= CONNECT_SECONDS - 0.1

    async def test_answering_pings_is_no_way_around_that(self, steady: Wire) -> None:
        async with steady.connection() as socket:
            watch = Stopwatch()
            assert await events(socket) == []
        assert watch.seconds <= CONNECT_SECONDS + PROMPTLY

    async def test_nor_is_asking_for_an_unknown_namespace(self, patient: Wire) -> None:
        async with patient.connection() as socket:
            await socket.send("40/random,")
            assert await events(socket) == ['44/random,{"message":"Invalid namespace"}']

    async def test_by_polling_it_is_the_same(self, patient: Wire) -> None:
        polling = await patient.poll_in()
        assert set(await polling.until_gone()) <= {"1", "6"}

    async def test_whoever_is_connected_stays(self, patient: Wire) -> None:
        async with connected(patient, "/") as socket:
            await asyncio.sleep(CONNECT_SECONDS + 0.3)
            await socket.send('42["message","still here"]')
            assert await socket.receive() == '42["message-back","still here"]'

    async def test_a_handshake_that_is_no_object_does_not_get_in(self, patient: Wire) -> None:
        for payload in ('"token"', "[1]", "true", "{"):
            async with patient.connection() as socket:
                await socket.send("40" + payload)
                heard = await events(socket)
                assert all(str(each).startswith("44{") for each in heard), heard


class TestEvents:
    """Exchange protocol, "Sending and receiving data"; Packet encoding, "Examples"."""

    @pytest.mark.parametrize("namespace", NAMESPACES)
    @pytest.mark.parametrize(
        "arguments",
        [[], [1, "2", {"3": [True]}], [None, False, -1.5, [], {}], ["€ \U0001f980 \" \\ \u0000"], [[[[["deep"]]]]],
         ["x" * 100_000], [2**53 - 1], [",", "/custom,", "1[", "]"]],
    )  # fmt: skip
    async def test_an_event_comes_back_with_its_arguments(
        self, patient: Wire, namespace: str, arguments: list[Any]
    ) -> None:
        async with connected(patient, namespace) as socket:
            await socket.send(packet(2, namespace, ["message", *arguments]))
            back = await socket.message()
        head = packet(2, namespace)
        assert isinstance(back, str)
        assert back.startswith(head)
        assert json.loads(back[len(head) :]) == ["message-back", *arguments]

    @pytest.mark.parametrize("namespace", NAMESPACES)
    @pytest.mark.parametrize("number", [0, 1, 456, 2**31])
    async def test_an_event_with_an_id_is_acked_with_that_id(
        self, patient: Wire, namespace: str, number: int
    ) -> None:
        """The text: "The receiver MUST respond with an ACK packet with the same event ID"."""
        async with connected(patient, namespace) as socket:
            await socket.send(packet(2, namespace, ["message-with-ack", 1, "2", {"3": [False]}], number))
            assert await socket.message() == packet(3, namespace, [1, "2", {"3": [False]}], number)

    async def test_an_ack_may_be_empty(self, patient: Wire) -> None:
        """The text: "The payload is mandatory and MUST be an array (possibly empty)"."""
        async with connected(patient, "/") as socket:
            await socket.send('4212["message-with-ack"]')
            assert await socket.message() == "4312[]"

    async def test_events_keep_their_order(self, patient: Wire) -> None:
        sent = [packet(2, data=["message-with-ack", n], number=n) for n in range(300)]
        async with connected(patient, "/") as socket:
            await socket.send(*sent)
            assert await socket.messages(300) == [packet(3, data=[n], number=n) for n in range(300)]

    async def test_an_event_that_nobody_takes_does_no_harm(self, patient: Wire) -> None:
        async with connected(patient, "/") as socket:
            await socket.send('42["nobody","takes this"]', '42[""]', '421["message-with-ack"]')
            assert await socket.message() == "431[]"

    async def test_an_ack_that_nobody_asked_for_does_no_harm(self, patient: Wire) -> None:
        async with connected(patient, "/") as socket:
            await socket.send("43999[]", '430["what"]', '421["message-with-ack"]')
            assert await socket.message() == "431[]"

    async def test_a_client_of_one_namespace_hears_nothing_of_another(self, patient: Wire) -> None:
        async with connected(patient, "/") as one, connected(patient, "/custom") as other:
            await one.send('42["message","mine"]')
            await other.send('42/custom,["message","mine"]')
            assert await one.receive() == '42["message-back","mine"]'
            assert await other.receive() == '42/custom,["message-back","mine"]'


class TestBinary:
    """Exchange protocol, with binary data; Packet encoding, "Format": attachments follow."""

    @pytest.mark.parametrize("namespace", NAMESPACES)
    async def test_an_event_with_attachments_comes_back_with_them(self, patient: Wire, namespace: str) -> None:
        place = "" if namespace == "/" else namespace + ","
        async with connected(patient, namespace) as socket:
            await socket.send(
                f"452-{place}" + packet(2, "/", ["message", *PLACEHOLDERS])[2:], b"\1\2\3", b"\4\5\6"
            )
            text, *attachments = await socket.messages(3)
        back = packet(2, "/", ["message-back", *PLACEHOLDERS])[2:]
        assert (text, attachments) == (f"452-{place}{back}", [b"\1\2\3", b"\4\5\6"])

    @pytest.mark.parametrize("namespace", NAMESPACES)
    async def test_an_ack_can_carry_attachments_too(self, patient: Wire, namespace: str) -> None:
        place = "" if namespace == "/" else namespace + ","
        async with connected(patient, namespace) as socket:
            event = packet(2, "/", ["message-with-ack", *PLACEHOLDERS])[2:]
            await socket.send(f"452-{place}789{event}", b"\1\2\3", b"\4\5\6")
            text, *attachments = await socket.messages(3)
        ack = packet(2, "/", PLACEHOLDERS)[2:]
        assert (text, attachments) == (f"462-{place}789{ack}", [b"\1\2\3", b"\4\5\6"])

    async def test_a_placeholder_stands_wherever_its_attachment_belongs(self, patient: Wire) -> None:
        arguments = [{"a": [1, PLACEHOLDERS[1]]}, "text", PLACEHOLDERS[0]]
        event = packet(2, "/", ["message-with-ack", *arguments])[2:]
        async with connected(patient, "/") as socket:
            await socket.send(f"452-7{event}", b"first", b"second")
            text, *attachments = await socket.messages(3)
        assert isinstance(text, str)
        # The sender numbers its attachments as it likes; what counts is which bytes stand where.
        answer = json.loads(text.removeprefix("462-7"))
        assert attachments[answer[0]["a"][1]["num"]] == b"second"
        assert attachments[answer[2]["num"]] == b"first"

    async def test_an_attachment_may_be_empty_and_there_may_be_ten(self, patient: Wire) -> None:
        places = [{"_placeholder": True, "num": n} for n in range(10)]
        sent = [bytes(n) for n in range(10)]
        async with connected(patient, "/") as socket:
            await socket.send("4510-" + packet(2, "/", ["message", *places])[2:], *sent)
            text, *attachments = await socket.messages(11)
        assert str(text).startswith('4510-["message-back",')
        assert attachments == sent

    async def test_text_and_binary_events_keep_their_order(self, patient: Wire) -> None:
        async with connected(patient, "/") as socket:
            await socket.send('421["message-with-ack",1]', f'451-2["message-with-ack",{ONE}]', b"\2")
            await socket.send('423["message-with-ack",3]')
            assert await socket.messages(4) == ["431[1]", f"461-2[{ONE}]", b"\2", "433[3]"]

    async def test_a_ping_between_text_and_attachment_does_no_harm(self, steady: Wire) -> None:
        async with connected(steady, "/") as socket:
            await socket.send(f'451-2["message-with-ack",{ONE}]')
            assert await socket.receive() == PING
            await socket.send(PONG, b"\2")
            assert await socket.messages(2) == [f"461-2[{ONE}]", b"\2"]


class TestDisconnecting:
    """Exchange protocol, "Disconnection from a namespace"."""

    async def test_nothing_answers_and_the_connection_stays(self, steady: Wire) -> None:
        """The text: "No response is expected from the other side"."""
        async with connected(steady, "/") as socket:
            await socket.send("41")
            assert await socket.receive() == PING

    @pytest.mark.parametrize("leave", ["41/custom", "41/custom,"])
    async def test_the_other_namespaces_go_on(self, patient: Wire, leave: str) -> None:
        async with connected(patient, "/", "/custom") as socket:
            await socket.send(leave, '42["message","message to main namespace"]')
            assert await socket.receive() == '42["message-back","message to main namespace"]'

    async def test_the_one_that_was_left_does_not(self, patient: Wire) -> None:
        async with connected(patient, "/", "/custom") as socket:
            await socket.send("41/custom,", '421["message-with-ack"]')
            assert await socket.receive() == "431[]"
            await socket.send('42/custom,["message"]')
            assert await socket.until_closed(PROMPTLY) == []

    async def test_a_client_may_come_back_and_gets_another_id(self, patient: Wire) -> None:
        async with patient.connection() as socket:
            await greeted(socket, "/custom")
            first = await greeted(socket, "/")
            await socket.send("41", '42/custom,1["message-with-ack"]')
            assert await socket.receive() == "43/custom,1[]"
            assert await greeted(socket, "/") != first
            await socket.send('42["message","back"]')
            assert await socket.receive() == '42["message-back","back"]'


class TestMalformedPackets:
    """What makes no sense ends the connection at once: at the pings of production, so no timeout does it."""

    @pytest.mark.parametrize("what", MALFORMED)
    async def test_closes_a_websocket(self, patient: Wire, what: str) -> None:
        async with connected(patient, "/") as socket:
            await socket.send(*MALFORMED[what])
            assert await socket.until_closed(PROMPTLY) == []

    @pytest.mark.parametrize("what", [what for what, frames in MALFORMED.items() if isinstance(frames[0], str)])
    async def test_closes_a_polling_client(self, patient: Wire, what: str) -> None:
        polling = await post_connect(patient)
        payload = [frame if isinstance(frame, str) else "bAQ==" for frame in MALFORMED[what]]
        assert (await polling.post(*payload)).status in (0, 200, 400)
        assert set(await polling.until_gone(PROMPTLY)) <= {"1", "6"}

    async def test_closes_nobody_else(self, patient: Wire) -> None:
        async with connected(patient, "/") as witness:
            for frames in MALFORMED.values():
                async with connected(patient, "/") as socket:
                    await socket.send(*frames)
                    await socket.until_closed(PROMPTLY)
            await witness.send('421["message-with-ack","fine"]')
            assert await witness.receive() == '431["fine"]'


class TestPolling:
    """Sample session: the same packets in requests and answers."""

    async def test_events_acks_and_attachments_travel_by_polling(self, patient: Wire) -> None:
        polling = await post_connect(patient)
        await polling.post('42["message","hello"]', '427["message-with-ack",1]', f'451-["message",{ONE}]', "bAQID")
        assert await polling.messages(4) == [
            '42["message-back","hello"]',
            "437[1]",
            f'451-["message-back",{ONE}]',
            "bAQID",
        ]

    async def test_a_client_may_connect_to_several_namespaces_in_one_post(self, patient: Wire) -> None:
        polling = await patient.poll_in()
        assert (await polling.post("40", "40/custom,")).text == "ok"
        heard = [text for text in await polling.messages(4) if '{"sid"' not in text]
        assert sorted(heard) == ['42/custom,["auth",{}]', '42["auth",{}]']

    async def test_a_socket_keeps_its_id_and_its_order_through_an_upgrade(self, patient: Wire) -> None:
        """Sample session, request n°6."""
        polling = await post_connect(patient)
        await polling.post('421["message-with-ack"]', f'451-2["message-with-ack",{ONE}]', "bAQID")
        async with patient.upgrade(polling) as socket:
            await socket.send("2probe")
            assert await socket.receive() == "3probe"
            heard: list[str | bytes | None] = [*(await polling.poll()).packets]
            await socket.send("5", '423["message-with-ack"]', "40/custom,")
            while "433[]" not in heard:
                heard.append(await socket.receive())
            assert heard == ["431[]", f"461-2[{ONE}]", "bAQID", "433[]"]
            assert str(await socket.receive()).startswith('40/custom,{"sid":')
            assert await socket.receive() == '42/custom,["auth",{}]'

    async def test_a_client_that_leaves_by_polling_is_gone(self, patient: Wire) -> None:
        polling = await post_connect(patient)
        poll = await polling.hang()
        await polling.post("41", "1")
        assert (await poll.answer(PROMPTLY)).status == 200
        assert (await polling.poll()).status == 400
