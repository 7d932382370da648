"""What waits for a peer that polls, and the poll that waits for it (protocol v4, "HTTP long-polling")."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from realtime.engine.packets import write_payload
from realtime.engine.timers import Timer, Timers
from realtime.engine.websocket import MAX_WAITING_BYTES, MAX_WAITING_SECONDS

MAX_WAITING_PACKETS = 1024

# Under this key of a request the HTTP edge (auth/http/runner.py) finds whom to tell that its peer hung up.
ON_GONE = "vigil.on_gone"

NOOP = b"6"

Waiting = list[tuple[bytes, bool]]


class Polling:
    """The packets of one connection, each with whether it is binary.

    `on_slow` is told how many bytes wait when they are too many, or wait too long; `on_gone` that the peer hung up
    a poll, into which nothing must be said any more.
    """

    def __init__(self, timers: Timers, *, on_slow: Callable[[int], None], on_gone: Callable[[], None]) -> None:
        self._timers = timers
        self._on_slow = on_slow
        self._on_gone = on_gone
        self._packets: Waiting = []
        self._bytes = 0
        self._poll: tuple[web.BaseRequest, asyncio.Future[None]] | None = None
        self._deadline: Timer | None = None
        # While a WebSocket is tried the peer need not poll.
        self.is_excused = False
        # Whether a post is being taken; there is never more than one.
        self.is_posting = False

    @property
    def has_poll(self) -> bool:
        """Whether the peer waits for something to be said."""
        return self._poll is not None

    @property
    def is_poll_gone(self) -> bool:
        """Whether the peer has hung up the poll that waits."""
        return self._poll is not None and _is_gone(self._poll[0])

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits for the peer."""
        return not self._packets

    def add(self, packet: bytes, *, is_binary: bool = False) -> None:
        """Something to be said."""
        self._packets.append((packet, is_binary))
        self._bytes += len(packet)
        if len(self._packets) > MAX_WAITING_PACKETS or self._bytes > MAX_WAITING_BYTES:
            self._on_slow(self._bytes)
        elif self._poll is not None:
            self.answer()
        elif self._deadline is None and not self.is_excused:
            self._deadline = self._timers.after(MAX_WAITING_SECONDS, self._too_late)

    def answer(self) -> None:
        """Let the poll that waits have what there is."""
        assert self._poll is not None
        request, waiter = self._poll
        if not waiter.done():
            waiter.set_result(None)
        if _is_gone(request):
            self._on_gone()

    async def wait(self, request: web.BaseRequest) -> None:
        """Hold a poll back until there is something to say, or the connection ends."""
        waiter = asyncio.get_running_loop().create_future()
        self._poll = (request, waiter)
        request[ON_GONE] = self._hung_up
        try:
            await waiter
        finally:
            self._poll = None

    def take(self) -> bytes:
        """Everything that waits, as the body of an answer."""
        return write_payload(self.hand_over()) or NOOP

    def hand_over(self) -> Waiting:
        """Everything that waits."""
        self.stop()
        packets, self._packets = self._packets, []
        self._bytes = 0
        return packets

    def stop(self) -> None:
        """Nobody is waited for any more."""
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
