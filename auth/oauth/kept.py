"""A document of a provider's: asked for once, however many wait for it, and kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from auth.clock import Clock
from auth.errors import AuthError

T = TypeVar("T")

FRESH = timedelta(hours=1)
# While the provider does not answer, yesterday's document is better than none: its keys change over weeks.
USABLE = timedelta(days=1)
# After a failure nobody asks again for this long: those who waited are told at once.
PAUSE = timedelta(seconds=5)
# How often a document may be asked for because something was missing in it, which a forger can bring about.
RENEWAL = timedelta(minutes=1)


class Kept(Generic[T]):
    """One document."""

    def __init__(self, load: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._value: tuple[T, datetime] | None = None
        self._failure: tuple[AuthError, datetime] | None = None

    async def get(self) -> T:
        """The document, an hour old at most; a day, while there is no other. Raises what loading it raises."""
        return await self._newer_than(FRESH)

    async def renewed(self) -> T:
        """The document as it is now, asked for once a minute at most."""
        return await self._newer_than(RENEWAL)

    async def _newer_than(self, age: timedelta) -> T:
        if self._value is not None and self._clock() - self._value[1] < age:
            return self._value[0]
        async with self._one_at_a_time:
            now = self._clock()
            if self._value is not None and now - self._value[1] < age:
                return self._value[0]
            try:
                return await self._loaded(now)
            except AuthError:
                if self._value is not None and now - self._value[1] < USABLE:
                    return self._value[0]
                raise

    async def _loaded(self, now: datetime) -> T:
        if self._failure is not None and now - self._failure[1] < PAUSE:
            raise self._failure[0]
        try:
            value = await self._load()
        except AuthError as failure:
            self._failure = (failure, self._clock())
            raise
        self._value, self._failure = (value, self._clock()), None
        return value
