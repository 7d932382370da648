"""The second origin that serves our pages: `localhost` beside 127.0.0.1."""

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from auth.http.edge.middleware import Handler
from auth.login.providers.authorization_request import SECOND_NAME
from auth.notifications.mail_templates import linking_to


class SecondOrigin:
    """The second origin that serves our pages, if any.

    Providers accept one callback address. A server on this machine has two names, 127.0.0.1 and localhost, which
    share no cookies. So a callback for a visit that was started under the second name is redirected to that
    origin, where its cookie is sent. It is never redirected elsewhere, and a server with a real host name has no
    second origin.
    """

    def __init__(self, origin: str | None) -> None:
        self._origin = origin
        self._host = urlsplit(origin).netloc if origin else None

    def is_requested(self, request: web.Request) -> bool:
        """Whether the request was made to the second origin."""
        return self._host is not None and request.host.lower() == self._host

    def redirect_url(self, request: web.Request) -> str | None:
        """Return the URL to redirect a callback to if its visit was started on the second origin; else None."""
        marked = request.query.get("state", "").endswith(SECOND_NAME)
        if self._origin is None or not marked or self.is_requested(request):
            return None
        return f"{self._origin}{request.rel_url.raw_path_qs}"

    def middlewares(self) -> list[Middleware]:
        """Let mails caused by a request to the second origin link to it: the person's cookies are there."""
        if self._origin is None:
            return []
        origin = self._origin

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.is_requested(request):
                return await handler(request)
            with linking_to(origin):
                return await handler(request)

        return [middleware]
