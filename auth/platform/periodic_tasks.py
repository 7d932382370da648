"""Periodic sweeps, which find work that is due or was left by a node that died.

Items are isolated by `one_item`: an account, mail or socket that fails is logged and does not block the others.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import structlog

from auth.core.errors import Unavailable
from auth.core.tasks import end

log = structlog.get_logger()


@contextlib.contextmanager
def one_item(work: str, **which: str) -> Iterator[None]:
    """Log any exception of one item of `work` as `item_failed` with the fields `which`, and continue.

    `Unavailable` is raised on: with a store down the other items would fail too, and the next sweep finds them
    again.
    """
    try:
        yield
    except Unavailable:
        raise
    except Exception:  # a defect in one item must not block the others
        log.exception("item_failed", work=work, **which)


class PeriodicTask:
    """Runs `work` every `every_seconds`, from `start` until `close`; a failed run is logged.

    `work` returns the number of items processed. Every node runs its own sweeps; a claim in MongoDB assigns
    each item to one node.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[int]], *, every_seconds: float) -> None:
        self._name = name
        self._work = work
        self._every_seconds = every_seconds
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start, with the first run immediately."""
        self._running = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Stop. A half-processed item can be claimed again later. A no-op if never started."""
        await end(self._running)

    async def _run(self) -> None:
        while True:
            try:
                if count := await self._work():
                    log.info("swept", sweep=self._name, count=count)
            except Unavailable:
                log.warning("sweep_failed", sweep=self._name)
            except Exception:  # a failed run must not stop the sweeps
                log.exception("sweep_failed", sweep=self._name)
            await asyncio.sleep(self._every_seconds)
