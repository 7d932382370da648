"""One Engine.IO connection (protocol v4): by WebSocket, by long polling, or on its way from one to the other.

What comes in is taken in order, and mostly at once, in the call that brought it. Only a message that must wait for
something (the handshake, for Redis) makes a task, and holds the peer up while it runs.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

import structlog
from aiohttp import web
from engineio.async_socket import AsyncSocket
from engineio.packet import Packet

from auth.metrics import Metrics
from realtime.engine import frames
from realtime.engine.packets import Malformed, write_payload
from realtime.engine.timers import Timer, Timers
from realtime.engine.websocket import INVALID_DATA, MAX_WAITING_BYTES, MAX_WAITING_SECONDS, NORMAL, WebSocket

# What waits for a peer that polls, and how long; one that lets more pile up is dropped.
MAX_WAITING_PACKETS = 1024
# What a peer sent behind a message that is still worked on; reading is held up, so this is one read's worth.
MAX_UNREAD = 1024
# How long the last words of a closed connection are kept for a peer that polls.
LAST_WORDS_SECONDS = 5.0

# Under this key of a request the HTTP edge (auth/http/runner.py) finds whom to tell that its peer hung up.
ON_GONE = "vigil.on_gone"

PING, PONG, NOOP, CLOSE = b"2", "3", b"6", b"1"
PROBE, PROBED, UPGRADE = "2probe", b"3probe", "5"

log = structlog.get_logger()


class BadRequest(Exception):
    """The request makes no sense for the connection as it is."""


class Host(Protocol):
    """What a connection needs of its server."""

    timers: Timers
    metrics: Metrics
    ping_interval: float
    ping_timeout: float
    reason: Any

    def deliver(self, socket: "EngineSocket", data: str | bytes) -> Awaitable[Any] | None:
        """Hand a message to its handler; what is still to be awaited for it."""

    def forget(self, socket: "EngineSocket", reason: str) -> None:
        """The connection ended."""

    def keep_last_words(self, socket: "EngineSocket", seconds: float) -> None:
        """It ended before its peer polled for the reason."""

    def forget_last_words(self, socket: "EngineSocket") -> None:
        """They were said."""


class EngineSocket(AsyncSocket):  # type: ignore[misc] # the library has no types
    """One connection."""

    server: Host

    def __init__(self, server: Host, socket_id: str) -> None:
        super().__init__(server, socket_id)
        self.closed = False
        # Socket.IO's own: its sockets by this connection, and what the gate noted of the first request.
        self.members: list[Any] = []
        self.noted: Any = None
        self._websocket: WebSocket | None = None
        self._probing: Probe | None = None
        self._poll: tuple[web.BaseRequest, asyncio.Future[None]] | None = None
        # Whether a post is being taken; there is never more than one.
        self.is_posting = False
        self.has_failed = False
        self._waiting: list[tuple[bytes, bool]] = []
        self._waiting_bytes = 0
        self._unpolled: Timer | None = None
        self._work: asyncio.Task[None] | None = None
        self._unread: list[str | bytes] = []
        self._heartbeat: Timer = server.timers.after(server.ping_interval, self._ping)
        self._awaits_pong = False

    # Out

    def send_text(self, packet: bytes) -> None:
        """Send a packet; never waits for the peer."""
        if self._websocket is not None:
            self._websocket.send(frames.frame(frames.TEXT, packet))
        else:
            self._queue(packet, is_binary=False)

    def send_binary(self, data: bytes) -> None:
        """Send a binary message; never waits for the peer."""
        if self._websocket is not None:
            self._websocket.send(frames.frame(frames.BINARY, data))
        else:
            self._queue(data, is_binary=True)

    def send_framed(self, framed: bytes, packets: list[tuple[bytes, bool]]) -> None:
        """Send what was framed already for many: `framed` by WebSocket, else the `packets` in it."""
        if self._websocket is not None:
            self._websocket.send(framed)
        else:
            for packet, is_binary in packets:
                self._queue(packet, is_binary=is_binary)

    def _queue(self, packet: bytes, *, is_binary: bool) -> None:
        if self.closed:
            return
        self._waiting_bytes += len(packet)
        self._waiting.append((packet, is_binary))
        if len(self._waiting) > MAX_WAITING_PACKETS or self._waiting_bytes > MAX_WAITING_BYTES:
            self._drop()
        elif self._poll is not None:
            self._answer_poll()
        elif self._unpolled is None and self._probing is None:
            self._unpolled = self.server.timers.after(MAX_WAITING_SECONDS, self._not_polled)

    def _not_polled(self) -> None:
        self._unpolled = None
        if self._waiting and self._probing is None:
            self._drop()

    def _drop(self) -> None:
        self.too_slow(self._waiting_bytes)
        self._waiting.clear()
        self.end("transport error", abort=True)

    async def send(self, packet: Packet) -> None:
        """The library's own way to send."""
        encoded = packet.encode()
        if isinstance(encoded, str):
            self.send_text(encoded.encode())
        else:
            self.send_binary(bytes(encoded))

    # In

    def received(self, data: str | bytes) -> None:
        """Take a packet; behind those that are still worked on."""
        if self.closed:
            return
        if self._work is None:
            self._take(data)
        elif len(self._unread) < MAX_UNREAD:
            self._unread.append(data)
        else:
            self.fail("too much at once")

    def _take(self, data: str | bytes) -> None:
        work = self._handle(data)
        if work is not None:
            if self._websocket is not None:
                self._websocket.pause()
            self._work = asyncio.get_running_loop().create_task(self._finish(work))

    async def _finish(self, work: Awaitable[Any]) -> None:
        try:
            await self._settle(work)
            while self._unread and not self.closed:
                more = self._handle(self._unread.pop(0))
                if more is not None:
                    await self._settle(more)
        finally:
            self._work = None
            if self._websocket is not None:
                self._websocket.resume()

    async def _settle(self, work: Awaitable[Any]) -> None:
        try:
            await work
        except Malformed as error:
            self.fail(str(error))
        except Exception:
            log.exception("socket_message_failed", engine_id=self.sid)
            self.fail("failed")

    def _handle(self, data: str | bytes) -> Awaitable[Any] | None:
        """Act on a packet; what is still to be awaited for it, if anything."""
        try:
            if isinstance(data, bytes):
                return self.server.deliver(self, data)
            kind = data[:1]
            if kind == "4":
                return self.server.deliver(self, data[1:])
            if kind == PONG:
                self._pong()
            elif kind == "1":
                self._closed_by_peer()
            else:
                raise Malformed("a packet that clients do not send")
        except Malformed as error:
            self.fail(str(error))
        except Exception:
            log.exception("socket_message_failed", engine_id=self.sid)
            self.fail("failed")
        return None

    def _closed_by_peer(self) -> None:
        if self._poll is not None:
            # So that the peer's own poll ends cleanly.
            self._waiting.append((NOOP, False))
        self.end(self.server.reason.CLIENT_DISCONNECT, say=False)

    # Heartbeats: the server asks, the client answers (protocol v4, "Heartbeat")

    def _ping(self) -> None:
        self._awaits_pong = True
        # From when the ping was due, or two late timers would add up.
        self._heartbeat = self.server.timers.at(self._heartbeat.when + self.server.ping_timeout, self._timed_out)
        self.send_text(PING)

    def _pong(self) -> None:
        # One that nobody asked for proves nothing.
        if self._awaits_pong:
            self._awaits_pong = False
            self._heartbeat.cancel()
            self._heartbeat = self.server.timers.after(self.server.ping_interval, self._ping)

    def _timed_out(self) -> None:
        self.end(self.server.reason.PING_TIMEOUT)

    # The end

    def fail(self, why: str) -> None:
        """The peer broke the protocol: say why and end the connection."""
        self.has_failed = True
        if not self.closed:
            log.info("socket_bad_packet", engine_id=self.sid, error=why)
            self.end(self.server.reason.TRANSPORT_ERROR, code=INVALID_DATA, why=why)

    def end(
        self, reason: str, *, code: int = NORMAL, why: str = "", say: bool = True, abort: bool = False
    ) -> None:
        """End the connection after what was sent; `reason` is for our side, `why` for the peer. Never waits."""
        if self.closed:
            return
        self.closed = self.closing = True
        self._heartbeat.cancel()
        self._stop_unpolled()
        self._unread.clear()
        if self._probing is not None:
            self._probing.fail()
        if self._websocket is not None:
            if abort:
                self._websocket.abort()
            else:
                self._websocket.close(code, why)
        else:
            self._end_polling(say=say, last_words=reason == self.server.reason.SERVER_DISCONNECT)
        self.server.forget(self, reason)

    async def close(
        self,
        wait: bool = True,  # noqa: ARG002 - the library's signature; nothing here ever waits for the peer
        abort: bool = False,
        reason: str | None = None,
    ) -> None:
        """The library's own way to end a connection."""
        self.end(reason or self.server.reason.SERVER_DISCONNECT, abort=abort)

    def _end_polling(self, *, say: bool, last_words: bool) -> None:
        if say:
            self._waiting.append((CLOSE, False))
        if self._poll is not None:
            self._answer_poll()
        elif last_words:
            self.server.keep_last_words(self, LAST_WORDS_SECONDS)
        else:
            self._waiting.clear()

    def lost(self, reason: str) -> None:
        """Part of `websocket.Peer`: the connection ended, or the peer ended it."""
        self.end(reason)

    def broke_rules(self, why: str) -> None:
        """Part of `websocket.Peer`: what came in is no WebSocket's."""
        self.fail(why)

    def too_slow(self, waiting: int) -> None:
        """Part of `websocket.Peer`: the peer does not read."""
        self.server.metrics.slow_readers.inc()
        log.info("socket_slow_reader", engine_id=self.sid, queued=waiting)

    # Long polling

    async def polled(self, request: web.BaseRequest) -> bytes:
        """What is there for the peer, once there is something.

        Raises `BadRequest` when it polls twice at once, which ends the connection, or when there is nothing left.
        """
        if self._poll is not None:
            gone = _is_gone(self._poll[0])
            self.end(self.server.reason.TRANSPORT_ERROR, say=not gone)
            raise BadRequest("polled twice")
        if self._probing is not None and self._probing.succeeded and not self._waiting:
            return NOOP
        if not self._waiting:
            if self.closed:
                raise BadRequest("closed")
            waiter = asyncio.get_running_loop().create_future()
            self._poll = (request, waiter)
            request[ON_GONE] = self._hung_up
            try:
                await waiter
            finally:
                self._poll = None
        return self._last_words() if self.closed else self._take_waiting()

    def _hung_up(self) -> None:
        """The peer hung up a poll: what was sent into it would be lost."""
        if self._poll is not None:
            self.end(self.server.reason.TRANSPORT_CLOSE, say=False)

    def _last_words(self) -> bytes:
        self.server.forget_last_words(self)
        return self._take_waiting()

    def _take_waiting(self) -> bytes:
        packets, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        self._stop_unpolled()
        return write_payload(packets) or NOOP

    def _stop_unpolled(self) -> None:
        if self._unpolled is not None:
            self._unpolled.cancel()
            self._unpolled = None

    def _answer_poll(self) -> None:
        """Let the poll that waits have what there is; a peer that hung up would lose it, so it is let go of."""
        assert self._poll is not None
        request, waiter = self._poll
        if not waiter.done():
            waiter.set_result(None)
        if _is_gone(request):
            self.end(self.server.reason.TRANSPORT_CLOSE, say=False)

    async def posted(self, packets: list[str | bytes]) -> None:
        """Take what a polling peer sent, in order. Raises `BadRequest` when some of it is malformed."""
        for packet in packets:
            if self._work is not None:
                await asyncio.wait({self._work})
            self.received(packet)
        if self._work is not None:
            await asyncio.wait({self._work})
        if self.has_failed:
            raise BadRequest("malformed")

    # WebSocket

    @property
    def is_websocket(self) -> bool:
        """Whether the connection has left polling behind, or never knew it."""
        return self._websocket is not None

    @property
    def is_upgrading(self) -> bool:
        """Whether a WebSocket is being tried."""
        return self._probing is not None

    def by_websocket(self, websocket: WebSocket) -> None:
        """The connection is by WebSocket from here on; what waited goes out first."""
        self._websocket = websocket
        self.connected = self.upgraded = True
        self._stop_unpolled()
        waiting, self._waiting = self._waiting, []
        for packet, is_binary in waiting:
            websocket.send(frames.frame(frames.BINARY if is_binary else frames.TEXT, packet))

    def try_websocket(self, probe: "Probe") -> None:
        """A WebSocket was opened beside the polling; it is taken when it has proved that it works."""
        self._probing = probe

    def probe_worked(self) -> None:
        """The WebSocket answers: end the poll that waits, so that the peer can change over."""
        if self._poll is not None:
            self._waiting.append((NOOP, False))
            self._answer_poll()

    def probe_over(self, websocket: WebSocket | None) -> None:
        """The WebSocket is to be used from now on, or has failed."""
        self._probing = None
        if websocket is not None and not self.closed:
            self.by_websocket(websocket)


