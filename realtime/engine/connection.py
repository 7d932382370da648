"""One Engine.IO connection (protocol v4): by WebSocket, by long polling, or on its way from one to the other.

What comes in is taken in order, and mostly at once, in the call that brought it. Only a message that must wait for
something (the handshake, for Redis) makes a task, and holds the peer up while it runs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog
from aiohttp import web
from engineio.async_socket import AsyncSocket
from engineio.packet import Packet

from auth.metrics import Metrics
from realtime.engine import frames
from realtime.engine.packets import Malformed
from realtime.engine.polling import NOOP, Polling
from realtime.engine.timers import Timer, Timers
from realtime.engine.upgrade import Probe
from realtime.engine.websocket import INVALID_DATA, NORMAL, WebSocket

# What a peer sent behind a message that is still worked on; with the first of it reading is held up, so this is
# one read's worth.
MAX_UNREAD = 1024
# How long the last words of a closed connection are kept for a peer that polls.
LAST_WORDS_SECONDS = 5.0

PING, PONG, CLOSE = b"2", "3", b"1"

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
        # One of the two; both only while a WebSocket is tried.
        self._websocket: WebSocket | None = None
        self._polling: Polling | None = None
        self._probe: Probe | None = None
        self._has_failed = False
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
            self._say(packet, is_binary=False)

    def send_binary(self, data: bytes) -> None:
        """Send a binary message; never waits for the peer."""
        if self._websocket is not None:
            self._websocket.send(frames.frame(frames.BINARY, data))
        else:
            self._say(data, is_binary=True)

    def send_framed(self, framed: bytes, packets: list[tuple[bytes, bool]]) -> None:
        """Send what was framed already for many: `framed` by WebSocket, else the `packets` in it."""
        if self._websocket is not None:
            self._websocket.send(framed)
        else:
            for packet, is_binary in packets:
                self._say(packet, is_binary=is_binary)

    def hold(self) -> None:
        """Let what is sent until `release`, in the same turn, leave in one write: each costs some 10 µs."""
        if self._websocket is not None:
            self._websocket.hold()

    def release(self) -> None:
        """Send what was held."""
        if self._websocket is not None:
            self._websocket.release()

    def _say(self, packet: bytes, *, is_binary: bool) -> None:
        if self._polling is not None and not self.closed:
            self._polling.add(packet, is_binary=is_binary)

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
            # Not before: nearly every peer waits for the answer, and to stop reading and start again takes the
            # event loop two calls to the kernel.
            if not self._unread and self._websocket is not None:
                self._websocket.pause()
            self._unread.append(data)
        else:
            self.fail("too much at once")

    def _take(self, data: str | bytes) -> None:
        work = self._handle(data)
        if work is not None:
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
        except Exception:  # a defect of ours ends this connection alone
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
        except Exception:  # a defect of ours ends this connection alone
            log.exception("socket_message_failed", engine_id=self.sid)
            self.fail("failed")
        return None

    def _closed_by_peer(self) -> None:
        if self._polling is not None and self._polling.has_poll:
            self._polling.add(NOOP)  # so that the peer's own poll ends cleanly
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
        self._has_failed = True
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
        self._unread.clear()
        if self._probe is not None:
            self._probe.fail()
        if self._websocket is not None:
            if abort:
                self._websocket.abort()
            else:
                self._websocket.close(code, why)
        elif self._polling is not None:
            self._end_polling(self._polling, say=say, last_words=reason == self.server.reason.SERVER_DISCONNECT)
        self.server.forget(self, reason)

    async def close(
        self,
        wait: bool = True,  # noqa: ARG002 - the library's signature; nothing here ever waits for the peer
        abort: bool = False,
        reason: str | None = None,
    ) -> None:
        """The library's own way to end a connection."""
        self.end(reason or self.server.reason.SERVER_DISCONNECT, abort=abort)

    def _end_polling(self, polling: Polling, *, say: bool, last_words: bool) -> None:
        polling.stop()
        polling.is_excused = True
        if say:
            polling.add(CLOSE)
        if polling.has_poll:
            polling.answer()
        elif last_words:
            self.server.keep_last_words(self, LAST_WORDS_SECONDS)
        else:
            polling.hand_over()

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

    def by_polling(self) -> None:
        """The connection is by long polling, as long as the peer likes."""
        self.connected = True
        self._polling = Polling(self.server.timers, on_slow=self._not_polled, on_gone=self._hung_up)

    async def polled(self, request: web.BaseRequest) -> bytes:
        """What is there for the peer, once there is something.

        Raises `BadRequest` when it polls twice at once, which ends the connection, or when there is nothing left.
        """
        polling = self._polling
        if polling is None:
            raise BadRequest("by WebSocket")
        if polling.has_poll:
            self.end(self.server.reason.TRANSPORT_ERROR, say=not polling.is_poll_gone)
            raise BadRequest("polled twice")
        if polling.is_empty:
            if self.closed:
                raise BadRequest("closed")
            if self._probe is not None and self._probe.succeeded:
                return NOOP
            await polling.wait(request)
        if self.closed:
            self.server.forget_last_words(self)
        return polling.take()

    async def posted(self, read: Callable[[], Awaitable[list[str | bytes]]]) -> None:
        """Take what a polling peer sends, in order; `read` brings it.

        Raises `BadRequest`, and ends the connection, when it posts twice at once or something malformed.
        """
        polling = self._polling
        if polling is None or self.closed or polling.is_posting:
            self.end(self.server.reason.TRANSPORT_ERROR)
            raise BadRequest("posted twice, or too late")
        polling.is_posting = True
        try:
            for packet in await read():
                await self._worked()
                self.received(packet)
            await self._worked()
        finally:
            polling.is_posting = False
        if self._has_failed:
            raise BadRequest("malformed")

    async def _worked(self) -> None:
        if self._work is not None:
            await asyncio.wait({self._work})

    def _hung_up(self) -> None:
        self.end(self.server.reason.TRANSPORT_CLOSE, say=False)

    def _not_polled(self, waiting: int) -> None:
        if not self.closed:
            self.too_slow(waiting)
            self.end(self.server.reason.TRANSPORT_ERROR, say=False)

    # WebSocket

    @property
    def is_websocket(self) -> bool:
        """Whether the connection has left polling behind, or never knew it."""
        return self._websocket is not None

    @property
    def is_upgrading(self) -> bool:
        """Whether a WebSocket is being tried."""
        return self._probe is not None

    def by_websocket(self, websocket: WebSocket) -> None:
        """The connection is by WebSocket from here on; what waited goes out first."""
        self._websocket = websocket
        self.connected = self.upgraded = True
        polling, self._polling = self._polling, None
        for packet, is_binary in polling.hand_over() if polling is not None else ():
            websocket.send(frames.frame(frames.BINARY if is_binary else frames.TEXT, packet))

    def try_websocket(self, websocket: WebSocket) -> None:
        """A WebSocket was opened beside the polling; it is taken when it has proved that it works."""
        websocket.peer = self._probe = Probe(self, websocket, self.server.timers)
        if self._polling is not None:
            self._polling.is_excused = True

    def probe_worked(self) -> None:
        """Part of `upgrade.Candidate`: end the poll that waits, so that the peer can change over."""
        if self._polling is not None and self._polling.has_poll:
            self._polling.add(NOOP)

    def probe_over(self, websocket: WebSocket | None) -> None:
        """Part of `upgrade.Candidate`."""
        self._probe = None
        if self._polling is not None:
            self._polling.is_excused = False
        if websocket is not None and not self.closed:
            self.by_websocket(websocket)
