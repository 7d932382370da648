"""A check with a cached result, for expensive checks that anyone may trigger."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class CachedProbe(Generic[T]):
    """Runs `ask` at most once at a time and caches its result for `life_seconds`.

    Concurrent callers share one run; cancelling a caller does not cancel it.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        *,
        life_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._life_seconds = life_seconds
        self._monotonic = monotonic
        self._asking: asyncio.Task[T] | None = None
        self._good_until = 0.0

    async def answer(self) -> T:
        """The result, at most `life_seconds` old. If `ask` raised, raises the same exception for the same time."""
        if self._asking is None or (self._asking.done() and self._monotonic() >= self._good_until):
            self._asking = asyncio.create_task(self._ask_once())
        return await asyncio.shield(self._asking)

    async def _ask_once(self) -> T:
        try:
            return await self._ask()
        finally:
            self._good_until = self._monotonic() + self._life_seconds
