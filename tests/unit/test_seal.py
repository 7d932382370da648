"""What nodes tell each other through Redis: nobody without the root secret can make it up or change it."""

import orjson
import pytest

from auth.crypto.root_secret import RootSecret
from auth.platform.metrics import Metrics
from realtime.broker.seal import Message, MessageSeal

ROOM: Message = {"t": "room", "room": "lobby", "packets": ["2[]"]}
PAYLOAD = orjson.dumps({"name": 'Zoë\x7f \u0000,"d":"', "online": True})


def seal(secret: bytes = b"one", second: bytes | None = None) -> MessageSeal:
    return MessageSeal(RootSecret(secret, second), Metrics())


def frame(payload: bytes, *, user: str = "ada", event: str = "device-status", session: str = "s1") -> bytes:
    """A frame as realtime/broker/lua/append.lua makes it."""
    return (
        f'{{"u":"{user}","i":7,"p":6,"e":"{event}","s":"{session}","v":null,"o":"","d":'.encode() + payload + b"}"
    )


def marked(by: MessageSeal) -> bytes:
    return by.mark("ada", "device-status", "s1", PAYLOAD)


def test_a_message_and_an_event_of_another_node_are_read() -> None:
    assert seal().read(seal().seal(ROOM)) == ROOM
    values = seal().read(frame(marked(seal())))
    assert values is not None
    assert values["d"] == orjson.loads(PAYLOAD)
    assert (values["u"], values["i"], values["s"]) == ("ada", 7, "s1")


def test_an_event_of_a_room_is_read_and_is_no_users() -> None:
    own = seal()
    payload = own.mark("", "chat:news", "chat:lobby", PAYLOAD)
    head = b'{"r":"chat:lobby","i":7,"p":6,"e":"chat:news","o":"","d":'
    values = own.read(head + payload + b"}")
    assert values is not None
    assert (values["r"], values["i"], values["d"]) == ("chat:lobby", 7, orjson.loads(PAYLOAD))
    for forged in (
        head.replace(b"lobby", b"other") + payload + b"}",
        head.replace(b"news", b"else") + payload + b"}",
        head.replace(b'"r"', b'"u":"ada","r"') + payload + b"}",
        frame(payload, event="chat:news", session="chat:lobby"),
        b'{"r":"s1","i":7,"p":6,"e":"device-status","o":"","d":' + marked(own) + b"}",
    ):
        assert own.read(forged) is None


def test_while_the_secret_is_replaced_nodes_with_either_first_read_each_other() -> None:
    one, other = seal(b"one", b"two"), seal(b"two", b"one")
    assert one.read(other.seal(ROOM)) == other.read(one.seal(ROOM)) == ROOM
    assert one.read(frame(marked(other)))
    assert other.read(frame(marked(one)))


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"s",
        b"\xff",
        b"[]",
        b"7",
        orjson.dumps(ROOM),
        b"s" + bytes(16) + orjson.dumps(ROOM),
        seal(b"another").seal(ROOM),
        frame(PAYLOAD),
        frame(marked(seal(b"another"))),
        frame(marked(seal()), user="eve"),
        frame(marked(seal()), event="session-revoked"),
        frame(marked(seal()), session="s2"),
        frame(marked(seal()).replace(b"true", b"false")),
        # A genuine event made a message of another kind.
        frame(marked(seal())).replace(b'"i":7', b'"t":"room","i":7'),
        # A genuine payload behind the forger's own.
        frame(b'{"online":false},"d":' + marked(seal())),
    ],
)
def test_what_is_not_genuine_is_ignored_and_counted(forged: bytes) -> None:
    metrics = Metrics()
    assert MessageSeal(RootSecret(b"one"), metrics).read(forged) is None
    assert b"vigil_bus_forged_total 1.0" in metrics.render()


def test_every_changed_byte_of_a_message_is_noticed() -> None:
    whole = seal().seal(ROOM)
    for place in range(len(whole)):
        assert seal().read(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]) is None
