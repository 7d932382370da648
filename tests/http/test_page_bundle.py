"""The bundle of the page over HTTP: encodings, and what browsers and proxies may keep."""

import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from support.clients import Answer
from support.nodes import ROOT, Node

from auth.http.pages.bundle import FOLDER

BUNDLE = ROOT / "client-demo" / FOLDER
FILES = sorted(file.name for file in BUNDLE.iterdir() if file.suffix in {".js", ".css"})
TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}

Get = Callable[..., Awaitable[Answer]]


@pytest_asyncio.fixture
async def get(node: Node) -> AsyncIterator[Get]:
    """Sends requests with exactly these headers; bodies are as sent, compressed or not."""
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def request(path: str, method: str = "GET", **headers: str) -> Answer:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            skip = {"Accept-Encoding"} - set(sent)
            async with session.request(method, node.url + path, headers=sent, skip_auto_headers=skip) as answer:
                return Answer(answer.status, await answer.read(), answer.headers)

        yield request


@pytest.mark.parametrize("encoding", ["br", "gzip", None])
@pytest.mark.parametrize("name", FILES)
async def test_a_file_is_kept_for_ever_in_each_encoding(get: Get, name: str, encoding: str | None) -> None:
    answer = await get(f"/demo/bundle/{name}", **({"Accept_Encoding": encoding} if encoding else {}))
    assert answer.status == 200
    assert answer.body == (BUNDLE / (encoding or "") / name).read_bytes()
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Accept-Encoding" in answer.headers.getall("Vary")
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Content-Type"] == TYPES[name.rsplit(".", 1)[1]]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "ETag" in answer.headers


async def test_a_head_request_has_the_headers_alone(get: Get) -> None:
    answer = await get(f"/demo/bundle/{FILES[0]}", "HEAD", Accept_Encoding="br")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) == (BUNDLE / "br" / FILES[0]).stat().st_size


@pytest.mark.parametrize("encoding", ["br", "gzip", None])
async def test_the_page_is_revalidated_by_its_content(get: Get, encoding: str | None) -> None:
    accepted: dict[str, Any] = {"Accept_Encoding": encoding} if encoding else {}
    page = await get("/", **accepted)
    assert page.body == (BUNDLE / (encoding or "") / "index.html").read_bytes()
    again = await get("/", **accepted, If_None_Match=page.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    for answer in (page, again):
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Accept-Encoding" in answer.headers.getall("Vary")
        assert answer.headers["ETag"] == page.headers["ETag"]
    older = await get("/", **accepted, If_None_Match='"older"')
    assert (older.status, older.body) == (200, page.body)


async def test_encodings_of_the_page_are_different_representations(get: Get) -> None:
    pages = [await get("/", Accept_Encoding=encoding) for encoding in ("br", "gzip", "identity")]
    assert len({page.headers["ETag"] for page in pages}) == 3
    assert gzip.decompress(pages[1].body) == pages[2].body


async def test_both_ways_of_serving_have_the_same_strict_policy(get: Get) -> None:
    """No inline script or style is allowed, and nothing is evaluated."""
    bundled, readable = await get("/"), await get("/demo/index.html")
    assert b"/demo/bundle/" in bundled.body
    assert b"/demo/bundle/" not in readable.body
    policy = bundled.headers["Content-Security-Policy"]
    assert policy == readable.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    for page in (bundled, readable):
        assert re.search(rb"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=", page.body) is None
        assert "Sec-CH-UA-Model" in page.headers["Accept-CH"]
