"""A WebSocket over a transport taken over from HTTP (RFC 6455).

aiohttp reads the upgrade request; afterwards no object of aiohttp remains. An idle connection with aiohttp's
request task, parser and buffers takes 14 kB; here it consists of a transport, a frame reader and this object.

Writes go directly to the transport, whose buffer is the only queue. A peer that does not read is dropped when 1 MB
is buffered for it, or when something has been buffered for five seconds.

Input is handled in the call that delivers it, up to one connection's share of a turn of the event loop. The rest,
and anything after a large read, waits for a later turn, so that one connection cannot block the others. A
connection that exceeds its traffic budget (traffic_budget.py) is not read until it may send again, and is closed
if it keeps doing so.
"""

import asyncio
import time
from typing import Any, Protocol, cast

from aiohttp import web

from auth.platform.fair_turns import FairTurns
from auth.platform.slow_readers import MAX_WAITING_SECONDS, drop, unread_bytes
from realtime.engine import frame_reader
from realtime.engine.frame_reader import BINARY, TEXT, UNFINISHED, Broken, FrameReader
from realtime.engine.frames import PONG, close_frame, frame
from realtime.engine.opening import offered_protocols, switching
from realtime.engine.timers import Timer, Timers
from realtime.engine.traffic_budget import BudgetExceeded, TrafficUse

MAX_WAITING_BYTES = 1_000_000
# More buffered bytes than this start the five seconds.
UNSENT_BYTES = 1024
# How long the peer has to answer our close frame. If we closed at once, TCP would answer anything it still sends
# with a reset, which can discard data that it has not read yet.
CLOSE_SECONDS = 1.0
IMPATIENT_CLOSE_SECONDS = 0.25
# One connection's share of a turn of the event loop.
FRAMES_A_TURN = 16
# A read of this many bytes is the last of its turn: uvloop keeps reading while its buffer of 256 kB fills up.
LARGE_READ = 16_384
# A smaller read that completes no frame is charged as one frame, because it costs about as much; larger ones have
# at least about a network packet of data.
SMALL_READ = 512

NORMAL, GOING_AWAY, PROTOCOL_ERROR, INVALID_DATA, POLICY = 1000, 1001, 1002, 1007, 1008


class Peer(Protocol):
    """Receives the WebSocket's messages and its end."""

    def received(self, data: str | bytes) -> None:
        """Handle a message."""

    def lost(self, reason: str) -> None:
        """The connection was lost or is closing: no more messages follow. `reason` is for the log."""

    def protocol_violated(self, why: str) -> None:
        """The peer violated RFC 6455; the connection ends."""

    def budget_exceeded(self) -> None:
        """The peer exceeded its traffic budget for too long; the connection ends."""

    def reads_too_slowly(self, waiting: int) -> None:
        """The peer did not read; the connection was dropped with `waiting` bytes unsent."""


class HttpSide(Protocol):
    """The HTTP connection of an upgrade request (auth/http/edge/runner.py)."""

    def hand_over(self, successor: asyncio.Protocol) -> None:
        """Hand the transport to `successor`, with all input after the upgrade request."""


