"""Encoding and strict decoding of Socket.IO packets and polling payloads (Socket.IO v5, Engine.IO v4).

Everything a client sends is decoded here. Decoding raises only `Malformed`, takes no more memory than was sent,
and accepts only one encoding of each packet.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

import orjson

from realtime.engine.library_private import SocketIOPacket

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)
MAX_ATTACHMENTS = 10
MAX_NAMESPACE = 64
# Depth to which placeholders are searched; Python's own recursion limit depends on its version.
MAX_DEPTH = 128
# A long-polling client sends everything queued since its last post in one post.
MAX_POSTED_PACKETS = 1024
RECORD_SEPARATOR = "\x1e"

# Event names reserved by client and server libraries (Socket.IO protocol v5, "Sending and receiving data").
RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})

# Type, number of attachments, namespace (its query is ignored), ack id (counters stay below 16 digits); the rest
# is JSON.
HEAD = re.compile(r"([0-6])(?:(\d{1,10})-)?(?:(/[^,?]*)(?:\?[^,]*)?(?:,|\Z))?(\d{1,16}(?!\d))?", re.ASCII)


class Malformed(ValueError):
    """The peer sent an invalid packet, so its connection ends. The message goes to the peer and to the log."""


class Json:
    """orjson behind the interface that the libraries expect. It rejects NaN, lone surrogates and deep nesting."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """`value` as JSON text."""
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """Parse a JSON text; raises `ValueError`."""
        return orjson.loads(text)


class Incoming:
    """A Socket.IO packet from a client. One with attachments is complete once `add` has returned True.

    `size`: the size of the data in bytes as received, including attachments.
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
            raise Malformed("the namespace is too long")
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
                raise Malformed("this packet type has no attachments")
            return 0
        if attachments is None or not 0 < int(attachments) <= MAX_ATTACHMENTS:
            raise Malformed("too many attachments, or none")
        return int(attachments)

    def _read(self) -> None:
        # Parsed only when complete: a text of 1 MB can take 50 MB once parsed, and attachments may never arrive.
        body, self._body = self._body, b""
        try:
            self.data = orjson.loads(body) if body else None
        except ValueError:
            raise Malformed("not JSON") from None
        if self.kind == CONNECT:
            # Its data are validated by the gate, which can report what is wrong.
            fine = self.number is None
        elif self.kind == DISCONNECT:
            fine = self.number is None and self.data is None
        elif self.kind in (EVENT, BINARY_EVENT):
            fine = isinstance(self.data, list) and bool(self.data) and isinstance(self.data[0], str)
            if fine and self.data[0] in RESERVED:
                raise Malformed("a reserved event name")
        elif self.kind in (ACK, BINARY_ACK):
            fine = isinstance(self.data, list) and self.number is not None
        else:
            fine = False
        if not fine:
            raise Malformed("not a packet that clients send")

    @property
    def is_whole(self) -> bool:
        """Whether all attachments have arrived."""
        return len(self.attachments) == self._expected

    def add(self, attachment: bytes, *, limit: int) -> bool:
        """Add an attachment; True if it was the last. Raises `Malformed` for more than `limit` bytes in total."""
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
            raise Malformed("nested too deeply")
        if isinstance(value, list):
            return [self._filled(item, levels - 1) for item in value]
        if value.get("_placeholder") is not True:
            return {name: self._filled(item, levels - 1) for name, item in value.items()}
        number = value.get("num")
        if type(number) is not int or not 0 <= number < len(self.attachments):
            raise Malformed("a placeholder without an attachment")
        return self.attachments[number]


def encode(kind: int, namespace: str, number: int | None, data: Any) -> list[bytes]:
    """Encode a Socket.IO packet as Engine.IO messages: the text, then its attachments.

    Raises `TypeError` for data that is neither JSON nor `bytes`.
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
    packet = SocketIOPacket(kind, data=data, namespace=namespace, id=number)
    text, attachments = packet.deconstruct_binary(packet.data)
    if not attachments:
        raise TypeError("the data is not JSON")
    head = f"4{packet.packet_type}{len(attachments)}-"
    if namespace != "/":
        head += namespace + ","
    if number is not None:
        head += str(number)
    return [head.encode() + orjson.dumps(text), *map(bytes, attachments)]


def read_payload(body: bytes) -> list[str | bytes]:
    """Decode the packets in the body of a polling request. Raises `Malformed`."""
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
    """Encode packets, each with whether it is binary, as the body of the response to a poll."""
    return RECORD_SEPARATOR.encode().join(
        b"b" + base64.b64encode(data) if is_binary else data for data, is_binary in packets
    )
