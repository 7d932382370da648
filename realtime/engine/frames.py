"""Encoding of server-to-client WebSocket frames: unfragmented, unmasked, uncompressed (RFC 6455, section 5.2)."""

import struct

TEXT, BINARY, CLOSE, PONG = 0x81, 0x82, 0x88, 0x8A

# A control frame has at most 125 bytes of payload, two of them the code (RFC 6455, section 5.5).
MAX_CLOSE_REASON = 123


def frame(opcode: int, payload: bytes) -> bytes:
    """`payload` in one frame; `opcode` includes the FIN bit."""
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    if length < 65536:
        return struct.pack(">BBH", opcode, 126, length) + payload
    return struct.pack(">BBQ", opcode, 127, length) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; a reason that is too long is truncated."""
    text = reason.encode()[:MAX_CLOSE_REASON].decode(errors="ignore").encode()
    return frame(CLOSE, struct.pack(">H", code) + text)
