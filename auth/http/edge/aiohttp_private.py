"""Adapters for all private parts of aiohttp that the HTTP edge uses; no other module here uses any.

Written for the version in `WRITTEN_FOR` and to be reviewed when that is raised; each class states what it relies
on. tests/unit/test_engine_versions.py checks the version and the names; tests/test_architecture.py checks that no
other module uses them. aiohttp has no public API to limit the time of an incomplete request, to replace the answer
to a request its parser rejects, to parse a large read in several turns, or to hand over a connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import _ErrInfo

# Distribution -> version whose source was reviewed.
WRITTEN_FOR = {"aiohttp": "3.14"}

# Parsed requests (or parser errors) that wait to be served, each with its body.
Waiting = deque[tuple[RawRequestMessage | _ErrInfo, StreamReader]]


class HttpConnection(web.RequestHandler):
    """aiohttp's connection, with public names for its private state.

    Relied on: `register` does all that `connection_made` does, except for the omissions explained there; `start`
    may run when requests wait already; `data_received` counts every parsed head in `_request_count`, appends it to
    `_messages`, sets `_upgraded` after an upgrade request and keeps the bytes after it in `_message_tail`, which
    `finish_response` parses if the upgrade was declined; an `_ErrInfo` in place of a request is answered by
    `handle_error`; `connection_lost` closes `transport` unless it is None.
    """

    __slots__ = ()

    def register(self, transport: asyncio.Transport) -> None:
        """Accept a connection without starting its task; replaces aiohttp's `connection_made`.

        Also omitted, since without effect: aiohttp's timer for a silent peer, which our request deadline covers;
        TCP_NODELAY, which the event loop sets; and TCP keep-alive, whose first probe after two hours is later than
        all our deadlines.
        """
        self.transport = transport
        assert self._manager is not None
        self._manager.connection_made(self, transport)

    def keep_idle_for(self, seconds: float) -> None:
        """Set how long the connection may be idle between two requests."""
        self._keepalive_timeout = seconds

    def begin_serving(self) -> None:
        """Start the task that serves requests, beginning with those that wait."""
        self._task_handler = self._loop.create_task(self.start())

    @property
    def heads_parsed(self) -> int:
        """Number of request heads parsed so far."""
        return self._request_count

    @property
    def waiting(self) -> Waiting:
        """Parsed requests not yet served."""
        return self._messages

    @property
    def is_upgrade_pending(self) -> bool:
        """Whether the last request asks for an upgrade; bytes after it are not parsed unless it is declined."""
        return self._upgraded

    @property
    def bytes_after_upgrade(self) -> bytes:
        """Bytes received after a pending upgrade request."""
        return self._message_tail if self._upgraded else b""

    @property
    def served_request(self) -> web.BaseRequest | None:
        """The request being served."""
        return self._current_request

    def fail_served_request(self, error: BaseException) -> None:
        """Make further reads of the served request's body raise `error`."""
        if self._current_request is not None:
            self._current_request._cancel(error)

    def refuse_next(self, status: int, error: Exception, message: str) -> None:
        """Queue an error after the waiting requests; `handle_error` answers it like a parser error."""
        self._messages.append((_ErrInfo(status, error, message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def is_input_paused(self) -> bool:
        """Whether reading is paused because bodies or waiting requests are not consumed."""
        return self._reading_paused or self._buffer_paused

    def pause_input(self) -> None:
        """Pause reading from the network."""
        self._pause_transport_reading()

    def resume_input(self) -> None:
        """Resume reading from the network; aiohttp calls this too."""
        super()._resume_transport_reading()

    def _resume_transport_reading(self) -> None:
        self.resume_input()

    def hand_over(self, successor: asyncio.Protocol, rest: bytes = b"") -> None:
        """Hand the connection over to `successor`, with the bytes received after the upgrade and `rest`.

        aiohttp treats the connection as lost: it drops connection and request, and closes nothing.
        """
        transport, behind = self.transport, self._message_tail + rest
        if transport is not None:
            # Reading may be paused, if the head came in pieces or much data followed it; only we can resume it.
            super()._resume_transport_reading()
            transport.set_protocol(successor)
        self._message_tail = b""
        self.transport = None
        self.connection_lost(None)
        if behind:
            successor.data_received(behind)


class ConnectionFactory(web.Server):
    """aiohttp's server, creating a `connection_class` for each peer.

    Relied on: `__call__` creates a connection from the server, its `_loop` and its `_kwargs`.
    """

    connection_class: Callable[..., HttpConnection]

    def __call__(self) -> web.RequestHandler:
        return self.connection_class(self, loop=self._loop, **self._kwargs)


class FactoryRunner(web.AppRunner):
    """aiohttp's application runner, using the server that `make_server` returns.

    Relied on: `_make_server` starts the application and returns a server whose attributes can build another one.
    """

    def make_server(self, handler: Any, **options: Any) -> web.Server:
        """Build the server from the arguments of `web.Server`."""
        raise NotImplementedError

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return self.make_server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
