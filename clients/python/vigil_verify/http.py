"""Requests to Vigil: bounded in time and size, without redirects."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

MAX_BODY = 256 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A server key must not follow a redirect to somebody else."""


class Http:
    """Sends GET requests. Raises `OSError` for everything that fails (`urllib`'s errors are such)."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if ssl_context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=ssl_context))
        self._opener = urllib.request.build_opener(*handlers)

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str], *, timeout: float) -> Iterator[Any]:
        """Open a response; `timeout` is for the connection and for each read."""
        request = urllib.request.Request(url, headers={"User-Agent": "vigil-verify", **headers})  # noqa: S310
        response = self._opener.open(request, timeout=timeout)
        try:
            yield response
        finally:
            response.close()

    def json(self, url: str, *, timeout: float) -> Any:
        """The body as JSON. Raises `ValueError`, too."""
        with self.open(url, {"Accept": "application/json"}, timeout=timeout) as response:
            raw = response.read(MAX_BODY + 1)
        if len(raw) > MAX_BODY:
            raise ValueError("the response is too large")
        return json.loads(raw)
