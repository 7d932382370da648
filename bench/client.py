"""The load generator's sockets: a minimal Socket.IO v5 client over WebSocket, cheap enough for 5,000 of them.

A general client would cost more CPU than the server under test. This one speaks the same wire protocol as the
browser client: Engine.IO open, handshake with `auth`, pings, events and acks.
"""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import orjson

from bench.frames import CLOSE, FINAL_CLOSE, PING, TEXT, Reader, masked

CONNECT_SECONDS = 30.0
ANSWER_SECONDS = 30.0
PONG = masked(b"3")
PONG_FRAME = 0x8A
READY = b'2["ready"'
REVOKED = b'"session-revoked"'


class LoadError(Exception):
    """A server did not behave as the scenario requires."""


@dataclass(frozen=True, slots=True)
class Ack:
    """An ack and its arrival time."""

    at: float
    body: bytes

    @property
    def code(self) -> str:
        """The server's error code; empty on success."""
        answer = self._answer()
        return "" if answer.get("ok") is True else str(answer.get("code", "no answer"))

    @property
    def retry_seconds(self) -> float:
        """Seconds until a retry, as told by the server; 1 by default."""
        return float(self._answer().get("retryAfterMs") or 1000) / 1000

    def _answer(self) -> dict[str, Any]:
        answers = orjson.loads(self.body)
        return cast("dict[str, Any]", answers[0]) if answers else {}

    def check(self) -> None:
        """Raise `LoadError` unless the ack is `ok`."""
        if self.code:
            raise LoadError(f"refused: {self.body.decode()[:200]}")


class Socket(asyncio.Protocol):
    """One authenticated socket.

    `on_event` receives the JSON text of every event. `session-revoked` is acknowledged immediately, as by clients.
    """

    __slots__ = (
        "_acks", "_connect", "_next_id", "_open", "_reader", "_transport", "_upgrade",
        "closed", "on_event", "ready",
    )  # fmt: skip

    def __init__(self, host: str, port: int, token: str, last_event_id: int | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[float] = loop.create_future()
        self.closed: asyncio.Future[float] = loop.create_future()
        self.on_event: Callable[[bytes], None] | None = None
        self._upgrade = upgrade_request(host, port)
        cursor = {} if last_event_id is None else {"lastEventId": last_event_id}
        self._connect = masked(b"40" + orjson.dumps({"token": token, **cursor}))
        self._acks: dict[int, asyncio.Future[Ack]] = {}
        self._next_id = 0
        self._open = False
        self._reader = Reader()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._upgrade)

    def data_received(self, data: bytes) -> None:
        """Parse and handle what the server sends."""
        if not self._open:
            head, separator, data = data.partition(b"\r\n\r\n")
            if not separator or not head.startswith(b"HTTP/1.1 101"):
                self._fail(LoadError(f"no upgrade: {head.decode(errors='replace')[:200]}"))
                return
            self._open = True
        for opcode, payload in self._reader.feed(data):
            if opcode == TEXT:
                self._packet(payload)
            elif opcode == PING:
                self._transport.write(masked(payload, PONG_FRAME))
            elif opcode == CLOSE:
                self._leave()
                self._transport.write(masked(payload, FINAL_CLOSE))
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail everything pending when the connection ends."""
        self._leave()
        self._fail(LoadError(f"closed: {exc or 'by the server'}"))

    def emit(self, event: str, payload: dict[str, Any]) -> asyncio.Future[Ack]:
        """Send an event; return the future of its ack, which fails with `LoadError` if the connection ends."""
        self._next_id += 1
        ack: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        if self.closed.done():
            ack.set_exception(LoadError("closed before"))
            return ack
        self._acks[self._next_id] = ack
        self._transport.write(masked(b"42%d" % self._next_id + orjson.dumps([event, payload])))
        return ack

    async def ask(self, event: str, payload: dict[str, Any]) -> Ack:
        """Send an event and wait for its ack. Raises `LoadError` unless it is `ok`."""
        ack = await asyncio.wait_for(self.emit(event, payload), ANSWER_SECONDS)
        ack.check()
        return ack

    @property
    def transport(self) -> asyncio.Transport:
        """The connection."""
        return self._transport

    def hang_up(self) -> None:
        """Close the connection, as closing a browser tab does."""
        self._transport.close()

    def _packet(self, payload: bytes) -> None:
        if payload == b"2":
            self._transport.write(PONG)
        elif payload.startswith(b"42"):
            self._event(payload)
        elif payload.startswith(b"43"):
            start = payload.index(b"[")
            ack = self._acks.pop(int(payload[2:start]), None)
            if ack is not None and not ack.done():
                ack.set_result(Ack(time.perf_counter(), payload[start:]))
        elif payload.startswith(b"0"):
            self._transport.write(self._connect)
        elif payload.startswith(b"41"):
            # The only namespace was disconnected, so close the connection, as Socket.IO's client does.
            self._leave()
            self._transport.close()
        elif payload.startswith(b"44"):
            self._fail(LoadError(f"handshake refused: {payload.decode()[:200]}"))

    def _event(self, payload: bytes) -> None:
        start = payload.index(b"[")
        if start > 2 and REVOKED in payload[start : start + 24]:
            self._transport.write(masked(b"43" + payload[2:start] + b"[]"))
        if not self.ready.done() and payload.startswith(READY, 1):
            self.ready.set_result(time.perf_counter())
        if self.on_event is not None:
            self.on_event(payload[start:])

    def _leave(self) -> None:
        if not self.closed.done():
            self.closed.set_result(time.perf_counter())

    def _fail(self, error: LoadError) -> None:
        waiting: list[asyncio.Future[Any]] = [self.ready, *self._acks.values()]
        self._acks = {}
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # mark as retrieved: there may be no waiter
        self._transport.close()


async def connect(
    host: str,
    port: int,
    token: str,
    *,
    last_event_id: int | None = None,
    on_event: Callable[[bytes], None] | None = None,
) -> tuple[Socket, float]:
    """Connect and authenticate; return the socket and the seconds from the first packet to `ready`."""
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    socket = Socket(host, port, token, last_event_id)
    socket.on_event = on_event
    async with asyncio.timeout(CONNECT_SECONDS):
        await loop.create_connection(lambda: socket, host, port)
        try:
            ready = await socket.ready
        except BaseException:
            socket.hang_up()
            raise
    return socket, ready - begun


def upgrade_request(host: str, port: int) -> bytes:
    """Build a WebSocket upgrade request."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
        f"Host: {host}:{port}\r\n"
        "User-Agent: vigil-bench\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
