"""Facts for backends, as pages and as a stream (protocol.md, section 8)."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import orjson
from aiohttp import web

from auth.backends.facts import MAX_PAGE, BackendFacts
from auth.backends.keys import ServerKeys
from auth.backends.webhook_requests import json_body
from auth.core.errors import Unavailable
from auth.core.server_keys import Scope
from auth.http.edge.event_stream import BEHIND_SECONDS, EventStreams, StreamEvent, resumed_after, wants_stream
from auth.http.routing import Call, endpoint
from auth.http.schemas.server_events import EventsAnswer, EventsQuery

POLL_SECONDS = 0.25


class BackendEventRoutes:
    """What happened to sessions, devices and accounts."""

    tag = "Server API"

    def __init__(self, facts: BackendFacts, keys: ServerKeys, streams: EventStreams) -> None:
        self._facts = facts
        self._keys = keys
        self._streams = streams

    @endpoint("GET", "/events", summary="Follow what happens", scopes=(Scope.EVENTS,))
    async def events(self, call: Call, query: EventsQuery) -> EventsAnswer | web.StreamResponse:
        """With `Accept: text/event-stream`: all after the cursor, then new ones. Ids have no gaps."""
        is_stream = wants_stream(call.request)
        cursor = resumed_after(call.request, query.after) if is_stream else query.after
        number = await self._facts.start(cursor)
        if not is_stream:
            return EventsAnswer.of(await self._facts.after(number, limit=query.limit))
        key_id = call.server_key.key_id
        return await self._streams.serve(
            call.request,
            FactSource(self._facts, number),
            caller=key_id,
            check=lambda: self._keys.require_valid(key_id),
        )


class FactSource:
    """The facts after a number, as events."""

    def __init__(self, facts: BackendFacts, number: int) -> None:
        self._facts = facts
        self._number = number
        self._read_at = time.monotonic()

    @property
    def is_current(self) -> bool:
        """Part of `EventSource`."""
        return time.monotonic() - self._read_at < BEHIND_SECONDS

    async def events(self) -> AsyncIterator[Sequence[StreamEvent]]:
        """Part of `EventSource`."""
        yield await self._next()
        while True:
            try:
                if part := await self._next():
                    yield part
                    continue
            except Unavailable:
                pass  # not current; ended if it lasts
            await asyncio.sleep(POLL_SECONDS)

    async def _next(self) -> Sequence[StreamEvent]:
        if await self._facts.last() == self._number:
            self._read_at = time.monotonic()
            return ()
        page = await self._facts.after(self._number, limit=MAX_PAGE)
        self._number, self._read_at = page.last, time.monotonic()
        events = [StreamEvent("fact", json_body(each), str(each.number)) for each in page.facts]
        if page.recovered:
            return events
        oldest = str(page.facts[0].number) if page.facts else None
        return [StreamEvent("gap", orjson.dumps({"oldest": oldest})), *events]
