"""Waits for conditions, instead of sleeping for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    check: Callable[[], Awaitable[T | None]], what: str, *, timeout: float, every: float = 0.05
) -> T:
    """Poll `check` until its result is true, and return it. Raises `AssertionError` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        answer = await check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        await asyncio.sleep(every)


class Stopwatch:
    """Measures elapsed time."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun
