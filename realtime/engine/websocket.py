"""A WebSocket over a transport that HTTP has let go of (RFC 6455).

aiohttp answers the upgrade and parses what comes in; between the two nothing of it stays. A connection kept by its
request's task, parser and buffers takes 14 kB while it does nothing; here it is a transport, a parser and this.

Writes go straight to the transport, whose buffer is the only queue. A peer that does not read is dropped when a
megabyte waits for it, or when something has waited for five seconds.
"""

import asyncio
import base64
import binascii
import fcntl
import hashlib
import sys
import termios
from typing import Any, Protocol

from aiohttp import WSMsgType, web
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader  # the parser is aiohttp's compiled one
from aiohttp.http_websocket import WS_KEY, WebSocketError

from realtime.engine.frames import PONG, close_frame, frame
from realtime.engine.timers import Timer, Timers

MAX_WAITING_BYTES = 1_000_000
MAX_WAITING_SECONDS = 5.0
# What the kernel does not take at once starts the five seconds, beyond this much.
UNSENT_BYTES = 1024
# How long the peer has to answer our close frame. Closing at once could take what it has not read away from it:
# TCP answers what it still sends with a reset.
CLOSE_SECONDS = 1.0

MASKED = 0x80
NORMAL, GOING_AWAY, PROTOCOL_ERROR, INVALID_DATA, POLICY = 1000, 1001, 1002, 1007, 1008


class Peer(Protocol):
    """Who takes what comes in."""

    def received(self, data: str | bytes) -> None:
        """Take a message."""

    def lost(self, reason: str) -> None:
        """The connection is gone, or ends: nothing more comes in. `reason` is for the log."""

    def broke_rules(self, why: str) -> None:
        """What came in is no WebSocket's; the connection ends."""

    def too_slow(self, waiting: int) -> None:
        """The peer did not read; the connection was dropped with so many bytes waiting."""


class Upgraded(web.StreamResponse):
    """What a handler returns when the upgrade was answered and the connection is not HTTP any more."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: the answer has left."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: an upgrade has no end of its own."""


