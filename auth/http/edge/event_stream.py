"""Server-Sent Events: long responses, each of which carries the events of one source until a reason to end it.

A stream must not look alive when it is not: `alive` events are sent only while its source says that it is current,
and a stream whose source is behind for `BEHIND_SECONDS` is ended, so that its client connects to another node.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiohttp import web

from auth.core.errors import AuthError, RateLimited, Unavailable
from auth.core.tasks import end
from auth.http.edge.request_id import REQUEST_ID, REQUEST_ID_HEADER
from auth.platform.header_lists import members
from auth.platform.slow_readers import MAX_WAITING_SECONDS, drop

EVENT_STREAM_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"

# Interval of `alive` events, and of checks whether the caller may still read (protocol.md, section 8).
ALIVE_SECONDS = 2.0
CHECK_SECONDS = 0.5
BEHIND_SECONDS = 5.0
MAX_STREAMS = 256
MAX_STREAMS_PER_CALLER = 32
RETRY_SECONDS = 5.0

ALIVE = b"event: alive\ndata: {}\n\n"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event. `data` is JSON without line breaks. Clients that come back continue after the last `event_id`."""

    event: str
    data: bytes
    event_id: str | None = None

    def encode(self) -> bytes:
        """The event on the wire."""
        head = b"" if self.event_id is None else b"id: " + self.event_id.encode() + b"\n"
        return b"%sevent: %s\ndata: %s\n\n" % (head, self.event.encode(), self.data)


class EventSource(Protocol):
    """Where the events of one stream come from."""

    def events(self) -> AsyncIterator[Sequence[StreamEvent]]:
        """Yield what there is, in parts of bounded size, then what is new, without end. Raises `Unavailable`.

        The first part is awaited before the response begins, so that a failure is an ordinary error response.
        """

    @property
    def is_current(self) -> bool:
        """Whether everything that happened until some moments ago has been yielded, or is about to be."""


def wants_stream(request: web.Request) -> bool:
    """Whether the client asks for a stream rather than a page."""
    kinds = members(request.headers, "Accept")
    return any(kind.partition(";")[0].strip().lower() == EVENT_STREAM_TYPE for kind in kinds)


def resumed_after(request: web.Request, after: str | None) -> str | None:
    """The cursor after which a stream begins. A client that comes back repeats the address of its first request,
    with `after`, so the cursor in its header counts.
    """
    return request.headers.get(LAST_EVENT_ID) or after


class EventStreams:
    """The open streams of a node, at most `MAX_STREAMS`, and `MAX_STREAMS_PER_CALLER` of each caller."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Event, str] = {}
        self._is_closed = False

    async def close(self, _: object = None) -> None:
        """End every stream, and refuse new ones. To be called when the node drains."""
        self._is_closed = True
        for closing in self._open:
            closing.set()

    async def serve(
        self, request: web.Request, source: EventSource, *, caller: str, check: Callable[[], Awaitable[object]]
    ) -> web.StreamResponse:
        """Send the events of `source` until the client leaves, reads nothing, may not read, or the node drains.

        `check` raises an `AuthError` other than `Unavailable` once `caller` may not read any more; it is asked
        twice a second. Raises what `source` raises before its first part, `RateLimited` or `Unavailable`.
        """
        if self._is_closed:
            raise Unavailable
        if len(self._open) >= MAX_STREAMS or list(self._open.values()).count(caller) >= MAX_STREAMS_PER_CALLER:
            raise RateLimited(retry_after_seconds=RETRY_SECONDS)
        closing = asyncio.Event()
        self._open[closing] = caller
        events = source.events()
        try:
            first = await anext(events)
            response = _begin(request)
            await response.prepare(request)
            await _Stream(request, response, source, check, closing).run(first, events)
        finally:
            del self._open[closing]
            await events.aclose()  # type: ignore[attr-defined]  # a generator
        return response


def _begin(request: web.Request) -> web.StreamResponse:
    # The middlewares add theirs after the handler, when these have been sent. A proxy that compresses holds back
    # the first kilobyte, unless it may not transform.
    headers = {
        "Content-Type": EVENT_STREAM_TYPE,
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
        "X-Content-Type-Options": "nosniff",
        "Server": "vigil",
        REQUEST_ID_HEADER: request[REQUEST_ID],
    }
    response = web.StreamResponse(headers=headers)
    response.force_close()
    return response


class _Stream:
    """One response that is being sent."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        source: EventSource,
        check: Callable[[], Awaitable[object]],
        closing: asyncio.Event,
    ) -> None:
        self._request = request
        self._response = response
        self._source = source
        self._check = check
        self._closing = closing
        self._lock = asyncio.Lock()

    async def run(self, first: Sequence[StreamEvent], events: AsyncIterator[Sequence[StreamEvent]]) -> None:
        """Send until one of the reasons to end. Never raises: the response has begun."""
        tasks = [
            asyncio.ensure_future(self._send_events(first, events)),
            asyncio.ensure_future(self._keep_alive()),
            asyncio.ensure_future(self._closing.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, TimeoutError):
                if self._request.transport is not None:
                    drop(self._request.transport)
            elif error is not None and not isinstance(error, ConnectionError | AuthError):
                log.error("stream_failed", exc_info=error)
        with suppress(ConnectionError):
            await self._response.write_eof()

    async def _send_events(
        self, first: Sequence[StreamEvent], events: AsyncIterator[Sequence[StreamEvent]]
    ) -> None:
        await self._write(b"".join(event.encode() for event in first))
        async for part in events:
            await self._write(b"".join(event.encode() for event in part))

    async def _keep_alive(self) -> None:
        """Send `alive` events. Returns when the source, or the check of the caller, is behind for too long."""
        current_at = told_at = time.monotonic()
        while (now := time.monotonic()) - current_at < BEHIND_SECONDS:
            is_allowed = True
            try:
                await self._check()
            except Unavailable:
                is_allowed = False
            if is_allowed and self._source.is_current:
                current_at = now
                if now - told_at >= ALIVE_SECONDS:
                    await self._write(ALIVE)
                    told_at = now
            await asyncio.sleep(CHECK_SECONDS)

    async def _write(self, data: bytes) -> None:
        """Send; raise `TimeoutError` for a client that reads nothing, `ConnectionError` for one that has left."""
        if not data:
            return
        async with self._lock, asyncio.timeout(MAX_WAITING_SECONDS):
            await self._response.write(data)
