"""Background tasks and their cancellation."""

import asyncio
from collections.abc import Coroutine
from typing import Any

RETRY_SECONDS = 0.1


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel the tasks and wait until they have finished, ignoring their exceptions.

    Cancels repeatedly: until Python 3.12, `asyncio.wait_for` swallows a cancellation that arrives as it
    completes (CPython issue 86296). Every command to Redis and MongoDB goes through it, so a loop could
    otherwise run forever.
    """
    while pending := {task for task in tasks if task is not None and not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=RETRY_SECONDS)
    await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


class Background:
    """Holds references to background tasks, since the event loop keeps only weak ones."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finished(self, seconds: float | None = None) -> None:
        """Wait until all tasks are done, for at most `seconds`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
