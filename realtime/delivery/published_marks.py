"""Removes the marks of published facts from their sessions: after the answer, and many in one command."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from auth.core.errors import Unavailable
from auth.core.models import Session
from auth.core.tasks import Background
from auth.stores.sessions.marks import PublishedNews, SessionMarks

# A younger fact may still be being published by the operation that created it.
SETTLED = timedelta(seconds=2)
# Marks are collected for this long. Far less than the age at which the relay takes a fact for unpublished.
COLLECT_SECONDS = 0.1

log = structlog.get_logger()


class PublishedMarks:
    """The marks to remove. If the node dies before, or MongoDB is down, the relay publishes the fact again, which
    clients and the deny-list tolerate.
    """

    def __init__(self, store: SessionMarks) -> None:
        self._store = store
        self._collected: list[PublishedNews] = []
        self._removing = Background()

    def remove_soon(self, session: Session, mark: str) -> None:
        """Remove a mark within `COLLECT_SECONDS`."""
        self._collected.append((session.session_id, session.user_id, (mark,)))
        if len(self._collected) == 1:
            asyncio.get_running_loop().call_later(COLLECT_SECONDS, self._remove)

    async def close(self) -> None:
        """Remove all marks collected so far."""
        self._remove()
        await self._removing.finished()

    def _remove(self) -> None:
        if self._collected:
            collected, self._collected = self._collected, []
            self._removing.spawn(self._remove_each(collected))

    async def _remove_each(self, published: Sequence[PublishedNews]) -> None:
        try:
            await self._store.remove(published)
        except Unavailable:
            log.warning("facts_not_unmarked", count=len(published))
