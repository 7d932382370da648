"""Work that is looked for again and again: what a node that died left, what has become due."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from auth.errors import Unavailable

log = structlog.get_logger()


class Sweep:
    """Does `work` every so many seconds, from `start` until `close`, whatever becomes of one try.

    `work` says how much it did. Each node has its own sweeps: a claim in MongoDB gives each piece of work to one.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[int]], *, every_seconds: float) -> None:
        self._name = name
        self._work = work
        self._every_seconds = every_seconds
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with the first try at once."""
        self._running = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Stop; what is half done is left to the next claim. Fine when it never began."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                if count := await self._work():
                    log.info("swept", sweep=self._name, count=count)
            except Unavailable:
                log.warning("sweep_failed", sweep=self._name)
            except Exception:  # a defect met at one account must not keep all others for ever
                log.exception("sweep_failed", sweep=self._name)
            await asyncio.sleep(self._every_seconds)
