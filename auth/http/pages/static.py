"""Serves static files: the demo page and its modules, and the stylesheet of our pages.

Files are listed once at startup, and only listed paths are served. So no request can reach outside the folder, and
the demo's server code is never served. aiohttp streams them with ETag and Last-Modified, off the event loop.
"""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from auth.core.errors import NotFound

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/plain; charset=utf-8",
}

# Browsers revalidate on each use (mostly 304), so a new version takes effect immediately.
REVALIDATE = "no-cache"


class StaticFiles:
    """The servable files of one folder, without those below `hidden`."""

    def __init__(self, folder: Path, *, hidden: str | None = None) -> None:
        self._files = {name: file for name, file in listed(folder).items() if name.split("/")[0] != hidden}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve the file named by the route's `path`. Raises `NotFound`."""
        return self.response(request.match_info["path"])

    def response(self, name: str) -> web.FileResponse:
        """Build a response with the named file. Raises `NotFound`."""
        file = self._files.get(name)
        if file is None:
            raise NotFound
        headers = {"Content-Type": CONTENT_TYPES[file.suffix], "Cache-Control": REVALIDATE}
        return web.FileResponse(file, headers=headers)

    def __contains__(self, name: str) -> bool:
        return name in self._files


def listed(folder: Path) -> Mapping[str, Path]:
    """Return the files below `folder` with a type in `CONTENT_TYPES`, by path; no hidden files or symlinks."""
    root = folder.resolve()
    files = sorted(path for path in root.rglob("*") if path.suffix in CONTENT_TYPES and path.is_file())
    names = {path.relative_to(root): path for path in files if not path.is_symlink()}
    return {
        name.as_posix(): path
        for name, path in names.items()
        if path.resolve() == path and not any(part.startswith(".") for part in name.parts)
    }
