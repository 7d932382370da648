"""One Engine.IO connection (protocol v4): by WebSocket, by long polling, or upgrading from one to the other.

Incoming packets are handled in order, most of them synchronously in the call that delivers them. Only a message
that must wait (the handshake, for Redis) creates a task, and nothing more is read from the peer while it runs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog
from aiohttp import web

from auth.platform.metrics import Metrics
from realtime.engine import frames
from realtime.engine.library_private import EngineSocketFrame, Packet
from realtime.engine.packets import Malformed
from realtime.engine.polling import NOOP, Polling
from realtime.engine.timers import Timer, Timers
from realtime.engine.traffic_budget import BudgetExceeded, TrafficBudget, TrafficUse
from realtime.engine.upgrade import Probe
from realtime.engine.websocket import FRAMES_A_TURN, INVALID_DATA, NORMAL, WebSocket

# How long the final packets of a closed connection are kept for a long-polling peer.
FINAL_PACKETS_SECONDS = 5.0

PING, PONG, CLOSE = b"2", "3", b"1"

log = structlog.get_logger()


class BadRequest(Exception):
    """The request is not valid in the connection's current state."""


class Host(Protocol):
    """What a connection needs from its server."""

    timers: Timers
    metrics: Metrics
    allowance: TrafficBudget
    ping_interval: float
    ping_timeout: float
    reason: Any

    def deliver(self, socket: "EngineSocket", data: str | bytes) -> Awaitable[Any] | None:
        """Pass a message to its handler; returns an awaitable if it is not handled yet."""

    def forget(self, socket: "EngineSocket", reason: str) -> None:
        """Remove a connection that has ended."""

    def keep_final_packets(self, socket: "EngineSocket", seconds: float) -> None:
        """Keep the final packets of an ended connection until its peer polls, at most `seconds`."""

    def forget_final_packets(self, socket: "EngineSocket") -> None:
        """Drop the final packets."""


