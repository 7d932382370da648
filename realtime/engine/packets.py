"""What the wire may say: strict decoding of Socket.IO packets and of polling payloads, and encoding.

Everything a client sends comes through here, so everything here raises `Malformed` and nothing else, takes no more
memory than was sent, and accepts no second spelling of anything (Socket.IO protocol v5, Engine.IO protocol v4).
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

import orjson
import socketio.packet

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)
MAX_ATTACHMENTS = 10
MAX_NAMESPACE = 64
# How deep attachments are looked for; how deep Python could go depends on its version.
MAX_DEPTH = 128
# A polling client batches what it had to say between two posts.
MAX_POSTED_PACKETS = 128
RECORD_SEPARATOR = "\x1e"

# The names of the library's own events at either end (Socket.IO protocol v5, "Sending and receiving data").
RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})

# type, number of attachments, namespace (a query after it is ignored), ack id (no counter gets to 16 digits);
# what follows is JSON.
HEAD = re.compile(r"([0-6])(?:(\d{1,10})-)?(?:(/[^,?]*)(?:\?[^,]*)?(?:,|\Z))?(\d{1,16}(?!\d))?", re.ASCII)


class Malformed(ValueError):
    """The peer sent what no client sends; its connection ends. The text says why, to it and to the log."""


class Json:
    """orjson in the shape that the libraries expect. It refuses NaN, lone surrogates and deep nesting."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """`value` as JSON text."""
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """The value of a JSON text; raises `ValueError`."""
        return orjson.loads(text)


class Incoming:
    """A Socket.IO packet as a client sent it. One with attachments is whole once `add` said so.

    `size` is that of the data in bytes as they came, attachments included.
    """

    __slots__ = ("_body", "_expected", "attachments", "data", "kind", "namespace", "number", "size")

    def __init__(self, text: str) -> None:
        head = HEAD.match(text)
        if head is None:
            raise Malformed("not a Socket.IO packet")
        kind, attachments, namespace, number = head.groups()
        self.kind = int(kind)
        self.namespace = namespace or "/"
        self.number = None if number is None else int(number)
        self.attachments: list[bytes] = []
        self._expected = self._count(attachments)
        if len(self.namespace) > MAX_NAMESPACE:
            raise Malformed("a namespace that is too long")
        self.data: Any = None
        try:
            self._body = text[head.end() :].encode()
        except UnicodeEncodeError:
            raise Malformed("not UTF-8") from None
        self.size = len(self._body)
        if self.is_whole:
            self._read()

    def _count(self, attachments: str | None) -> int:
        if self.kind not in (BINARY_EVENT, BINARY_ACK):
            if attachments is not None:
                raise Malformed("attachments to a packet that has none")
            return 0
        if attachments is None or not 0 < int(attachments) <= MAX_ATTACHMENTS:
            raise Malformed("too many attachments, or none")
        return int(attachments)

    def _read(self) -> None:
        # Only now: what a text of a megabyte becomes can take fifty, and attachments may never come.
        body, self._body = self._body, b""
        try:
            self.data = orjson.loads(body) if body else None
        except ValueError:
            raise Malformed("not JSON") from None
        if self.kind == CONNECT:
            # What it carries is for the gate to judge, which can say what is wrong with it.
            fine = self.number is None
        elif self.kind == DISCONNECT:
            fine = self.number is None and self.data is None
        elif self.kind in (EVENT, BINARY_EVENT):
            fine = isinstance(self.data, list) and bool(self.data) and isinstance(self.data[0], str)
            if fine and self.data[0] in RESERVED:
                raise Malformed("a reserved event")
        elif self.kind in (ACK, BINARY_ACK):
            fine = isinstance(self.data, list) and self.number is not None
        else:
            fine = False
        if not fine:
            raise Malformed("a packet that clients do not send")

    @property
    def is_whole(self) -> bool:
        """Whether every attachment has come."""
        return len(self.attachments) == self._expected

    def add(self, attachment: bytes, *, limit: int) -> bool:
        """Take an attachment; whether it was the last. More than `limit` bytes in all are malformed."""
        self.attachments.append(attachment)
        self.size += len(attachment)
        if self.size > limit:
            raise Malformed("the attachments are too large")
        if not self.is_whole:
            return False
        self._read()
        self.data = self._filled(self.data, MAX_DEPTH)
        return True

    def _filled(self, value: Any, levels: int) -> Any:
        if not isinstance(value, list | dict):
            return value
        if not levels:
            raise Malformed("nested too deep")
        if isinstance(value, list):
            return [self._filled(item, levels - 1) for item in value]
        if value.get("_placeholder") is not True:
            return {name: self._filled(item, levels - 1) for name, item in value.items()}
        number = value.get("num")
        if type(number) is not int or not 0 <= number < len(self.attachments):
            raise Malformed("a placeholder of no attachment")
        return self.attachments[number]


def encode(kind: int, namespace: str, number: int | None, data: Any) -> list[bytes]:
    """A Socket.IO packet as Engine.IO messages, text first, then its attachments.

    Raises `TypeError` for data that are no JSON even with their `bytes` taken out.
    """
    head = f"4{kind}" if namespace == "/" else f"4{kind}{namespace},"
    if number is not None:
        head += str(number)
    if data is None:
        return [head.encode()]
    try:
        return [head.encode() + orjson.dumps(data)]
    except TypeError:
        return _encode_binary(kind, namespace, number, data)


def _encode_binary(kind: int, namespace: str, number: int | None, data: Any) -> list[bytes]:
    packet = socketio.packet.Packet(kind, data=data, namespace=namespace, id=number)
    text, attachments = packet.deconstruct_binary(packet.data)
    if not attachments:
        raise TypeError("the data are not JSON")
    head = f"4{packet.packet_type}{len(attachments)}-"
    if namespace != "/":
        head += namespace + ","
    if number is not None:
        head += str(number)
    return [head.encode() + orjson.dumps(text), *map(bytes, attachments)]


def read_payload(body: bytes) -> list[str | bytes]:
    """The packets of a polling request's body; raises `Malformed`."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    if text.count(RECORD_SEPARATOR) >= MAX_POSTED_PACKETS:
        raise Malformed("too many packets at once")
    return [_read_polled(packet) for packet in text.split(RECORD_SEPARATOR)]


def _read_polled(packet: str) -> str | bytes:
    if not packet.startswith("b"):
        return packet
    try:
        return base64.b64decode(packet[1:], validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("not base64") from None


def write_payload(packets: Sequence[tuple[bytes, bool]]) -> bytes:
    """Packets, each with whether it is binary, as the body of an answer to a poll."""
    return RECORD_SEPARATOR.encode().join(
        b"b" + base64.b64encode(data) if is_binary else data for data, is_binary in packets
    )
