"""Peers that send as fast as possible: `python -m bench.flooders HOST PORT COUNT [TOKEN…]`.

A separate process, so that it does not delay the load generator's measurements. Each peer repeats one kind of
traffic (`KINDS`, `HTTP`), reads what it receives, and reconnects when disconnected. Peers with a token
authenticate first; the others send without a handshake.
"""

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
from collections.abc import Sequence

import orjson
import uvloop

from bench.client import upgrade_request
from bench.frames import FINAL_TEXT, PING, masked

CHUNK = 1 << 16
PAUSE_SECONDS = 0.2
FIN, CONTINUATION, PONG = 0x80, 0x0, 0xA


def _many(data: bytes) -> bytes:
    return data * (CHUNK // len(data))


# Data that each kind sends repeatedly, and the size of each write in bytes.
KINDS: dict[str, tuple[bytes, int]] = {
    "events with acks": (_many(masked(b'421["a",{}]')), CHUNK),
    "pings": (_many(masked(b"", FIN | PING)), CHUNK),
    "pongs": (_many(masked(b"", FIN | PONG)), CHUNK),
    "engine pongs": (_many(masked(b"3")), CHUNK),
    "tiny events": (_many(masked(b'42["a",{}]')), CHUNK),
    "fragments": (_many(masked(b"4", CONTINUATION)), CHUNK),
    "split frames": (_many(masked(b'42["a",{}]')), 3),
    "deep JSON": (masked(b'42["a",' + b"[" * 100 + b"[]," * 20_000 + b"[]" + b"]" * 100 + b"]"), CHUNK),
}
FIRST = {"fragments": masked(b"4", FINAL_TEXT & ~FIN)}
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
# Kinds without a WebSocket upgrade: data sent first, and data sent repeatedly.
HTTP: dict[str, tuple[bytes, bytes]] = {
    "requests in line": (b"", _many(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")),
    "a body in chunks": (
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + CHUNKED,
        _many(b"1\r\nx\r\n"),
    ),
}


class Flooder:
    """One flooding peer."""

    def __init__(self, host: str, port: int, kind: str, token: str | None) -> None:
        self._host, self._port = host, port
        self._kind, self._token = kind, token

    async def run(self) -> None:
        """Flood until cancelled."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._once()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _once(self) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._kind in HTTP:
                writer.write(HTTP[self._kind][0])
            elif not await self._upgrade(reader, writer):
                return
            sending = asyncio.create_task(self._send(writer))
            try:
                while await reader.read(CHUNK):
                    pass
            finally:
                sending.cancel()
        finally:
            writer.transport.abort()

    async def _upgrade(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(upgrade_request(self._host, self._port))
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101"):
            return False
        if self._token is not None:
            writer.write(masked(b"40" + orjson.dumps({"token": self._token})))
            await reader.readuntil(b'"ready"')
        writer.write(FIRST.get(self._kind, b""))
        return True

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        data, piece = (HTTP[self._kind][1], CHUNK) if self._kind in HTTP else KINDS[self._kind]
        with contextlib.suppress(OSError):
            for start in itertools.cycle(range(0, len(data), piece)):
                writer.write(data[start : start + piece])
                await writer.drain()
                if piece < CHUNK:
                    await asyncio.sleep(0)


async def run(host: str, port: int, count: int, tokens: Sequence[str]) -> None:
    """Flood with `count` peers until SIGTERM."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    kinds = itertools.cycle((*KINDS, *HTTP))
    flooders = [
        Flooder(host, port, next(kinds), tokens[place] if place < len(tokens) else None) for place in range(count)
    ]
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*(each.run() for each in flooders))


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    sys.stdout.write("flooding\n")
    sys.stdout.flush()
    uvloop.run(run(arguments[0], int(arguments[1]), int(arguments[2]), arguments[3:]))


if __name__ == "__main__":
    main(sys.argv[1:])
