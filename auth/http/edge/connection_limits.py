"""Fairness between HTTP connections: parsing work per event loop turn, and connections per address.

One read can contain thousands of requests or body chunks. It is parsed in pieces, one per turn, and other
connections run between two pipelined requests.

A refused connection is not closed at once: see `DiscardingConnection`.

An address at its connection limit (`auth/platform/open_connections.py`) gets 429 for further connections; beyond
125 % of the limit they are aborted without an answer.
"""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, cast

import structlog
from aiohttp import web
from multidict import CIMultiDict

from auth.core.errors import RateLimited
from auth.http.edge.aiohttp_private import HttpConnection
from auth.http.edge.request_id import REQUEST_ID_HEADER, new_request_id
from auth.http.edge.time_limits import PROXY_IDLE_SECONDS
from auth.http.json import failure
from auth.http.origin_check import allow_origin
from auth.platform.fair_turns import FairTurns
from auth.platform.open_connections import LIMIT, RETRY_SECONDS, OpenConnections

# Bytes parsed in one turn.
PIECE_BYTES = 16 * 1024
# Connections over the limit that still get a 429, as a share of the limit, and the time each of them has.
ANSWERED_SHARE = 0.25
ANSWER_SECONDS = 1.0
# Bytes of the head that are read before a rejected request is answered.
MAX_HEAD_BYTES = 32 * 1024
# Bytes that are read and discarded after the last response of a refused connection, and the time for it.
MAX_DISCARDED_BYTES = 4 * 1024 * 1024
DISCARD_SECONDS = 10.0

log = structlog.get_logger()


