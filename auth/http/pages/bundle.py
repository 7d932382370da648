"""Serves the bundled page: few compressed files, named by their content, so that browsers may keep them.

`make page` writes the bundle. It is committed, so that a server needs no Node.js. Its manifest has the digests of
its sources. If one has changed since, the page is served from its modules: an older bundle never hides a change.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from multidict import MultiMapping

from auth.core.errors import NotFound
from auth.http.pages.static import CONTENT_TYPES, REVALIDATE, listed
from auth.platform.header_lists import members

FOLDER = "bundle"
INDEX = "index.html"
FOR_EVER = "public, max-age=31536000, immutable"

# The subfolders of the encodings, best first.
ENCODINGS = ("br", "gzip")


class Bundle:
    """The bundle of one page."""

    def __init__(self, folder: Path) -> None:
        self._files = listed(folder)
        self._pages = {encoding: _read(self._file(INDEX, encoding)) for encoding in (*ENCODINGS, None)}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve the file named by the route's `name`. Raises `NotFound`."""
        name = request.match_info["name"]
        if name == INDEX or name not in self._files or "/" in name:
            raise NotFound
        encoding = best_encoding(request.headers)
        file = self._file(name, encoding)
        return web.FileResponse(file, headers=_headers(file, encoding, FOR_EVER))

    def index(self, request: web.Request) -> web.Response:
        """Build a response with the page, which browsers revalidate on each use.

        Its ETag is of the content: two versions may have the same size, and the same time if a build sets it.
        """
        encoding = best_encoding(request.headers)
        body, etag = self._pages[encoding]
        headers = _headers(self._file(INDEX, encoding), encoding, REVALIDATE)
        is_known = any(known.value == etag for known in request.if_none_match or ())
        response = web.Response(status=304 if is_known else 200, body=None if is_known else body, headers=headers)
        response.etag = etag
        return response

    def _file(self, name: str, encoding: str | None) -> Path:
        return self._files[f"{encoding}/{name}" if encoding else name]


def _read(file: Path) -> tuple[bytes, str]:
    """Return the content and its ETag."""
    content = file.read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:32]


def _headers(file: Path, encoding: str | None, cache_control: str) -> Mapping[str, str]:
    headers = {
        "Content-Type": CONTENT_TYPES[file.suffix],
        "Cache-Control": cache_control,
        "Vary": "Accept-Encoding",
    }
    return headers | {"Content-Encoding": encoding} if encoding else headers


def current_bundle(page: Path) -> Bundle | None:
    """Return the bundle of the page in the folder `page`; None if there is none, or if a source has changed."""
    try:
        sources = json.loads((page / FOLDER / "manifest.json").read_bytes())["sources"]
        is_current = all(_sha256(page / name) == digest for name, digest in sources.items())
    except FileNotFoundError:
        return None
    return Bundle(page / FOLDER) if is_current else None


def best_encoding(headers: MultiMapping[str]) -> str | None:
    """Return the best of `ENCODINGS` that the request accepts (RFC 9110, 12.5.3); None for none."""
    accepted = _weights(members(headers, "Accept-Encoding"))
    return next((encoding for encoding in ENCODINGS if accepted.get(encoding, accepted.get("*", 0.0)) > 0), None)


def _weights(codings: list[str]) -> Mapping[str, float]:
    """Return the weight of each coding. A weight that is not a number excludes the coding."""
    weights = {}
    for coding in codings:
        name, _, parameter = coding.lower().partition(";")
        key, _, value = parameter.replace(" ", "").partition("=")
        weights[name.strip()] = _number(value) if key == "q" else 1.0
    return weights


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
