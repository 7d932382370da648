"""Files for the browser: the demo page and its modules, and the style of our own pages.

The files are listed once, at the start: a path that is not in the list does not exist, so that no request
can reach outside, and the demo's server code is never served. aiohttp streams them with ETag and
Last-Modified, off the event loop.
"""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from auth.errors import NotFound

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/plain; charset=utf-8",
}

# Browsers ask each time and are mostly answered 304: a new version is seen at once.
REVALIDATE = "no-cache"


class Files:
    """The files under one folder that may be served."""

    def __init__(self, folder: Path) -> None:
        self._files = listed(folder)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The file that the route's `path` names."""
        return self.response(request.match_info["path"])

    def response(self, name: str) -> web.FileResponse:
        """The file of that name. Raises `NotFound`."""
        file = self._files.get(name)
        if file is None:
            raise NotFound
        headers = {"Content-Type": CONTENT_TYPES[file.suffix], "Cache-Control": REVALIDATE}
        return web.FileResponse(file, headers=headers)

    def __contains__(self, name: str) -> bool:
        return name in self._files


def listed(folder: Path) -> Mapping[str, Path]:
    """Every file below `folder` of a kind that browsers get, by its path; nothing hidden, no links."""
    root = folder.resolve()
    files = sorted(path for path in root.rglob("*") if path.suffix in CONTENT_TYPES and path.is_file())
    names = {path.relative_to(root): path for path in files if not path.is_symlink()}
    return {
        name.as_posix(): path
        for name, path in names.items()
        if path.resolve() == path and not any(part.startswith(".") for part in name.parts)
    }
