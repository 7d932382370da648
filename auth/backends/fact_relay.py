"""Numbers facts and sends webhooks: on one node at a time, which holds a lease in MongoDB.

The acts that cause facts do nothing for them. The relay reads MongoDB's own log from the position of the last fact
on, whichever node wrote, and whatever happened to that node or to Redis.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

import structlog

from auth.core.errors import Unavailable
from auth.core.facts import FactType, NewFact
from auth.core.tasks import end
from auth.services import Operation, Services
from auth.stores.change_feed import Change, ChangeFeed, FeedStart, PositionLost, SessionsOfChanges, fact_of
from auth.stores.facts import FactStore, NumberTaken, RelayState

LEASE = timedelta(seconds=10)
# How often the lease is asked for, or renewed.
CLAIM_SECONDS = 3.0
# For a failed renewal. Less than the lease, so that this node stops before another begins.
STOP_AFTER_SECONDS = 8.0
# After the feed of changes has failed.
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 1.0
BATCH = 500
# Changes are collected this long: each batch costs some commands to MongoDB, whatever its size.
COLLECT_SECONDS = 0.05
MAX_QUEUED = 2 * BATCH
# The position is noted this often while there are no facts, so that MongoDB's log always reaches back to it.
NOTE_SECONDS = 10.0

log = structlog.get_logger()

# Runs until it is cancelled, given an event that is set when there are new facts.
Follower = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class FactRelay(Operation):
    """Takes the lease and, while it has it, numbers facts and runs `follow`."""

    def __init__(
        self,
        services: Services,
        *,
        facts: FactStore,
        make_feed: Callable[[], ChangeFeed],
        sessions: SessionsOfChanges,
        follow: Follower,
    ) -> None:
        super().__init__(services)
        self._facts = facts
        self._make_feed = make_feed
        self._sessions = sessions
        self._follow = follow
        self._owner = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None
        self._appended = asyncio.Event()

    def start(self) -> None:
        """Start, until `close`."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop, and return the lease. A no-op if never started."""
        if self._task is not None:
            await end(self._task)
            # It runs out by itself: a MongoDB that does not answer must not delay the stop of the node.
            with contextlib.suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._facts.release(self._owner)

    async def _run(self) -> None:
        while True:
            try:
                if await self._claim():
                    await self._lead()
            except Unavailable as down:
                self._note_delay(down)
            except Exception:  # a defect must not end it
                log.exception("facts_failed")
            await asyncio.sleep(CLAIM_SECONDS)

    def _note_delay(self, down: Unavailable) -> None:
        self._metrics.facts_delayed.inc()
        log.warning("facts_delayed", cause=repr(down.__cause__))

    async def _claim(self) -> bool:
        now = self._clock()
        return await self._facts.claim(self._owner, now=now, until=now + LEASE)

    async def _lead(self) -> None:
        """Work until the lease is lost."""
        log.info("facts_relay_began")
        loop = asyncio.get_running_loop()
        renewed_at = loop.time()
        work = [asyncio.create_task(self._relay()), asyncio.create_task(self._follow(self._appended))]
        try:
            while loop.time() - renewed_at < STOP_AFTER_SECONDS:
                await asyncio.sleep(CLAIM_SECONDS)
                asked_at = loop.time()
                with contextlib.suppress(Unavailable):
                    if not await self._claim():
                        break
                    renewed_at = asked_at
        finally:
            await end(*work)

    async def _relay(self) -> None:
        while True:
            feed = self._make_feed()
            try:
                await self._relay_from(feed, await self._facts.state())
            except PositionLost:
                await self._skip()
            except NumberTaken:
                log.info("facts_taken_over")
            except Unavailable as down:
                self._note_delay(down)
            except Exception:  # a defect must not end it
                log.exception("facts_failed")
            finally:
                await feed.close()
            await asyncio.sleep(RETRY_SECONDS)

    async def _relay_from(self, feed: ChangeFeed, state: RelayState) -> None:
        number = state.number
        await feed.open(state.start)
        noted_at = asyncio.get_running_loop().time()
        async with _batches(feed) as batches:
            async for changes, position in batches:
                number = await self._append(changes, number)
                now = asyncio.get_running_loop().time()
                if position is not None and now - noted_at > NOTE_SECONDS:
                    await self._facts.note_position(number, position)
                    noted_at = now

    async def _append(self, changes: Sequence[Change], number: int) -> int:
        sessions = await self._sessions.of(changes)
        facts = [(fact, change.position) for change in changes if (fact := fact_of(change, sessions)) is not None]
        if facts:
            number = await self._facts.append(facts, after=number, now=self._clock())
            self._metrics.facts.inc(len(facts))
            self._appended.set()
        return number

    async def _skip(self) -> None:
        """Go on from now, and tell readers that facts are missing."""
        log.error("facts_lost", why="the log of MongoDB does not reach back to the last fact: make it larger")
        feed = self._make_feed()
        try:
            await feed.open(FeedStart(None))
            await feed.next()
            position, number = feed.position, (await self._facts.state()).number
            if position is not None:
                lost = NewFact(FactType.FACTS_LOST, self._clock())
                await self._facts.append([(lost, position)], after=number, now=self._clock())
        finally:
            await feed.close()


@contextlib.asynccontextmanager
async def _batches(feed: ChangeFeed) -> AsyncIterator[AsyncIterator[tuple[list[Change], str | None]]]:
    """The changes of a feed as they come, many at a time, with the position after them if no more are waiting."""
    queue: asyncio.Queue[Change | str | None] = asyncio.Queue(MAX_QUEUED)

    async def read() -> None:
        while True:
            change = await feed.next()
            await queue.put(change or feed.position)

    async def batches() -> AsyncIterator[tuple[list[Change], str | None]]:
        while True:
            asked = asyncio.create_task(queue.get())
            await asyncio.wait({asked, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                asked.cancel()
                reading.result()
            found = [asked.result()]
            if isinstance(found[0], Change):
                await asyncio.sleep(COLLECT_SECONDS)
            while len(found) < BATCH and not queue.empty():
                found.append(queue.get_nowait())
            last = found[-1]
            yield [each for each in found if isinstance(each, Change)], last if isinstance(last, str) else None

    reading = asyncio.create_task(read())
    try:
        yield batches()
    finally:
        await end(reading)
