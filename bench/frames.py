"""WebSocket frames of a client (RFC 6455, section 5), without extensions."""

import os
from collections.abc import Iterator

FINAL_TEXT = 0x81
FINAL_CLOSE = 0x88
TEXT, CLOSE, PING = 0x1, 0x8, 0x9
MASKED = 0x80
# One mask for all frames: masking only protects intermediaries, and unmasking costs the server the same.
MASK = os.urandom(4)


def masked(payload: bytes, opcode: int = FINAL_TEXT) -> bytes:
    """Build a masked frame."""
    size = len(payload)
    if size < 126:
        head = bytes((opcode, MASKED | size))
    elif size < 1 << 16:
        head = bytes((opcode, MASKED | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((opcode, MASKED | 127)) + size.to_bytes(8, "big")
    mask = int.from_bytes((MASK * (size // 4 + 1))[:size], "big")
    return head + MASK + (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")


class Reader:
    """Incremental parser of a server's frames, which are not masked."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield opcode and payload of each complete frame."""
        if self._rest:
            data = self._rest + data
        start, end = 0, len(data)
        while end - start >= 2:
            size, head = data[start + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[start + 2 : start + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(data[start + 2 : start + 10], "big"), 10
            if end - start < head + size:
                break
            yield data[start] & 0x0F, data[start + head : start + head + size]
            start += head + size
        self._rest = data[start:]
