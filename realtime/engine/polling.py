"""The packet queue and the pending poll of a long-polling connection (protocol v4, "HTTP long-polling")."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from auth.platform.slow_readers import MAX_WAITING_SECONDS
from realtime.engine.packets import write_payload
from realtime.engine.timers import Timer, Timers
from realtime.engine.websocket import MAX_WAITING_BYTES

MAX_WAITING_PACKETS = 1024
# python-engineio's client accepts no more per response (`Payload.max_decode_packets`) and drops the connection.
MAX_ANSWERED_PACKETS = 16

# Request key of the callback that the HTTP edge (auth/http/edge/runner.py) calls when the peer disconnects.
ON_GONE = "vigil.on_gone"

NOOP = b"6"

Waiting = list[tuple[bytes, bool]]


class Polling:
    """The queued packets of one connection, each with whether it is binary, and its pending poll.

    `on_slow` is called with the number of queued bytes when too many are queued, or for too long; `on_gone` when
    the peer has aborted a poll, so that nothing more can be sent in it.
    """

    def __init__(self, timers: Timers, *, on_slow: Callable[[int], None], on_gone: Callable[[], None]) -> None:
        self._timers = timers
        self._on_slow = on_slow
        self._on_gone = on_gone
        self._packets: Waiting = []
        self._bytes = 0
        self._poll: tuple[web.BaseRequest, asyncio.Future[None]] | None = None
        self._deadline: Timer | None = None
        # Whether the peer need not poll, as during an upgrade.
        self.is_excused = False
        # Whether a post is in progress; only one is allowed.
        self.is_posting = False

    @property
    def has_poll(self) -> bool:
        """Whether a poll is pending."""
        return self._poll is not None

    @property
    def is_poll_gone(self) -> bool:
        """Whether the peer has aborted the pending poll."""
        return self._poll is not None and _is_gone(self._poll[0])

    @property
    def is_empty(self) -> bool:
        """Whether no packet is queued."""
        return not self._packets

    def add(self, packet: bytes, *, is_binary: bool = False) -> None:
        """Queue a packet, and answer the pending poll, if any."""
        self._packets.append((packet, is_binary))
        self._bytes += len(packet)
        if len(self._packets) > MAX_WAITING_PACKETS or self._bytes > MAX_WAITING_BYTES:
            self._on_slow(self._bytes)
        elif self._poll is not None:
            self.answer()
        elif self._deadline is None and not self.is_excused:
            self._deadline = self._timers.after(MAX_WAITING_SECONDS, self._too_late)

    def answer(self) -> None:
        """Answer the pending poll."""
        assert self._poll is not None
        request, waiter = self._poll
        if not waiter.done():
            waiter.set_result(None)
        if _is_gone(request):
            self._on_gone()

    async def wait(self, request: web.BaseRequest) -> None:
        """Hold a poll until there is something to send or the connection ends."""
        waiter = asyncio.get_running_loop().create_future()
        self._poll = (request, waiter)
        request[ON_GONE] = self._hung_up
        try:
            await waiter
        finally:
            self._poll = None

    def take(self, *, everything: bool = False) -> bytes:
        """Dequeue packets as the body of a response: as many as every client accepts, or `everything`."""
        waiting = self.hand_over()
        count = len(waiting) if everything else MAX_ANSWERED_PACKETS
        for packet, is_binary in waiting[count:]:
            self.add(packet, is_binary=is_binary)
        return write_payload(waiting[:count]) or NOOP

    def hand_over(self) -> Waiting:
        """Dequeue all packets."""
        self.stop()
        packets, self._packets = self._packets, []
        self._bytes = 0
        return packets

    def stop(self) -> None:
        """Cancel the deadline for the next poll."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self._packets and not self.is_excused:
            self._on_slow(self._bytes)

    def _hung_up(self) -> None:
        if self._poll is not None:
            self._on_gone()


def _is_gone(request: web.BaseRequest) -> bool:
    transport = request.transport
    return transport is None or transport.is_closing()
