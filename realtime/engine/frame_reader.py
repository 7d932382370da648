"""Parser of client-to-server WebSocket frames (RFC 6455, section 5), from bytes in chunks of any size.

Reads one frame per call, so that the caller can stop between frames and continue later. Every frame is returned,
also fragments, so that it can be counted. At most one unfinished message is kept.
"""

import struct

from realtime.engine.library_private import websocket_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
# Returned for a fragment of a message that is not complete yet.
PART = -1
# Returned when the frame is incomplete.
UNFINISHED = -2

FIN, RESERVED, OPCODE, MASKED, LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
WHOLE_TEXT = FIN | TEXT
MOST_IN_CONTROL_FRAME = 125
# "The following status codes are defined", and those for libraries and applications (RFC 6455, section 7.4).
CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
NO_CODE = 0

PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009

Message = str | bytes


class Broken(Exception):
    """The input violates RFC 6455; `code` is the status code for the close frame."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class FrameReader:
    """Reads the frames of one connection. `max_size`: the maximum size of a message in bytes."""

    __slots__ = ("_first", "_kind", "_mask", "_max_size", "_message", "_missing", "_payload")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        # The frame whose payload is incomplete, if any.
        self._payload: bytearray | None = None
        self._missing = 0
        self._first = 0
        self._mask = b""
        # The fragments of an incomplete message so far, if any.
        self._message: bytearray | None = None
        self._kind = 0

    def read(self, data: bytes, at: int) -> tuple[int, int, Message]:
        """Read one frame from offset `at`; returns the offset of the next frame, the opcode and the payload.

        The opcode is `PART` for a fragment, and `UNFINISHED` when `data` ends within the frame. The rest of `data`
        is then an incomplete header of up to 13 bytes, and must be passed again with the following bytes. A
        complete message is returned with its own opcode and, for `TEXT`, decoded. Raises `Broken`.
        """
        if self._payload is not None:
            return self._read_on(data, at, self._payload)
        left = len(data) - at
        if left < 2:
            return at, UNFINISHED, b""
        first, second = data[at], data[at + 1]
        length = second & LENGTH
        # Checked before the header is complete, because the peer may never send the rest.
        if first & RESERVED or not second & MASKED or first & OPCODE not in (0, 1, 2, 8, 9, 10):
            raise Broken(PROTOCOL_ERROR, _what_is_wrong(first, second))
        if first & 0x08 and (length > MOST_IN_CONTROL_FRAME or not first & FIN):
            raise Broken(PROTOCOL_ERROR, "a control frame that is too long or fragmented")
        head = 6 if length < 126 else 8 if length == 126 else 14
        if left < head:
            return at, UNFINISHED, b""
        if length == 126:
            (length,) = struct.unpack_from(">H", data, at + 2)
        elif length == 127:
            (length,) = struct.unpack_from(">Q", data, at + 2)
        if not first & 0x08 and (self._message is not None or not first & OPCODE or length > self._max_size):
            self._expect(first, length)
        begin = at + head
        mask, end = data[begin - 4 : begin], begin + length
        if end > len(data):
            self._payload = bytearray(data[begin:])
            self._missing = end - len(data)
            self._first, self._mask = first, mask
            return len(data), UNFINISHED, b""
        payload = bytearray(data[begin:end])
        websocket_mask(mask, payload)
        if first == WHOLE_TEXT:  # nearly every frame
            return end, TEXT, _text(payload)
        opcode, message = self._whole(first, payload)
        return end, opcode, message

    def _read_on(self, data: bytes, at: int, payload: bytearray) -> tuple[int, int, Message]:
        piece = data[at : at + self._missing]
        payload += piece
        self._missing -= len(piece)
        if self._missing:
            return len(data), UNFINISHED, b""
        self._payload = None
        websocket_mask(self._mask, payload)
        opcode, message = self._whole(self._first, payload)
        return at + len(piece), opcode, message

    def _expect(self, first: int, length: int) -> None:
        """Reject a data frame that is out of sequence or too long, before its payload arrives.

        Need not be called for the first frame of a message that is not too long while no other is incomplete.
        """
        begun = self._message
        if (first & OPCODE == CONTINUATION) != (begun is not None):
            raise Broken(PROTOCOL_ERROR, "an unexpected start or continuation of a message")
        if length > self._max_size - (len(begun) if begun is not None else 0):
            raise Broken(TOO_BIG, "a message that is too long")

    def _whole(self, first: int, payload: bytearray) -> tuple[int, Message]:
        opcode = first & OPCODE
        if opcode >= CLOSE:
            if opcode == CLOSE:
                _check_close(payload)
            return opcode, bytes(payload)
        if self._message is not None:
            self._message += payload
            payload, opcode = self._message, self._kind
        if not first & FIN:
            self._message, self._kind = payload, opcode
            return PART, b""
        self._message = None
        return opcode, bytes(payload) if opcode == BINARY else _text(payload)


def _text(payload: bytearray) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise Broken(INVALID_DATA, "a text that is not UTF-8") from None


def close_code(payload: bytes | bytearray) -> int:
    """The status code in a close frame's payload, or `NO_CODE`."""
    return int.from_bytes(payload[:2], "big")


def _check_close(payload: bytearray) -> None:
    if not payload:
        return
    if len(payload) < 2 or close_code(payload) not in CLOSE_CODES:
        raise Broken(PROTOCOL_ERROR, "a close frame with an invalid code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise Broken(INVALID_DATA, "a close reason that is not UTF-8") from None


def _what_is_wrong(first: int, second: int) -> str:
    if not second & MASKED:
        return "an unmasked frame"  # "a server MUST close the connection" (RFC 6455, section 5.1)
    return "reserved bits are set" if first & RESERVED else "an unknown opcode"
