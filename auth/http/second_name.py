"""Visits to a provider under the second name of this machine alone.

Providers know one address to send people back to. A page on this machine has two names, 127.0.0.1 and localhost,
which share no cookie: an answer to a visit that was begun under the second one is passed on to it, to meet the
cookie of the visit there. It is passed on to that one origin and nowhere else, and a server with a name of its own
has no second one.
"""

from urllib.parse import urlsplit

from aiohttp import web

from auth.oauth.flow import SECOND_NAME


class SecondName:
    """The second origin that our own pages are served on; None where there is one only."""

    def __init__(self, origin: str | None) -> None:
        self._origin = origin
        self._host = urlsplit(origin).netloc if origin else None

    def is_asked(self, request: web.Request) -> bool:
        """Whether the browser asked under the second name."""
        return self._host is not None and request.host.lower() == self._host

    def way_back(self, request: web.Request) -> str | None:
        """Where an answer has to go that came under the first name to a visit begun under the second."""
        marked = request.query.get("state", "").endswith(SECOND_NAME)
        if self._origin is None or not marked or self.is_asked(request):
            return None
        return f"{self._origin}{request.rel_url.raw_path_qs}"
