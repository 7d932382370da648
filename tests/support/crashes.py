"""Crashes of a node between any two calls of the stores, within one process.

An act runs with a budget of calls: writes to MongoDB, and commands and scripts to Redis. After the last one it is
aborted, and whatever of it is still running reaches no store any more, as if its process had ended.
"""

import functools
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from auth.platform.redis.link import RedisLink

T = TypeVar("T")
WRITES = (
    "insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many",
    "find_one_and_update", "find_one_and_delete", "bulk_write",
)  # fmt: skip


class Crashed(Exception):
    """The process has ended."""


class Budget:
    """The calls that are left; a crash follows the last one."""

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self.is_spent = False

    def check(self) -> None:
        """Raise `Crashed` if the process has ended."""
        if self.is_spent:
            raise Crashed

    def spend(self) -> None:
        """Count a call that was made. Raises `Crashed` after the last one."""
        self._calls -= 1
        self.is_spent = self._calls <= 0
        self.check()


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


async def run_until_crash(act: Callable[[], Coroutine[Any, Any, T]], calls: int | None) -> tuple[bool, T | None]:
    """Run `act`; whether it crashed, and what it returned if not. `calls` None: it does not crash."""
    budget = None if calls is None else Budget(calls)
    token = _budget.set(budget)
    try:
        answer = await act()
    except Crashed:
        return True, None
    finally:
        _budget.reset(token)
    return (True, None) if budget is not None and budget.is_spent else (False, answer)


def make_crashable(patch: pytest.MonkeyPatch) -> None:
    """Wrap the drivers. Before nodes are made: they keep bound methods."""
    for name in WRITES:
        patch.setattr(AsyncCollection, name, _counted(getattr(AsyncCollection, name)))
    patch.setattr(RedisLink, "execute", _counted(RedisLink.execute))


def _counted(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(call)
    async def counted(*args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        if budget is None:
            return await call(*args, **kwargs)
        budget.check()
        answer = await call(*args, **kwargs)
        budget.spend()
        return answer

    return counted