class EngineSocket(EngineSocketFrame):
    """One Engine.IO connection."""

    server: Host

    def __init__(self, server: Host, socket_id: str) -> None:
        super().__init__(server, socket_id)
        self.closed = False
        self.spending = TrafficUse(server.allowance)
        # Used by Socket.IO: the sockets on this connection, and the gate's data from the opening request.
        self.members: list[Any] = []
        self.noted: Any = None
        # Exactly one of the two is set; both only during an upgrade.
        self._websocket: WebSocket | None = None
        self._polling: Polling | None = None
        self._probe: Probe | None = None
        self._has_failed = False
        self._work: asyncio.Task[None] | None = None
        # At most two packets: one by WebSocket, which is then paused, and one of the post in progress.
        self._unread: list[str | bytes] = []
        self._heartbeat: Timer = server.timers.after(server.ping_interval, self._ping)
        # Callbacks of unanswered pings; each pong answers the oldest.
        self._pings: list[Callable[[], None]] = []

    # Sending

    def send_text(self, packet: bytes) -> None:
        """Send a packet without waiting for the peer."""
        if self._websocket is not None:
            self._websocket.send(frames.frame(frames.TEXT, packet))
        else:
            self._queue(packet, is_binary=False)

    def send_binary(self, data: bytes) -> None:
        """Send a binary message without waiting for the peer."""
        if self._websocket is not None:
            self._websocket.send(frames.frame(frames.BINARY, data))
        else:
            self._queue(data, is_binary=True)

    def send_framed(self, framed: bytes, packets: list[tuple[bytes, bool]]) -> None:
        """Send packets encoded once for many connections: `framed` by WebSocket, else the same `packets`."""
        if self._websocket is not None:
            self._websocket.send(framed)
        else:
            for packet, is_binary in packets:
                self._queue(packet, is_binary=is_binary)

    def hold(self) -> None:
        """Combine everything sent until `release`, in the same turn, into one write: each costs about 10 µs."""
        if self._websocket is not None:
            self._websocket.hold()

    def release(self) -> None:
        """Write what was held."""
        if self._websocket is not None:
            self._websocket.release()

    def _queue(self, packet: bytes, *, is_binary: bool) -> None:
        if self._polling is not None and not self.closed:
            self._polling.add(packet, is_binary=is_binary)

    async def send(self, packet: Packet) -> None:
        """Send a packet of the library; called by its public methods."""
        encoded = packet.encode()
        if isinstance(encoded, str):
            self.send_text(encoded.encode())
        else:
            self.send_binary(bytes(encoded))

    # Receiving

    def received(self, data: str | bytes) -> None:
        """Handle a packet, after those that are still being handled."""
        if self.closed:
            return
        if self._work is None:
            self._take(data)
            return
        # Paused only now: nearly every peer waits for the answer first, and pausing and resuming takes two system
        # calls.
        if self._websocket is not None:
            self._websocket.pause()
        self._unread.append(data)

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
        except Exception:  # a bug ends only this connection
            log.exception("socket_message_failed", engine_id=self.sid)
            self.fail("internal error")

    def _handle(self, data: str | bytes) -> Awaitable[Any] | None:
        """Handle a packet; returns an awaitable if it is not handled yet."""
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
        except Exception:  # a bug ends only this connection
            log.exception("socket_message_failed", engine_id=self.sid)
            self.fail("internal error")
        return None

    def _closed_by_peer(self) -> None:
        if self._polling is not None and self._polling.has_poll:
            self._polling.add(NOOP)  # so that the peer's own poll ends cleanly
        self.end(self.server.reason.CLIENT_DISCONNECT, notify=False)

    # Heartbeats: the server sends pings, the client answers with pongs (protocol v4, "Heartbeat")

    def _ping(self) -> None:
        self._pings.append(self._alive)
        # Counted from when the ping was due, so that the delays of two timers do not add up.
        self._heartbeat = self.server.timers.at(self._heartbeat.when + self.server.ping_timeout, self._timed_out)
        self.send_text(PING)

    def _alive(self) -> None:
        self._heartbeat.cancel()
        self._heartbeat = self.server.timers.after(self.server.ping_interval, self._ping)

    def when_received(self, act: Callable[[], None]) -> None:
        """Call `act` once the peer has received everything sent so far, proved by its answer to a ping sent now.

        Not called if the connection ends before. A peer that does not answer is dropped by the next heartbeat.
        """
        if not self.closed:
            self._pings.append(act)
            self.send_text(PING)

    def _pong(self) -> None:
        # An unsolicited pong is ignored.
        if self._pings:
            self._pings.pop(0)()

    def _timed_out(self) -> None:
        self.end(self.server.reason.PING_TIMEOUT)

    # Closing

    def fail(self, why: str) -> None:
        """End the connection because the peer violated the protocol; `why` is sent to it."""
        self._has_failed = True
        if not self.closed:
            log.info("socket_bad_packet", engine_id=self.sid, error=why)
            self.end(self.server.reason.TRANSPORT_ERROR, code=INVALID_DATA, why=why)

    def end(
        self,
        reason: str,
        *,
        code: int = NORMAL,
        why: str = "",
        notify: bool = True,
        abort: bool = False,
        is_patient: bool = True,
    ) -> None:
        """End the connection after what was sent, without waiting. `reason` is for handlers, `why` for the peer.

        `is_patient`: see `WebSocket.close`.
        Without `notify` a long-polling peer gets no close packet: its next poll is refused as unknown.
        """
        if self.closed:
            return
        self.closed = self.closing = True
        self._heartbeat.cancel()
        self._pings.clear()
        self._unread.clear()
        if self._probe is not None:
            self._probe.fail(is_patient=is_patient)
        if self._websocket is not None:
            if abort:
                self._websocket.abort()
            else:
                self._websocket.close(code, why, is_patient=is_patient)
        elif self._polling is not None:
            keep = reason == self.server.reason.SERVER_DISCONNECT
            self._end_polling(self._polling, notify=notify, keep=keep)
        self.server.forget(self, reason)

    async def close(
        self,
        wait: bool = True,  # noqa: ARG002 - the library's signature; nothing here ever waits for the peer
        abort: bool = False,
        reason: str | None = None,
    ) -> None:
        """End the connection; called by the library's public methods."""
        self.end(reason or self.server.reason.SERVER_DISCONNECT, abort=abort)

    def _end_polling(self, polling: Polling, *, notify: bool, keep: bool) -> None:
        polling.stop()
        polling.is_excused = True
        if notify:
            polling.add(CLOSE)
        if polling.has_poll:
            polling.answer()
        elif keep:
            self.server.keep_final_packets(self, FINAL_PACKETS_SECONDS)
        else:
            polling.hand_over()

    def lost(self, reason: str) -> None:
        """Part of `websocket.Peer`: the connection was lost, or the peer closed it."""
        self.end(reason)

    def protocol_violated(self, why: str) -> None:
        """Part of `websocket.Peer`: the peer violated RFC 6455."""
        self.fail(why)

    def budget_exceeded(self) -> None:
        """Part of `websocket.Peer`: the peer exceeded its traffic budget."""
        self.server.metrics.floods.inc()
        log.warning("socket_flood", engine_id=self.sid)
        self.end(self.server.reason.TRANSPORT_ERROR)

    def reads_too_slowly(self, waiting: int) -> None:
        """Part of `websocket.Peer`: the peer does not read."""
        self.server.metrics.slow_readers.inc()
        log.info("socket_slow_reader", engine_id=self.sid, queued=waiting)

    # Long polling

    def by_polling(self) -> None:
        """Use long polling, until the peer upgrades."""
        self.connected = True
        self._polling = Polling(self.server.timers, on_slow=self._not_polled, on_gone=self._hung_up)

    async def polled(self, request: web.BaseRequest) -> bytes:
        """The body of the answer to a poll, once there is something to send.

        Raises `BadRequest` for a second concurrent poll, which ends the connection, or if it has ended with
        nothing left to send.
        """
        polling = self._polling
        if polling is None:
            raise BadRequest("by WebSocket")
        if polling.has_poll:
            self.end(self.server.reason.TRANSPORT_ERROR, notify=not polling.is_poll_gone)
            raise BadRequest("polled twice")
        if polling.is_empty:
            if self.closed:
                raise BadRequest("closed")
            if self._probe is not None and self._probe.succeeded:
                return NOOP
            await polling.wait(request)
        if self.closed:
            self.server.forget_final_packets(self)
        return polling.take(everything=self.closed)

    async def posted(self, read: Callable[[], Awaitable[tuple[list[str | bytes], int]]]) -> None:
        """Handle the packets of a post in order; `read` returns them and their size in bytes.

        The answer to a post beyond the traffic budget is delayed. Raises `BadRequest`, and ends the connection,
        for a second concurrent post, malformed packets, or traffic that exceeds the budget for too long.
        """
        polling = self._polling
        if polling is None or self.closed or polling.is_posting:
            self.end(self.server.reason.TRANSPORT_ERROR)
            raise BadRequest("posted twice, or too late")
        polling.is_posting = True
        try:
            packets, size = await read()
            for number, packet in enumerate(packets, 1):
                await self._worked()
                self.received(packet)
                if number % FRAMES_A_TURN == 0:
                    await asyncio.sleep(0)
            await self._worked()
            await self._pay(len(packets), size)
        finally:
            polling.is_posting = False
        if self._has_failed:
            raise BadRequest("malformed")

    async def _pay(self, packets: int, size: int) -> None:
        try:
            await asyncio.sleep(self.spending.spend(packets, size, now=time.monotonic()))
        except BudgetExceeded:
            self.budget_exceeded()
            raise BadRequest("more than a connection may send") from None

    async def _worked(self) -> None:
        if self._work is not None:
            await asyncio.wait({self._work})

    def _hung_up(self) -> None:
        self.end(self.server.reason.TRANSPORT_CLOSE, notify=False)

    def _not_polled(self, waiting: int) -> None:
        if not self.closed:
            self.reads_too_slowly(waiting)
            self.end(self.server.reason.TRANSPORT_ERROR, notify=False)

    # WebSocket

    @property
    def is_websocket(self) -> bool:
        """Whether the connection uses a WebSocket, from the start or after an upgrade."""
        return self._websocket is not None

    @property
    def is_upgrading(self) -> bool:
        """Whether a WebSocket is being probed."""
        return self._probe is not None

    def by_websocket(self, websocket: WebSocket) -> None:
        """Use a WebSocket from now on; send queued packets first."""
        self._websocket = websocket
        self.connected = self.upgraded = True
        polling, self._polling = self._polling, None
        for packet, is_binary in polling.hand_over() if polling is not None else ():
            websocket.send(frames.frame(frames.BINARY if is_binary else frames.TEXT, packet))

    def try_websocket(self, websocket: WebSocket) -> None:
        """Start probing a WebSocket opened during long polling; the connection upgrades if the probe succeeds."""
        websocket.peer = self._probe = Probe(self, websocket, self.server.timers)
        if self._polling is not None:
            self._polling.is_excused = True

    def probe_worked(self) -> None:
        """Part of `upgrade.Candidate`: end the pending poll, so that the peer can upgrade."""
        if self._polling is not None and self._polling.has_poll:
            self._polling.add(NOOP)

    def probe_over(self, websocket: WebSocket | None) -> None:
        """Part of `upgrade.Candidate`: upgrade to `websocket`, or go on polling."""
        self._probe = None
        if self._polling is not None:
            self._polling.is_excused = False
        if websocket is not None and not self.closed:
            self.by_websocket(websocket)