def switching(key: str) -> bytes:
    """The answer `101 Switching Protocols` (RFC 6455, section 4.2.2)."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + WS_KEY).digest())  # noqa: S324 - RFC 6455, 4.2.2
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\nServer: vigil\r\n\r\n" % accept
    )


def upgrade_key(request: web.BaseRequest) -> str | None:
    """The key of a request that asks for a WebSocket rightly (RFC 6455, section 4.2.1), else None."""
    headers = request.headers
    connection = {part.strip() for part in headers.get("Connection", "").lower().split(",")}
    key = headers.get("Sec-WebSocket-Key", "").strip()
    if headers.get("Upgrade", "").lower().strip() != "websocket" or "upgrade" not in connection:
        return None
    if request.method != "GET" or headers.get("Sec-WebSocket-Version") != "13":
        return None
    try:
        return key if len(base64.b64decode(key, validate=True)) == 16 else None
    except (binascii.Error, ValueError):
        return None


class WebSocket(WebSocketDataQueue, asyncio.Protocol):
    """One connection. Is the parser's queue and the transport's protocol at once: neither keeps anything.

    `peer` takes what comes in, from `listen` on.
    `max_size`: a message of more bytes closes the connection.
    """

    # For aiohttp's parser in pure Python; the compiled one has its own. It never stalls: nothing is queued.
    _size = 0
    _limit = 0
    __slots__ = (
        "_has_begun",
        "_held",
        "_is_closing",
        "_parser",
        "_taken",
        "_timer",
        "_timers",
        "_transport",
        "_written",
        "peer",
    )

    def __init__(self, timers: Timers, *, max_size: int) -> None:
        # The queue's own __init__ would make the buffer that we do without.
        self.peer: Peer | None = None
        self._timers = timers
        self._parser: WebSocketReader | None = WebSocketReader(
            self, max_size + 1, compress=False, decode_text=True
        )
        self._transport: Any = None
        self._has_begun = False
        self._is_closing = False
        self._held: list[bytes] | None = None
        self._written = 0
        self._taken = 0
        self._timer: Timer | None = None

    def take_over(self, request: web.BaseRequest, key: str, *, greeting: bytes = b"") -> None:
        """Answer the upgrade, `greeting` behind it; the connection is ours, but `listen` is still to be called.

        Raises `ConnectionError` when the peer has gone.
        """
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the peer has gone")
        self._transport = transport
        answer = switching(key) + greeting
        self._written += len(answer)
        transport.write(answer)

    def listen(self, request: web.BaseRequest) -> None:
        """Take what came in behind the upgrade, which aiohttp has kept, and everything from now on."""
        http = request.protocol
        http.set_parser(_Handover(self))  # type: ignore[arg-type] # it has what is called of a parser
        if self._transport is not None:
            self._transport.set_protocol(self)
            self._transport.set_write_buffer_limits(high=UNSENT_BYTES, low=0)
        # As if the client had gone: aiohttp forgets the connection and its request, which it must not close.
        http.transport = None
        http.connection_lost(None)

    def send(self, data: bytes) -> None:
        """Write frames; never waits."""
        transport = self._transport
        if transport is None or self._is_closing:
            return
        if self._held is not None:
            self._held.append(data)
            return
        waiting = transport.get_write_buffer_size()
        if waiting and waiting + len(data) > MAX_WAITING_BYTES:
            self._drop(waiting)
            return
        self._written += len(data)
        transport.write(data)

    def hold(self) -> None:
        """Keep what is sent from here on until `release`, in the same turn: then it leaves in one write."""
        self._held = []

    def release(self) -> None:
        """Write what was held."""
        held, self._held = self._held, None
        if held:
            self.send(b"".join(held))

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye behind what was written; the connection ends with the peer's answer, or in 1 s."""
        if self._is_closing or self._transport is None:
            return
        self.release()
        self.send(close_frame(code, reason))
        self._end_soon()

    def abort(self) -> None:
        """End the connection now; what was not sent is lost."""
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Take nothing more in until `resume`; the peer is held up by TCP."""
        if self._is_open():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._is_open():
            self._transport.resume_reading()

    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`."""
        if self._parser is None:
            return
        if not self._has_begun and len(data) > 1:
            self._has_begun = True
            if not data[1] & MASKED:
                # aiohttp's parser takes it; "a server MUST close the connection" (RFC 6455, section 5.1).
                self.set_exception(WebSocketError(PROTOCOL_ERROR, "an unmasked frame"))
                return
        self._parser.feed_data(data)

    def eof_received(self) -> bool:
        """Part of `asyncio.Protocol`: the transport closes itself."""
        return False

    def pause_writing(self) -> None:
        """Part of `asyncio.Protocol`: the kernel did not take all."""
        if self._timer is None:
            self._watch()

    def resume_writing(self) -> None:
        """Part of `asyncio.Protocol`: it has."""
        if self._timer is not None and not self._is_closing:
            self._timer.cancel()
            self._timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of `asyncio.Protocol`."""
        self._transport = self._parser = None
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell("transport error" if exc is not None else "transport close")

    def feed_data(self, data: Any, size: int) -> None:  # noqa: ARG002 - the parser's signature
        """Called by the parser with each message."""
        kind = data.type
        if kind is WSMsgType.TEXT or kind is WSMsgType.BINARY:
            if self.peer is not None and not self._is_closing:
                self.peer.received(data.data)
        elif kind is WSMsgType.PING:
            self.send(frame(PONG, bytes(data.data)))
        elif kind is WSMsgType.CLOSE:
            self.close(data.data or NORMAL)
            self._transport.close()
            self._tell("transport close")

    def feed_eof(self) -> None:
        """Called by aiohttp as it lets go of the connection."""

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:  # noqa: ARG002
        """Called by the parser with what is wrong with the bytes that came in; it takes no more of them."""
        code = int(exc.code) if isinstance(exc, WebSocketError) else PROTOCOL_ERROR
        # What the peer has still to say is read and dropped meanwhile, so that it gets to read why.
        peer, self.peer = self.peer, None
        self.close(code, str(exc))
        if peer is not None:
            peer.broke_rules(str(exc))

    def _tell(self, reason: str) -> None:
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.lost(reason)

    def _end_soon(self) -> None:
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        self.resume()  # for the peer's answer
        self._timer = self._timers.after(CLOSE_SECONDS, self._end)

    def _end(self) -> None:
        # What still waits for the peer gets the rest of the five seconds.
        self._transport.close()
        self._timer = self._timers.after(MAX_WAITING_SECONDS - CLOSE_SECONDS, self.abort)

    def _watch(self) -> None:
        """Look in five seconds whether the peer has taken anything."""
        self._taken = self._taken_by_peer()
        self._timer = self._timers.after(MAX_WAITING_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            return
        if self._taken_by_peer() <= self._taken:
            self._drop(waiting)
        else:
            self._watch()

    def _taken_by_peer(self) -> int:
        taken: int = self._written - self._transport.get_write_buffer_size() - _kept_by_kernel(self._transport)
        return taken

    def _drop(self, waiting: int) -> None:
        self.abort()
        if self.peer is not None:
            self.peer.too_slow(waiting)
        self._tell("transport error")


class _Handover:
    """What aiohttp takes for its parser as it lets go of the connection: passes the bytes on."""

    __slots__ = ("_websocket",)

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called with what came in behind the upgrade."""
        self._websocket.data_received(data)
        return False, b""

    def feed_eof(self) -> None:
        """Called as the connection is forgotten."""


def _kept_by_kernel(transport: Any) -> int:
    """How many bytes the kernel has taken that the peer's has not: megabytes, for a peer that reads slowly."""
    kept = bytearray(4)
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, kept)
    except OSError:
        return 0  # not told by this kind of socket: then what waits with us is all there is to go by
    return int.from_bytes(kept, sys.byteorder)
