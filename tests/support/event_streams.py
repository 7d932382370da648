"""Reads the event streams of the server API."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from support.backends import Backend

STREAM = {"Accept": "text/event-stream"}
WAIT_SECONDS = 30


class Stream:
    """A stream that is being read."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.last_id = ""

    async def next(self) -> tuple[str, Any] | None:
        """Name and data of the next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(WAIT_SECONDS):
            while line := await self.answer.content.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                    continue
                self.last_id = fields.get("id", self.last_id)
                return fields["event"], json.loads(fields["data"])
        return None

    async def until(self, name: str, **fields: Any) -> list[tuple[str, Any]]:
        """The events up to the first of this name with these fields."""
        seen = []
        while event := await self.next():
            seen.append(event)
            if event[0] == name and fields.items() <= event[1].items():
                return seen
        raise AssertionError(f"the stream ended after {seen}")


@asynccontextmanager
async def opened(
    backend: Backend, *, last_id: str | None = None, path: str = "/revocations"
) -> AsyncIterator[Stream]:
    headers = STREAM | {"Authorization": f"Bearer {backend.key}"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    url = f"{backend.url}/api/server{path}"
    async with backend.http.get(url, headers=headers, timeout=aiohttp.ClientTimeout(None)) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream"), await answer.text()
        yield Stream(answer)
