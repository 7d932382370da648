"""Serves the OpenAPI and AsyncAPI documents as JSON and HTML. Each is built on first request and cached."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from auth.http.json import JSON_TYPE
from auth.http.pages import api_reference
from auth.http.pages.pages import Pages, page

MAX_AGE = 60

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Rendered:
    json: bytes
    html: str


class Documents:
    """Serves one document as JSON and as a page."""

    def __init__(self, build: Callable[[], Document], render: Callable[[Document], str]) -> None:
        self._build = build
        self._render = render
        self._rendered: _Rendered | None = None
        self._lock = asyncio.Lock()

    async def as_json(self, _request: web.Request) -> web.Response:
        """Respond with the document as JSON."""
        response = web.Response(body=(await self._ready()).json, content_type=JSON_TYPE)
        response.headers["Cache-Control"] = f"public, max-age={MAX_AGE}"
        return response

    async def as_page(self, _request: web.Request) -> web.Response:
        """Respond with the document as an HTML page."""
        return page((await self._ready()).html)

    async def _ready(self) -> _Rendered:
        # Takes about 0.1 s: runs in a thread, once for all concurrent requests.
        async with self._lock:
            if self._rendered is None:
                self._rendered = await asyncio.to_thread(self._build_all)
        return self._rendered

    def _build_all(self) -> _Rendered:
        document = self._build()
        return _Rendered(orjson.dumps(document), self._render(document))


def openapi_documents(build: Callable[[], Document], pages: Pages) -> Documents:
    """Return the documents of the HTTP API."""
    return Documents(build, lambda document: pages.render("api.html", **api_reference.api_page(document)))


def asyncapi_documents(build: Callable[[], Document], pages: Pages) -> Documents:
    """Return the documents of the live socket."""
    return Documents(build, lambda document: pages.render("events.html", **api_reference.events_page(document)))
