"""Ending background tasks."""

import asyncio
from typing import Any

AGAIN_SECONDS = 0.1


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel the tasks and wait until they are done, whatever they raise.

    Again and again: until Python 3.12 `asyncio.wait_for`, through which every command to Redis goes, swallows
    a cancellation that comes at the moment when it is done (CPython issue 86296). A loop would go on for ever.
    """
    while pending := {task for task in tasks if task is not None and not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
