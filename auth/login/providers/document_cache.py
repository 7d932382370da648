"""Cache for a provider's document: concurrent callers share one request."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from auth.core.clock import Clock
from auth.core.errors import AuthError

T = TypeVar("T")

FRESH = timedelta(hours=1)
# While the provider is unavailable, an older document is used: provider keys change over weeks.
USABLE = timedelta(days=1)
# After a failure, no new request is made for this long; callers get the failure immediately.
PAUSE = timedelta(seconds=5)
# The least time between requests because a key was missing, which an attacker can provoke.
RENEWAL = timedelta(minutes=1)


class CachedDocument(Generic[T]):
    """One cached document."""

    def __init__(self, load: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: tuple[T, datetime] | None = None
        self._failure: tuple[AuthError, datetime] | None = None

    async def get(self) -> T:
        """Return the document, at most an hour old; at most a day while the provider is unavailable.

        Raises what loading it raises.
        """
        return await self._newer_than(FRESH)

    async def renewed(self) -> T:
        """Return the document at most a minute old; otherwise like `get`."""
        return await self._newer_than(RENEWAL)

    async def _newer_than(self, age: timedelta) -> T:
        if self._value is not None and self._clock() - self._value[1] < age:
            return self._value[0]
        async with self._lock:
            now = self._clock()
            if self._value is not None and now - self._value[1] < age:
                return self._value[0]
            try:
                return await self._load_now(now)
            except AuthError:
                if self._value is not None and now - self._value[1] < USABLE:
                    return self._value[0]
                raise

    async def _load_now(self, now: datetime) -> T:
        if self._failure is not None and now - self._failure[1] < PAUSE:
            raise self._failure[0]
        try:
            value = await self._load()
        except AuthError as failure:
            self._failure = (failure, self._clock())
            raise
        self._value, self._failure = (value, self._clock()), None
        return value
