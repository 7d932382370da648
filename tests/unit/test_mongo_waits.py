"""PyMongo's operations wait under a lock; one that is cancelled meanwhile leaves the lock to the others."""

import asyncio
from contextlib import suppress

from pymongo.lock import _async_cond_wait, _async_create_condition, _async_create_lock

import auth.stores.mongo  # noqa: F401 # PyMongo as Vigil uses it


async def test_an_operation_that_is_cancelled_as_its_wait_is_over_keeps_no_lock() -> None:
    lock = _async_create_lock()
    condition = _async_create_condition(lock)

    async def wait() -> None:
        async with lock:
            await _async_cond_wait(condition, 0.05)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    async with lock:
        # Its time is over, and it waits for the lock.
        await asyncio.sleep(0.2)
        waiting.cancel()
        await asyncio.sleep(0)
    with suppress(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(30):
        await lock.acquire()
