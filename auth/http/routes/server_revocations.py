"""Revoked sessions, as pages and as a stream (protocol.md, section 8)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from aiohttp import web

from auth.backends.keys import ServerKeys
from auth.backends.revocations import RevocationCursor, RevocationFeed
from auth.core.server_keys import Scope
from auth.http.edge.event_stream import EventStreams, StreamEvent, resumed_after, wants_stream
from auth.http.routing import Call, endpoint
from auth.http.schemas.server_revocations import RevocationsAnswer, RevocationsQuery, RevocationView


class BackendRevocationRoutes:
    """Revocations, for services that verify access tokens themselves."""

    tag = "Server API"

    def __init__(self, revocations: RevocationFeed, keys: ServerKeys, streams: EventStreams) -> None:
        self._revocations = revocations
        self._keys = keys
        self._streams = streams

    @endpoint("GET", "/revocations", summary="Follow the revocations of sessions", scopes=(Scope.REVOCATIONS,))
    async def revocations(self, call: Call, query: RevocationsQuery) -> RevocationsAnswer | web.StreamResponse:
        """With `Accept: text/event-stream`: all that are in force, then `caught-up`, then new ones."""
        is_stream = wants_stream(call.request)
        text = resumed_after(call.request, query.after) if is_stream else query.after
        after = None if text is None else RevocationCursor.parse(text)
        if not is_stream:
            page = await self._revocations.page(after, limit=query.limit)
            return RevocationsAnswer.of(page, life=self._revocations.life)
        key_id = call.server_key.key_id
        return await self._streams.serve(
            call.request,
            RevocationSource(self._revocations, after),
            caller=key_id,
            check=lambda: self._keys.require_valid(key_id),
        )


class RevocationSource:
    """The revocations after a cursor, as events."""

    def __init__(self, revocations: RevocationFeed, after: RevocationCursor | None) -> None:
        self._revocations = revocations
        self._after = after

    @property
    def is_current(self) -> bool:
        """Part of `EventSource`."""
        return self._revocations.is_current

    async def events(self) -> AsyncIterator[Sequence[StreamEvent]]:
        """Part of `EventSource`."""
        last = self._after.at if self._after is not None else None
        async with aclosing(self._revocations.follow(self._after)) as parts:  # type: ignore[type-var]
            async for part in parts:
                events = []
                for each in part:
                    # Never back: what is found late has an earlier time.
                    last = each.at if last is None else max(last, each.at)
                    view = RevocationView.of(each, life=self._revocations.life)
                    events.append(StreamEvent("revoked", view.to_json(), str(RevocationCursor(last))))
                yield events or [StreamEvent("caught-up", b"{}")]
