"""Whatever a peer sends, it can end only its own connection, and nothing it sends is raised through the node.

tests/hardening/test_malformed.py shows how each of these connections ends.

`Traceback` in a node's log is what gives a surprise away: every other line there is meant.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from support.clients import Login
from support.hostile_frames import CLOSING, PLACEHOLDER
from support.nodes import Node, tracebacks
from support.raw_socket import HANDSHAKE, Polling, RawSocket

# Frames that mean nothing here: the connection goes on.
IGNORED: dict[str, list[str | bytes]] = {
    "a pong that nobody waits for": ["3"],
    "an ack that nobody waits for": ["43999[]"],
    "an ack of number 0": ["430[]"],
    "a binary ack that nobody waits for": [f"461-7[{PLACEHOLDER}]", b"x"],
    "an event without an ack": ['42["nonsense",{"a":1}]'],
}

# Names that mean something to some library, and nothing here.
STRANGE = (
    "Connect",
    "connect ",
    "connection",
    "error",
    "message",
    "upgrade",
    "*",
    "__disconnect_final",
    "__proto__",
    "constructor",
    "ready",
    "session-revoked",
    "draining",
    "probe:connected",
)


# What is posted by polling, and is no payload, or one of packets that make no sense.
POSTED = (
    b"", b"x", b"4x", b"\xff\xfe", b"b", b"bAAAA", b"47", b'42["x"', b"4" + b"9" * 500, b"3\x1e" * 16 + b"3", b"9",
    b"1\x1e9", b"40\x1e40\x1e40", b"1\x1e40{}", b'40{"token":7}', b'd=42["x"]', b"d", b"d=", b"\x1e",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_surprise(shared_nodes: tuple[Node, Node]) -> Iterator[None]:
    """After each test: nothing was raised through, and both nodes live."""
    before = [len(node.log) for node in shared_nodes]
    yield
    for node, seen in zip(shared_nodes, before, strict=True):
        assert node.process.poll() is None
        assert tracebacks(node.log[seen:]) == []


@pytest.fixture
async def raw(node: Node, standing: Login) -> AsyncIterator[RawSocket]:
    """A socket of the account, past its handshake."""
    async with RawSocket.open(node.url) as raw:
        assert (await raw.connect({"token": standing.access_token})).kind == "0"
        yield raw


async def still_serves(node: Node, standing: Login) -> None:
    async with RawSocket.open(node.url) as other:
        assert (await other.connect({"token": standing.access_token})).kind == "0"
        assert (await other.ask("sessions-list", {}))["ok"] is True


@pytest.mark.parametrize("frames", IGNORED.values(), ids=IGNORED.keys())
async def test_what_means_nothing_is_passed_over(raw: RawSocket, frames: Any) -> None:
    for frame in frames:
        await raw.send(frame)
    assert (await raw.ask("sessions-list", {}))["ok"] is True


async def test_the_same_before_the_handshake_is_not_served_either(node: Node, standing: Any) -> None:
    for name, frames in (CLOSING | IGNORED).items():
        async with RawSocket.open(node.url) as stranger:
            for frame in frames:
                await stranger.send(frame)
            await stranger.send("40" + json.dumps({"token": standing.access_token}))
            answer = await stranger.packet()
            # Closed or passed over, or read as a handshake of its own; never an ack or an event.
            assert answer is None or answer.kind in {"0", "4"}, name
    await still_serves(node, standing)


@pytest.mark.parametrize("frame", ['42["sessions-list",{}]', '421["sessions-list",{}]'])
async def test_an_event_before_the_handshake_closes_the_connection_unanswered(node: Node, frame: str) -> None:
    async with RawSocket.open(node.url) as stranger:
        await stranger.send(frame)
        assert await stranger.packet() is None


@pytest.mark.parametrize("name", STRANGE)
async def test_strange_names_reach_no_handler(raw: RawSocket, name: str) -> None:
    cases: list[list[Any]] = [[], [{}], [{"token": "x"}]]
    for arguments in cases:
        ack = await raw.ask(name, *arguments)
        assert (ack["ok"], ack["code"]) == (False, "unknown_event")
    # With forged arguments, as the library would pass them on.
    ack = await raw.ask(name, "socket-id", {"environ": {}}, {"token": "x"})
    assert ack["ok"] is False
    assert ack["code"] in {"unknown_event", "invalid_request"}
    assert (await raw.ask("sessions-list", {}))["ok"] is True


@pytest.mark.parametrize("event", ["sessions-list", "reauthenticate", "refresh", "chat:send", "nonsense"])
@pytest.mark.parametrize("payload", [None, True, 0, 1.5, "", "text", [], [{}]])
async def test_a_payload_that_is_no_object_is_refused(raw: RawSocket, event: str, payload: Any) -> None:
    ack = await raw.ask(event, payload)
    assert (ack["ok"], ack["code"]) == (False, "invalid_request")


async def test_several_arguments_are_refused(raw: RawSocket) -> None:
    cases: list[list[Any]] = [[{}, {}], [{}, None], [{}] * 50]
    for arguments in cases:
        assert (await raw.ask("sessions-list", *arguments))["code"] == "invalid_request"


async def test_wrong_fields_are_refused_without_repeating_them(raw: RawSocket) -> None:
    for payload in (
        {},
        {"token": None},
        {"token": 7},
        {"token": ["canary"]},
        {"token": {"canary": 1}},
        {"token": ""},
        {"token": "canary", "extra": "canary"},
        {"__proto__": {"canary": True}},
        {"constructor": {"prototype": {"canary": True}}},
        {"token": "a\0b"},
        {"token": "x", "canary" * 20_0: 1},
    ):
        ack = await raw.ask("reauthenticate", payload)
        assert ack.keys() == {"ok", "code", "message"}
        assert (ack["ok"], ack["code"]) == (False, "invalid_request")
        assert "canary" not in ack["message"]


async def test_the_greatest_id_of_an_ack_is_given_back_as_it_came(raw: RawSocket) -> None:
    number = "9" * 16
    await raw.send(f'42{number}["sessions-list",{{}}]')
    assert (await raw.wait_for("3", int(number))).data[0]["ok"] is True


async def test_a_binary_payload_is_not_taken_for_text(raw: RawSocket) -> None:
    await raw.send(f'451-8["reauthenticate",{{"token":{PLACEHOLDER}}}]')
    await raw.send(b"\xff" * 10)
    assert (await raw.wait_for("3", 8)).data[0]["code"] == "invalid_request"
    await raw.send(f'451-9["sessions-list",{PLACEHOLDER}]')
    await raw.send(b"{}")
    assert (await raw.wait_for("3", 9)).data[0]["code"] == "invalid_request"


async def test_an_announced_attachment_that_never_comes_holds_up_only_its_sender(
    raw: RawSocket, node: Node, standing: Any
) -> None:
    await raw.send(f'451-1["chat:send",{PLACEHOLDER}]')
    await still_serves(node, standing)
    # The server's pings go on and the peer's answers are no attachments; the next message is none either.
    await raw.send("3")
    await raw.send('42["sessions-list",{}]')
    await raw.until_closed(timeout=30)


async def test_after_a_goodbye_the_connection_may_shake_hands_again(raw: RawSocket, standing: Any) -> None:
    await raw.send("41")
    assert (await raw.connect({"token": standing.access_token})).kind == "0"
    assert (await raw.ask("sessions-list", {}))["ok"] is True


async def test_a_handshake_to_another_namespace_is_refused(node: Node, standing: Any) -> None:
    token = json.dumps({"token": standing.access_token})
    async with RawSocket.open(node.url) as stranger:
        for namespace in ("/admin", "/..", "/chat?token=x", "//", "/%00"):
            await stranger.send(f"40{namespace},{token}")
            answer = await stranger.packet()
            assert answer is not None
            assert answer.kind == "4"
        # It may still enter where there is something.
        assert (await stranger.connect({"token": standing.access_token})).kind == "0"
        await stranger.send(f"40/admin,{token}")
        await stranger.wait_for("4")
        assert (await stranger.ask("sessions-list", {}))["ok"] is True


class TestSize:
    """A payload may have 64 KiB, counted in bytes and wherever they stand."""

    @pytest.fixture
    async def probing(self, probe_nodes: Any, log_in: Any) -> AsyncIterator[RawSocket]:
        login = await log_in(probe_nodes[0])
        async with RawSocket.open(probe_nodes[0].url) as raw:
            await raw.connect({"token": login.access_token})
            yield raw

    @staticmethod
    def payload(size: int, letter: str = "x") -> str:
        """A JSON object of exactly `size` bytes."""
        room = size - len('{"a":""}')
        text = letter * (room // len(letter.encode()))
        return f'{{"a":"{text}{"x" * (room - len(text.encode()))}"}}'

    @pytest.mark.parametrize("letter", ["x", "é", "🎉"])
    async def test_64_kib_are_served_and_a_byte_more_is_not(self, probing: RawSocket, letter: str) -> None:
        for size, ok in ((65_536, True), (65_537, False), (200_000, False), (900_000, False)):
            await probing.send(f'42{size}["probe:echo",{self.payload(size, letter)}]')
            ack = (await probing.wait_for("3", size)).data[0]
            assert ack["ok"] is ok, size
            if not ok:
                assert ack["code"] == "invalid_request"

    async def test_attachments_count_and_so_does_the_text_beside_them(self, probing: RawSocket) -> None:
        for number, (text, attachment) in enumerate(((10, 70_000), (70_000, 1), (40_000, 40_000)), start=1):
            await probing.send(f'451-{number}["probe:silent",{{"t":"{"x" * text}","b":{PLACEHOLDER}}}]')
            await probing.send(b"x" * attachment)
            assert (await probing.wait_for("3", number)).data[0]["code"] == "invalid_request"
        await probing.send(f'451-9["probe:silent",{{"b":{PLACEHOLDER}}}]')
        await probing.send(b"x" * 60_000)
        assert (await probing.wait_for("3", 9)).data[0] == {"ok": True}


class TestOverHttp:
    """The same by polling, and requests that are no Engine.IO at all."""

    async def test_a_malformed_post_ends_at_most_its_own_connection(
        self, node: Node, http: aiohttp.ClientSession, standing: Any
    ) -> None:
        for payload in POSTED:
            polling = await Polling.open(node.url, http)
            assert await polling.send(payload) in {200, 400}, payload
            # Whatever became of the connection, it can be asked on without harm.
            assert await polling.send(b"40") in {200, 400}, payload
        await still_serves(node, standing)

    @pytest.mark.parametrize("version", ["8", "14", "x", ""])
    async def test_a_websocket_of_another_version_is_told_the_right_one(
        self, node: Node, http: aiohttp.ClientSession, version: Any
    ) -> None:
        polling = await Polling.open(node.url, http)
        ways = (HANDSHAKE + "websocket", f"{HANDSHAKE}websocket&sid={polling.sid}")
        asked = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": version,
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as client:
            # The first opens the connection, the others come over one that is served already, or over another.
            for way in (ways[0], *ways):
                async with client.get(node.url + way, headers=asked) as answer:
                    assert (answer.status, (await answer.json())["code"]) == (400, 3)
                    assert answer.headers["Sec-WebSocket-Version"] == "13"
            async with client.get(
                node.url + ways[0], headers=asked | {"Sec-WebSocket-Version": "13", "Upgrade": "h2c"}
            ) as no:
                assert no.status == 400
                assert "Sec-WebSocket-Version" not in no.headers
