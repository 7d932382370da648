"""`python -m bench.floor`: lower bounds of costs on this machine, to interpret missed targets.

Measures writing a prepared frame to many loopback sockets (mostly kernel time), and one Ed25519 verification with
OpenSSL, as used by Node.js, and with libsodium.
"""

import asyncio
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign_open

from bench.accounting import Cores, raise_open_files

SOCKETS = 2000
ROUNDS = 10
# A WebSocket frame with the size of the bench's pushes.
FRAME = b"\x81\x7e\x00\x91" + b"x" * 145
PAUSE_SECONDS = 0.3
SIGNATURES = 2000


class Accepted(asyncio.Protocol):
    """Collects the transports of accepted connections."""

    def __init__(self, transports: list[Any], all_here: asyncio.Event) -> None:
        self._transports = transports
        self._all_here = all_here

    def connection_made(self, transport: Any) -> None:
        """Implements `asyncio.Protocol`."""
        self._transports.append(transport)
        if len(self._transports) == SOCKETS:
            self._all_here.set()


def read_all(port: int, cores: frozenset[int]) -> None:
    """Connect `SOCKETS` times and read everything; runs in a separate process."""
    os.sched_setaffinity(0, cores)
    readable = select.epoll()
    connected = {}
    for _ in range(SOCKETS):
        made = socket.create_connection(("127.0.0.1", port))
        connected[made.fileno()] = made
        readable.register(made.fileno(), select.EPOLLIN)
    while True:
        for number, _ in readable.poll():
            connected[number].recv(65536)


async def writing(cores: Cores) -> tuple[float, float]:
    """Return the CPU µs of one write to one socket, as (user, kernel)."""
    transports: list[Any] = []
    all_here = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(lambda: Accepted(transports, all_here), "127.0.0.1", 0)
    reader = os.fork()
    if not reader:
        read_all(server.sockets[0].getsockname()[1], cores.load)
    try:
        os.sched_setaffinity(0, cores.server)
        await all_here.wait()
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(ROUNDS):
            for transport in transports:
                transport.write(FRAME)
            await asyncio.sleep(PAUSE_SECONDS)
        after = resource.getrusage(resource.RUSAGE_SELF)
    finally:
        os.kill(reader, signal.SIGKILL)
        server.close()
    each = 1e6 / (ROUNDS * SOCKETS)
    return (after.ru_utime - before.ru_utime) * each, (after.ru_stime - before.ru_stime) * each


def cost_of(act: Callable[[], object]) -> float:
    """Return the CPU µs of one call."""
    began = time.process_time()
    for _ in range(SIGNATURES):
        act()
    return (time.process_time() - began) / SIGNATURES * 1e6


def main() -> None:
    """Measure and print the results."""
    raise_open_files()
    user, kernel = uvloop.run(writing(Cores.choose()))
    key = Ed25519PrivateKey.generate()
    text = b"x" * 450
    signature, public = key.sign(text), key.public_key()
    signed, raw = signature + text, public.public_bytes_raw()
    sys.stdout.write(
        f"a write to a socket: {user + kernel:.1f} µs of CPU, {kernel:.1f} of it the kernel's\n"
        f"an Ed25519 verification: {cost_of(lambda: public.verify(signature, text)):.1f} µs by OpenSSL, "
        f"{cost_of(lambda: crypto_sign_open(signed, raw)):.1f} µs by libsodium\n"
        f"an Ed25519 signature: {cost_of(lambda: key.sign(text)):.1f} µs\n"
    )


if __name__ == "__main__":
    main()
