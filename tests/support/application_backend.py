"""An application's backend that Vigil posts client events to, on its own thread: shared nodes know its one URL."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + "c2VjcmV0cyBvZiB0aGUgdGVzdHMtb25seSE="  # 26 bytes


def url_settings(port: int) -> dict[str, str]:
    """The settings of a node that posts to a backend on this port."""
    return {
        "VIGIL_APPLICATION_URL": f"http://127.0.0.1:{port}/vigil",
        "VIGIL_APPLICATION_URL_SECRET": SECRET,
        "VIGIL_APPLICATION_URL_PRIVATE": "on",
    }


# What was posted → status and body of the answer.
Answer = Callable[[dict[str, Any]], tuple[int, Any]]


@dataclass
class ApplicationBackend:
    """Verifies and records what is posted; answers by `answers`, by event, or with an empty object."""

    answers: dict[str, Answer] = field(default_factory=dict)
    taken: list[dict[str, Any]] = field(default_factory=list)
    # Of connections, to see that they are kept open.
    peers: set[Any] = field(default_factory=set)
    # Posts to these events are held until the event is set.
    held: dict[str, threading.Event] = field(default_factory=dict)
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _runner: web.AppRunner | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Run it in a thread, until `close`."""
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.listen()

    def listen(self) -> None:
        """Accept connections, on the same port as before."""
        self._run(self._listen())

    def stop_listening(self) -> None:
        """End all connections, and refuse new ones."""
        assert self._runner is not None
        self._run(self._runner.cleanup())

    def close(self) -> None:
        self.stop_listening()
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join()
        self._loop.close()

    def of(self, socket_id: str, event: str | None = None) -> list[dict[str, Any]]:
        """What was posted for a socket."""
        return [
            each for each in list(self.taken) if each["socketId"] == socket_id and event in {None, each["event"]}
        ]

    def _run(self, work: Awaitable[None]) -> None:
        async def done() -> None:
            await work

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(30)

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_post("/vigil", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        posted = Webhook(SECRET).verify(body, dict(request.headers))
        assert request.headers["webhook-id"] == posted["eventId"]
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.taken.append(posted)
        while posted["event"] in self.held and not self.held[posted["event"]].is_set():
            await asyncio.sleep(0.02)
        answer = self.answers.get(posted["event"])
        status, content = answer(posted) if answer else (200, {})
        text = content if isinstance(content, str) else json.dumps(content)
        return web.Response(
            status=status, text=text, content_type="application/json", headers={"Location": "/vigil"}
        )
