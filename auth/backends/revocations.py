"""Revoked sessions whose access tokens may not have expired, for services that verify tokens themselves.

MongoDB is read, not the bus: it has every revocation of every node from before its answer, also while Redis is
lost. One task of a node reads it four times a second, as long as somebody follows.

A revocation has the time at which its node asked for it, so one can be stored after another with a later time has
been read. Each read therefore goes back `NARROW`, more than clocks may differ, and every tenth goes back `WIDE`,
more than a write can take. Cursors go back as far, so what follows a cursor can contain what came before it.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from auth.core.clock import from_ms, to_ms
from auth.core.errors import FieldError, InvalidRequest, Unavailable
from auth.core.models import Revocation
from auth.core.tasks import end
from auth.services import Operation, Services
from auth.stores.sessions.revocations import SessionRevocations

READ_SECONDS = 0.25
NARROW, WIDE = timedelta(seconds=3), timedelta(seconds=60)
WIDE_EVERY = 10
# Without a successful read for this long, followers may not know of a revocation.
CURRENT_SECONDS = 1.0
# A first read may wait for MongoDB this long before a follower is told that it does not answer.
FIRST_READ_SECONDS = 5.0
# How many are given to a follower at once, and in a page.
PART = 500
MAX_PAGE = 1000
# Reading goes on for a while without followers, so that one that comes back does not start it anew.
LINGER_SECONDS = 30.0

CURSOR = re.compile(r"([0-9]{1,14})(?:-([0-9a-f]{1,64}))?")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RevocationCursor:
    """A place in the order of revocations: exactly this one with `session_id`, otherwise some time before."""

    at: datetime
    session_id: str | None = None

    @classmethod
    def parse(cls, text: str) -> "RevocationCursor":
        """The inverse of `str`. Raises `InvalidRequest`."""
        match = CURSOR.fullmatch(text)
        if match is None:
            raise InvalidRequest(errors=[FieldError("after", "is not a cursor of this endpoint")])
        return cls(from_ms(int(match[1])), match[2])

    def __str__(self) -> str:
        return f"{to_ms(self.at)}" + (f"-{self.session_id}" if self.session_id else "")


@dataclass(frozen=True, slots=True)
class RevocationPage:
    """A part of the revocations, `next` to continue with, and whether there were more when it was read."""

    revocations: Sequence[Revocation]
    next: RevocationCursor
    has_more: bool


class RevocationFeed(Operation):
    """The revocations of all nodes. `life`: how long access tokens may be valid after their session's end."""

    def __init__(self, services: Services, *, store: SessionRevocations, life: timedelta) -> None:
        super().__init__(services)
        self._store = store
        self.life = life
        # In the order in which they were found. Dropped from the front, so a follower's place is counted from
        # the first that ever was.
        self._found: list[Revocation] = []
        self._dropped = 0
        self._known: set[str] = set()
        self._read_at = float("-inf")
        self._news = asyncio.Event()
        self._followers = 0
        self._followed_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def page(self, after: RevocationCursor | None, *, limit: int) -> RevocationPage:
        """The revocations after a cursor, or all, whose tokens may be valid. Raises `Unavailable`."""
        now = self._clock()
        moment, session_id = max(_beginning(after), now - self.life), ""
        if after is not None and after.session_id is not None and after.at == moment:
            session_id = after.session_id
        found = await self._store.page(moment, session_id, limit=limit + 1)
        page = found[:limit]
        if len(found) > limit:
            return RevocationPage(page, RevocationCursor(page[-1].at, page[-1].session_id), has_more=True)
        last = max([now, *(each.at for each in page)])
        return RevocationPage(page, RevocationCursor(last), has_more=False)

    @property
    def is_current(self) -> bool:
        """Whether followers have been given what was stored until a second ago."""
        return time.monotonic() - self._read_at < CURRENT_SECONDS

    async def follow(self, after: RevocationCursor | None) -> AsyncIterator[Sequence[Revocation]]:
        """Yield the revocations after a cursor, or all, in parts; then an empty part; then new ones as they come.

        No gap between the two. Raises `Unavailable` if MongoDB does not answer at the start.
        """
        self._followers += 1
        try:
            self._ensure_reading()
            await self._wait_for_read(since=time.monotonic())
            start = _beginning(after)
            place = self._dropped + len(self._found)
            snapshot = sorted((each for each in self._found if each.at >= start), key=lambda each: each.at)
            for begin in range(0, len(snapshot), PART):
                yield snapshot[begin : begin + PART]
            yield []
            while True:
                news = self._news
                first = max(place - self._dropped, 0)
                part = self._found[first : first + PART]
                if part:
                    place = self._dropped + first + len(part)
                    yield part
                else:
                    await news.wait()
        finally:
            self._followers -= 1
            self._followed_at = time.monotonic()

    async def close(self) -> None:
        """Stop reading."""
        await end(self._task)

    async def _wait_for_read(self, *, since: float) -> None:
        try:
            async with asyncio.timeout(FIRST_READ_SECONDS):
                while self._read_at < since:
                    await self._news.wait()
        except TimeoutError:
            raise Unavailable from None

    def _ensure_reading(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Read until nobody has followed for a while; what was found is forgotten then."""
        count, wide_until = 0, self._clock() - self.life
        while self._followers or time.monotonic() - self._followed_at < LINGER_SECONDS:
            begun, now = time.monotonic(), self._clock()
            is_wide = count % WIDE_EVERY == 0
            try:
                self._take(await self._store.since((wide_until - WIDE) if is_wide else (now - NARROW)), now)
                if is_wide:
                    wide_until = now
                count += 1
                self._read_at = begun
            except Unavailable:
                count = 0  # what was missed can be older than the narrow reads go back
            except Exception:  # retried
                log.exception("revocations_not_read")
                count = 0
            self._news.set()
            self._news = asyncio.Event()
            await asyncio.sleep(max(READ_SECONDS - (time.monotonic() - begun), 0.01))
        self._dropped += len(self._found)
        self._found, self._known = [], set()

    def _take(self, found: Sequence[Revocation], now: datetime) -> None:
        new = [each for each in found if each.session_id not in self._known]
        self._found += new
        self._known.update(each.session_id for each in new)
        # Found in nearly the order of time. One that stays a little longer does no harm.
        over = now - self.life - WIDE
        if self._found and self._found[0].at < over:
            kept = next((place for place, each in enumerate(self._found) if each.at >= over), len(self._found))
            self._known.difference_update(each.session_id for each in self._found[:kept])
            del self._found[:kept]
            self._dropped += kept


def _beginning(after: RevocationCursor | None) -> datetime:
    if after is None:
        return from_ms(0)
    return after.at if after.session_id is not None else max(after.at - WIDE, from_ms(0))
