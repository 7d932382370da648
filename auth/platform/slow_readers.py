"""Detection and dropping of peers that do not read what is sent to them, over HTTP and WebSocket.

Unread data occupies our memory and the kernel's. A peer that reads slowly is tolerated as long as it makes
progress.
"""

import contextlib
import fcntl
import socket
import struct
import sys
import termios
from typing import Any

# SO_LINGER with a zero timeout: see `drop`.
NO_LINGER = struct.pack("ii", 1, 0)

# How long written data may wait while the peer reads none of it.
MAX_WAITING_SECONDS = 5.0


def unread_bytes(transport: Any) -> int:
    """The number of bytes written to `transport` that the peer's kernel has not acknowledged.

    Our write buffer plus the kernel's send buffer, which can hold megabytes. Only the former if the socket type
    does not report the latter.
    """
    kernel_bytes = bytearray(4)
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, kernel_bytes)
    except (OSError, ValueError):  # another socket type, or closed
        kernel_bytes = bytearray(4)
    waiting: int = transport.get_write_buffer_size()
    return waiting + int.from_bytes(kernel_bytes, sys.byteorder)


def drop(transport: Any) -> None:
    """Abort the connection and discard unsent data.

    After an ordinary close the kernel would keep that data for minutes, waiting for the peer to read.
    """
    with contextlib.suppress(OSError, ValueError):  # another socket type, or closed
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
