"""What many callers ask at once, in one query."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Queries of one kind that run at once; what is asked meanwhile goes together into the next.
MOST_AT_ONCE = 4
MOST_TOGETHER = 256


class Gathering(Generic[K, V]):
    """Answers what is asked at one time with one call of `read`, which maps keys to answers.

    At one time: in one turn of the event loop, or while `at_once` calls are under way. A round trip to
    MongoDB costs some 130 µs of CPU in the driver, and little more for ten documents than for one; with 16
    requests at a time, a read is three times as cheap. Guarantee: `read` begins after the question, so no
    answer is older than that of a query of one's own, and a write is done when it is answered. Who goes away
    disturbs nobody; a query that fails fails all who asked for it together.
    """

    def __init__(
        self, read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, at_once: int = MOST_AT_ONCE
    ) -> None:
        self._read = read
        self._at_once = at_once
        self._asked: list[tuple[K, asyncio.Future[V | None]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, key: K) -> V | None:
        """The answer for `key`, or None where `read` has none. Raises what `read` raises."""
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, answer))
        if len(self._asked) == 1:
            self._begin()
        return await answer

    def _begin(self) -> None:
        if self._asked and len(self._running) < self._at_once:
            # It runs when everybody whose turn it is now has asked.
            task = asyncio.create_task(self._answer())
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._begin()

    async def _answer(self) -> None:
        asked, self._asked = self._asked[:MOST_TOGETHER], self._asked[MOST_TOGETHER:]
        # The rest, if any, does not wait for these.
        self._begin()
        try:
            found = await self._read(list(dict.fromkeys(key for key, _ in asked)))
            for key, answer in asked:
                if not answer.done():
                    answer.set_result(found.get(key))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who asked are to hear it
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            for _, answer in asked:
                answer.cancel()  # of no effect on those that have their answer