class WebSocket(asyncio.Protocol):
    """One WebSocket connection.

    `peer` receives its messages, after `listen`. `max_size`: a longer message, in bytes, closes the connection.
    `spending`: the peer's use of its traffic budget.
    """

    __slots__ = (
        "_at",
        "_held",
        "_is_closing",
        "_is_due",
        "_is_held_up",
        "_reader",
        "_taken",
        "_timer",
        "_timers",
        "_transport",
        "_turns",
        "_unread",
        "_written",
        "peer",
        "spending",
    )

    def __init__(self, timers: Timers, turns: FairTurns, spending: TrafficUse, *, max_size: int) -> None:
        self.peer: Peer | None = None
        self.spending = spending
        self._timers = timers
        self._turns = turns
        # None once all further input is discarded.
        self._reader: FrameReader | None = FrameReader(max_size)
        self._transport: Any = None
        self._is_closing = False
        self._held: list[bytes] | None = None
        # Input not yet handled, from offset `_at`. `_is_held_up`: paused by the peer. `_is_due`: waits for a later
        # turn or for its budget.
        self._unread = b""
        self._at = 0
        self._is_held_up = False
        self._is_due = False
        self._written = 0
        self._taken = 0
        self._timer: Timer | None = None

    def take_over(self, request: web.BaseRequest, key: str, *, first_frame: bytes = b"") -> None:
        """Answer the upgrade request, followed by `first_frame`, and take its connection over; then call `listen`.

        Chooses the first subprotocol offered, like the reference implementation: Socket.IO defines none, and a
        client that offers some closes a connection without a chosen one. Raises `ConnectionError` if the peer has
        disconnected.
        """
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the peer has disconnected")
        self._transport = transport
        offered = offered_protocols(request.headers)
        answer = switching(key, offered[0] if offered else None) + first_frame
        self._written += len(answer)
        transport.write(answer)

    def listen(self, request: web.BaseRequest) -> None:
        """Start reading, beginning with the input that HTTP has buffered after the upgrade request."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=UNSENT_BYTES, low=0)
        cast("HttpSide", request.protocol).hand_over(self)

    def send(self, data: bytes) -> None:
        """Write frames without waiting."""
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
        """Buffer everything sent until `release`, in the same turn, to combine it into one write."""
        self._held = []

    def release(self) -> None:
        """Write what was held."""
        held, self._held = self._held, None
        if held:
            self.send(b"".join(held))

    def close(self, code: int = NORMAL, reason: str = "", *, is_patient: bool = True) -> None:
        """Send a close frame; the connection ends with the peer's answer, or after 1 s.

        Data still unsent then gets the rest of five seconds. Without `is_patient` the connection ends after 0.25 s
        and unsent data is discarded, for a peer that has missed a deadline.
        """
        if self._is_closing or self._transport is None:
            return
        self.release()
        self.send(close_frame(code, reason))
        self._end_soon(is_patient=is_patient)

    def abort(self) -> None:
        """End the connection now; unsent data is lost."""
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Deliver no more messages after the current one until `resume`; TCP flow control stops the other side."""
        self._is_held_up = True
        if self._is_open():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Continue after `pause`."""
        if not self._is_held_up:
            return
        self._is_held_up = False
        if self._is_due or not self._is_open():
            return
        if self._unread:
            self._go_on_in_turn()
        else:
            self._transport.resume_reading()

    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`."""
        if self._unread:
            data = self._unread[self._at :] + data
            self._unread, self._at = b"", 0
        if self._is_due or self._is_held_up:
            # More input than a share followed the upgrade request, and aiohttp has resumed the transport.
            self._unread = data
            self._transport.pause_reading()
            return
        self._take(data, 0, is_last=len(data) >= LARGE_READ)

    def _take(self, data: bytes, at: int, *, is_last: bool) -> None:
        """Handle one share of `data`, from offset `at`. `is_last`: nothing more is read in this turn."""
        begun, frames, opcode = at, 0, UNFINISHED
        end = len(data)
        try:
            while at < end and frames < FRAMES_A_TURN and self._reader is not None and not self._is_held_up:
                at, opcode, payload = self._reader.read(data, at)
                if opcode == UNFINISHED:
                    break
                frames += 1
                if frames == 1 and at < end:
                    self.hold()  # all answers leave in one write
                self._act(opcode, payload)
        except Broken as error:
            self._end_for(error.code, str(error))
        if self._held is not None:
            self.release()
        if self._reader is None:
            at = end
        is_left = at < end and opcode != UNFINISHED
        self._unread, self._at = (data, at) if is_left else (data[at:], 0)
        if not frames and at - begun < SMALL_READ:
            frames = 1
        self._pay(frames, at - begun, is_last=is_last or is_left)

    def _act(self, opcode: int, payload: str | bytes) -> None:
        if opcode in (TEXT, BINARY):
            if self.peer is not None and not self._is_closing:
                self.peer.received(payload)
        elif opcode == frame_reader.PING:
            self.send(frame(PONG, payload))  # type: ignore[arg-type] # a control frame's are bytes
        elif opcode == frame_reader.CLOSE:
            self.close(frame_reader.close_code(payload) or NORMAL)  # type: ignore[arg-type]
            self._reader = None
            if self._transport is not None:
                self._transport.close()
            self._notify_lost("transport close")

    def _pay(self, frames: int, size: int, *, is_last: bool) -> None:
        """Charge the handled input to the budget; continue reading now, in a later turn, or when allowed again."""
        if self._reader is not None:
            try:
                seconds = self.spending.spend(frames, size, now=time.monotonic())
            except BudgetExceeded:
                self._end_over_budget()
            else:
                if seconds:
                    self._wait()
                    self._timers.after(seconds, self._go_on)
                    return
        if is_last and not self._is_held_up:
            self._go_on_in_turn()

    def _go_on_in_turn(self) -> None:
        self._wait()
        self._turns.add(self._go_on)

    def _wait(self) -> None:
        self._is_due = True
        if self._is_open():
            self._transport.pause_reading()

    def _go_on(self) -> None:
        self._is_due = False
        if self._is_held_up or not self._is_open():
            return
        data, at = self._unread, self._at
        if data:
            self._unread, self._at = b"", 0
            self._take(data, at, is_last=False)
        if not self._is_due and not self._is_held_up and self._is_open():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """Part of `asyncio.Protocol`: let the transport close itself."""
        return False

    def pause_writing(self) -> None:
        """Part of `asyncio.Protocol`: some data could not be sent at once."""
        if self._timer is None:
            self._watch()

    def resume_writing(self) -> None:
        """Part of `asyncio.Protocol`: all data has been sent."""
        if self._timer is not None and not self._is_closing:
            self._timer.cancel()
            self._timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of `asyncio.Protocol`."""
        self._transport = self._reader = None
        self._unread = b""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._notify_lost("transport error" if exc is not None else "transport close")

    def _end_for(self, code: int, why: str) -> None:
        """End the connection because of invalid input, and discard all further input."""
        # Further input is read and discarded, so that the peer can still read the close frame.
        self._reader = None
        peer, self.peer = self.peer, None
        self.close(code, why)
        if peer is not None:
            peer.protocol_violated(why)

    def _end_over_budget(self) -> None:
        self._reader = None
        peer, self.peer = self.peer, None
        self.close(POLICY, "more frames or bytes than a connection may send")
        if peer is not None:
            peer.budget_exceeded()

    def _notify_lost(self, reason: str) -> None:
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.lost(reason)

    def _end_soon(self, *, is_patient: bool) -> None:
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        if is_patient:
            self._timer = self._timers.after(CLOSE_SECONDS, self._end)
        else:
            self._timer = self._timers.after(IMPATIENT_CLOSE_SECONDS, self._end_now)
        self.resume()  # for the peer's answer
        if self._is_due:
            # The peer is over its budget: discard its input instead of looking for its close frame.
            self._reader = None
            self._go_on_in_turn()

    def _end_now(self) -> None:
        if self._transport.get_write_buffer_size():
            self.abort()
        else:
            self._transport.close()

    def _end(self) -> None:
        # Unsent data gets the rest of the five seconds.
        self._transport.close()
        self._timer = self._timers.after(MAX_WAITING_SECONDS - CLOSE_SECONDS, self.abort)

    def _watch(self) -> None:
        """Check in five seconds whether the peer has read anything."""
        self._taken = self._taken_by_peer()
        self._timer = self._timers.after(MAX_WAITING_SECONDS, self._check_progress)

    def _check_progress(self) -> None:
        self._timer = None
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            return
        if self._taken_by_peer() <= self._taken:
            self._drop(waiting)
        else:
            self._watch()

    def _taken_by_peer(self) -> int:
        return self._written - unread_bytes(self._transport)

    def _drop(self, waiting: int) -> None:
        drop(self._transport)
        self.abort()
        if self.peer is not None:
            self.peer.reads_too_slowly(waiting)
        self._notify_lost("transport error")