class Probe:
    """A WebSocket on trial for a connection that polls (protocol v4, "Upgrade")."""

    def __init__(self, socket: EngineSocket, websocket: WebSocket, seconds: float) -> None:
        self._socket = socket
        self._websocket = websocket
        self._timer = socket.server.timers.after(seconds, self.fail)
        self._is_taken = False
        self._has_failed = False
        self.succeeded = False

    def received(self, data: str | bytes) -> None:
        """Part of `websocket.Peer`: first the probe, then the change-over, then all else."""
        if self._is_taken:
            self._socket.received(data)
        elif not self.succeeded and data == PROBE:
            self.succeeded = True
            self._websocket.send(frames.frame(frames.TEXT, PROBED))
            self._socket.probe_worked()
        elif self.succeeded and data == UPGRADE:
            self._is_taken = True
            self._timer.cancel()
            self._socket.probe_over(self._websocket)
        else:
            self.fail()

    def fail(self) -> None:
        """It does not work; the connection goes on polling."""
        if not self._is_taken and not self._has_failed:
            self._has_failed = True
            self._timer.cancel()
            self._socket.probe_over(None)
            self._websocket.close(INVALID_DATA, "not the upgrade that was announced")

    def lost(self, reason: str) -> None:
        """Part of `websocket.Peer`."""
        if self._is_taken:
            self._socket.lost(reason)
        else:
            self.fail()

    def broke_rules(self, why: str) -> None:
        """Part of `websocket.Peer`."""
        if self._is_taken:
            self._socket.broke_rules(why)
        else:
            self.fail()

    def too_slow(self, waiting: int) -> None:
        """Part of `websocket.Peer`."""
        self._socket.too_slow(waiting)


def _is_gone(request: web.BaseRequest) -> bool:
    transport = request.transport
    return transport is None or transport.is_closing()
