"""Batching: concurrent questions of many callers are combined into one query."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Questions asked while a query is running are combined into the next one, which begins when it ends, or after this
# time: one that hangs must not delay all others.
PATIENCE_SECONDS = 0.02
# Maximum concurrent queries of one kind.
MAX_CONCURRENT = 4
MAX_BATCH = 256


class BatchedReads(Generic[K, V]):
    """Combines concurrent questions into one call of `read`, which maps keys to answers.

    Questions are combined if asked in the same turn of the event loop, or while a call is running, unless it takes
    longer than `PATIENCE_SECONDS`; then another one is begun beside it, up to `at_once`. A round trip to MongoDB
    costs some 130 µs of CPU in the driver, and little more for ten documents than for one; with 16 concurrent
    requests a read costs a third.

    Guarantee: `read` starts after the question was asked, so an answer is never older than that of a separate
    query, and a write is done when it is answered. Cancelling a caller does not affect the others; an exception of
    `read` goes to all callers of that batch.
    """

    def __init__(
        self, read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, at_once: int = MAX_CONCURRENT
    ) -> None:
        self._read = read
        self._at_once = at_once
        self._asked: list[tuple[K, asyncio.Future[V | None]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, key: K) -> V | None:
        """The answer for `key`; None if `read` has none. Raises what `read` raises."""
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, answer))
        if len(self._asked) == 1:
            self._begin()
        return await answer

    def _begin(self) -> None:
        if not self._asked:
            return
        if self._running:
            loop = asyncio.get_running_loop()
            loop.call_later(PATIENCE_SECONDS, self._begin_beside, self._asked[0])
        else:
            self._start()

    def _begin_beside(self, waiting: tuple[K, asyncio.Future[V | None]]) -> None:
        if self._asked and self._asked[0] is waiting and len(self._running) < self._at_once:
            self._start()

    def _start(self) -> None:
        # The task starts after all callers in this turn of the loop have asked.
        task = asyncio.create_task(self._answer())
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._begin()

    async def _answer(self) -> None:
        asked, self._asked = self._asked[:MAX_BATCH], self._asked[MAX_BATCH:]
        if not asked:
            return  # another batch started in the same turn has taken them
        # What is beyond one batch waits for this one, or for the patience to end.
        self._begin()
        try:
            found = await self._read(list(dict.fromkeys(key for key, _ in asked)))
            for key, answer in asked:
                if not answer.done():
                    answer.set_result(found.get(key))
        except Exception as error:  # noqa: BLE001 - passed on to the callers
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            for _, answer in asked:
                answer.cancel()  # no effect on futures that are done
