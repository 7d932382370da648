"""Requests to Vigil: bounded in time and size, without redirects."""

import http.client
import json
import ssl
import time
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
    """Sends GET requests. Raises `OSError` for everything that fails."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if ssl_context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=ssl_context))
        self._opener = urllib.request.build_opener(*handlers)

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str], *, timeout: float) -> Iterator[Any]:
        """Open a response; `timeout` is for the connection and for each read."""
        request = urllib.request.Request(url, headers={"User-Agent": "vigil-verify", **headers})  # noqa: S310
        try:
            with self._opener.open(request, timeout=timeout) as response:
                yield response
        except http.client.HTTPException as error:  # an answer that is not HTTP
            raise OSError(f"{type(error).__name__}: {error}") from error

    def json(self, url: str, *, timeout: float) -> Any:
        """The body as JSON, which has to arrive within `timeout`, too. Raises `ValueError`, too."""
        raw, until = b"", time.monotonic() + timeout
        with self.open(url, {"Accept": "application/json"}, timeout=timeout) as response:
            while part := response.read1(MAX_BODY):
                raw += part
                if len(raw) > MAX_BODY:
                    raise ValueError("the response is too large")
                if time.monotonic() > until:
                    raise TimeoutError("the response takes too long")
        try:
            return json.loads(raw)
        except RecursionError:
            raise ValueError("the response is nested too deeply") from None