class LimitedConnection(HttpConnection):
    """Mixin before `runner.Protocol`, whose manager has `open_connections` and `turns`."""

    # Of `runner.Protocol`: origins whose pages may read responses, whether the response being written is the last,
    # and whether the body being received cannot be parsed.
    _allowed_origins: Collection[str]
    has_failed: bool
    is_body_broken: bool

    def __init__(self, manager: Any, **options: Any) -> None:
        super().__init__(manager, **options)
        self._open_connections: OpenConnections = manager.open_connections
        self._turns: FairTurns = manager.turns
        self._address: str | None = None
        # Received but unparsed bytes; reading is paused while there are any.
        self._rest = b""
        self._is_scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, or reject it if its address is over the limit."""
        peer = transport.get_extra_info("peername")
        # A peer on a unix socket has no address: it is a proxy or a test on this machine.
        if isinstance(peer, tuple) and not self._open_connections.enter(peer[0]):
            self._reject(cast("asyncio.Transport", transport), peer[0])
            return
        self._address = peer[0] if isinstance(peer, tuple) else None
        if self._address is None or self._open_connections.is_proxy(self._address):
            self.keep_idle_for(PROXY_IDLE_SECONDS)
        super().connection_made(transport)

    def _reject(self, transport: asyncio.Transport, address: str) -> None:
        self.force_close()
        self._open_connections.refused()
        if self._open_connections.enter(address, beyond=ANSWERED_SHARE):
            log.info("rate_limited", limit=LIMIT, ip=address)
            refused = RefusedConnection(self._open_connections, address, self._allowed_origins)
            transport.set_protocol(refused)
            refused.connection_made(transport)
        else:
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Handle the end of the HTTP connection: the peer disconnected, or a WebSocket took over."""
        if self._address is not None:
            self._open_connections.leave(self._address)
            self._address = None
        self._rest = b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse one piece now and the rest in later turns, with reading paused until then."""
        if not self._rest and len(data) <= PIECE_BYTES:
            super().data_received(data)
            return
        if not data:
            super().data_received(data)  # aiohttp continues with its own buffered data
            return
        self._rest += data
        self.pause_input()
        self._schedule_parsing()

    def _schedule_parsing(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._turns.add(self._parse_piece)

    def _parse_piece(self) -> None:
        self._is_scheduled = False
        # If aiohttp has paused reading, it calls `resume_input`.
        if self.transport is None or not self._rest or self.is_input_paused:
            return
        piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
        super().data_received(piece)
        if not self.is_input_paused:
            self.resume_input()

    def resume_input(self) -> None:
        """Parse the buffered rest before reading more."""
        if self._rest:
            self._schedule_parsing()
        else:
            super().resume_input()

    def hand_over(self, successor: asyncio.Protocol, rest: bytes = b"") -> None:
        """Hand the connection over to a WebSocket, with the unparsed bytes."""
        left, self._rest = self._rest, b""
        super().hand_over(successor, left + rest)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response, and yield to other connections before the next pipelined request."""
        answered = await super().finish_response(request, resp, start_time)
        if self.has_failed:
            self._discard_input()
        elif self.waiting:
            await asyncio.sleep(0)  # from Python 3.12 on, the next request would start without yielding
        return answered

    def force_close(self) -> None:
        """Close the connection; aiohttp also calls it if a body turns out to be broken after its response."""
        if self.is_body_broken:
            self._discard_input()
        super().force_close()

    def _discard_input(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        address, self._address = self._address, None  # the place is kept until the connection closes
        release = None if address is None else partial(self._open_connections.leave, address)
        self.hand_over(DiscardingConnection(self.transport, release))


class DiscardingConnection(asyncio.Protocol):
    """A refused connection after its last response: discards what still arrives until the peer closes.

    A close with unread input would be a reset, which can destroy the response before the peer reads it (RFC 9112,
    section 9.6). Aborts after `DISCARD_SECONDS` or `MAX_DISCARDED_BYTES`. `release` is called at the end.
    """

    def __init__(self, transport: asyncio.Transport, release: Callable[[], None] | None) -> None:
        self._transport = transport
        self._release = release
        self._left = MAX_DISCARDED_BYTES
        self._end = asyncio.get_running_loop().call_later(DISCARD_SECONDS, transport.abort)
        transport.write_eof()

    def data_received(self, data: bytes) -> None:
        """Discard it."""
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Release the connection's place and its timer."""
        self._end.cancel()
        if self._release is not None:
            self._release()


class RefusedConnection(asyncio.Protocol):
    """A connection over the limit: answers its first request with 429 and closes."""

    def __init__(self, open_connections: OpenConnections, address: str, allowed_origins: Collection[str]) -> None:
        self._open_connections = open_connections
        self._address = address
        self._allowed_origins = allowed_origins
        self._head = b""
        self._is_answered = False
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer that aborts the connection after `ANSWER_SECONDS`."""
        self._transport = cast("asyncio.Transport", transport)
        self._end = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Answer at the end of the head; clients may ignore a response that precedes their request."""
        if self._is_answered:
            return
        self._head += data
        if b"\r\n\r\n" in self._head or len(self._head) > MAX_HEAD_BYTES:
            self._is_answered = True
            headers = CIMultiDict[str]()
            allow_origin(_origin_in(self._head), headers, self._allowed_origins)
            self._head = b""
            self._transport.write(_answer(headers))
            self._transport.write_eof()

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Release the connection's place and its timer."""
        self._open_connections.leave(self._address)
        if self._end is not None:
            self._end.cancel()


def _origin_in(head: bytes) -> str | None:
    """Return the Origin header of a raw request head; None without one or with several."""
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    origins = [value.strip().decode("latin-1") for name, _, value in lines if name.lower() == b"origin"]
    return origins[0] if len(origins) == 1 else None


def _answer(cors: CIMultiDict[str]) -> bytes:
    request_id = new_request_id()
    answer = failure(RateLimited(retry_after_seconds=RETRY_SECONDS), request_id)
    body = cast("bytes", answer.body)
    headers = {
        **answer.headers,
        **cors,
        REQUEST_ID_HEADER: request_id,
        "Server": "vigil",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} Too Many Requests\r\n{head}\r\n".encode() + body
