"""A server of ours in the process of the test, which reaches into it: what no other server can be asked."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from auth.http.edge.runner import HttpRunner
from auth.platform.metrics import Metrics
from auth.platform.open_connections import OpenConnections
from realtime.engine.sockets import NodeDraining, Received


class Gate:
    """Lets everybody in, once `is_open` and until it is leaving, and then does as `greet` says."""

    def __init__(self) -> None:
        self.here: list[str] = []
        self.is_leaving = False
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.greet: Callable[[str], None] = lambda _: None
        # After how many seconds who opens a connection may come again, and how many were told so.
        self.wait: Callable[[], float | None] = lambda: None
        self.refused = 0

    def refuses(self, request: web.BaseRequest) -> float | None:
        return self.wait()

    def count_refused(self) -> None:
        self.refused += 1

    def note(self, request: web.BaseRequest) -> None:
        """Nothing."""

    def gone(self, noted: None) -> None:
        """Nothing."""

    async def admit(self, socket_id: str, noted: None, auth: Any) -> None:
        if self.is_leaving:
            raise NodeDraining
        await self.is_open.wait()

    def admitted(self, socket_id: str) -> None:
        self.here.append(socket_id)
        self.greet(socket_id)

    def receive(self, socket_id: str, received: Received) -> None:
        received.answer("heard")

    def left(self, socket_id: str) -> None:
        self.here.remove(socket_id)


async def start_here(
    app: web.Application, port: int, ahead: Mapping[str, Callable[[Any], Any]] = MappingProxyType({})
) -> HttpRunner:
    """Serve `app` at `port`, for any number of connections: the cap on them is no part of the protocols."""
    not_counted = OpenConnections(0, proxies=(), metrics=Metrics())
    runner = HttpRunner(app, open_connections=not_counted, ahead=ahead, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner
