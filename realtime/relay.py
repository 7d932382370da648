"""What must be told although nobody asks: facts that never reached the bus, and sessions that expired."""

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from auth.clock import Clock
from auth.errors import Unavailable
from auth.events import RolesChanged, SecurityAlert, SessionCreated, SessionEnded, SessionFact, SessionUpdated
from auth.models import SYSTEM, RevocationReason, Session
from realtime.deny_list import DenyList, Revocations
from realtime.publisher import LivePublisher, NewsStore
from realtime.tasks import end

ROUND_SECONDS = 1.0
# A fact younger than this is still being published by the operation that made it.
SETTLED = timedelta(seconds=2)
# Marks of changes of roles; the session has the roles of the last.
ROLES_MARK = "roles:"
# No more in one round, so that a backlog does not starve the node.
MOST_A_ROUND = 500

log = structlog.get_logger()


class Backlog(NewsStore, Revocations, Protocol):
    """Where unpublished facts and expired sessions are found."""

    async def claim_unpublished(self, *, before: datetime, now: datetime) -> tuple[Session, frozenset[str]] | None:
        """One session with unpublished news."""

    async def expire_one(self, *, now: datetime) -> Session | None:
        """One expired session whose end is untold."""


class Relay:
    """Runs on every node; a claim makes sure that one of them takes a fact."""

    def __init__(self, backlog: Backlog, publisher: LivePublisher, deny_list: DenyList, *, clock: Clock) -> None:
        self._backlog = backlog
        self._publisher = publisher
        self._deny_list = deny_list
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Work until `close`."""
        try:
            await self._restore_deny_list()
        except Unavailable:
            log.warning("deny_list_not_restored")
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; what is claimed and unpublished another node claims again."""
        await end(self._task)

    async def _restore_deny_list(self) -> None:
        if self._deny_list.in_doubt:
            await self._deny_list.restore(self._backlog, now=self._clock())

    async def _run(self) -> None:
        while True:
            await self._deny_list.doubted(ROUND_SECONDS)
            try:
                await self._restore_deny_list()
                await self._publish_backlog()
                await self._end_expired()
            except Unavailable:
                continue
            except Exception:  # what failed is tried again in the next round
                log.exception("relay_failed")

    async def _publish_backlog(self) -> None:
        for _ in range(MOST_A_ROUND):
            now = self._clock()
            claimed = await self._backlog.claim_unpublished(before=now - SETTLED, now=now)
            if claimed is None:
                return
            session, news = claimed
            if any(mark.startswith(ROLES_MARK) for mark in news):
                changed = RolesChanged(session.user_id, session.roles, session.roles_version)
                await self._publisher.publish_roles_once(changed)
            for fact in facts_of(session, news, now=now):
                await self._publisher.publish_once(fact)
            await self._backlog.mark_published(session.session_id, news)
            log.info("facts_relayed", session_id=session.session_id, news=sorted(news))

    async def _end_expired(self) -> None:
        for _ in range(MOST_A_ROUND):
            now = self._clock()
            session = await self._backlog.expire_one(now=now)
            if session is None:
                return
            await self._publisher.publish([ended(session, now=now)])


def ended(session: Session, *, now: datetime) -> SessionEnded:
    """The fact of a session's end, read off the session."""
    if session.revoked_at is not None and session.revoked_reason is not None:
        return SessionEnded(session, session.revoked_reason, session.revoked_by or SYSTEM, session.revoked_at)
    return SessionEnded(session, RevocationReason.EXPIRED, SYSTEM, now)


def facts_of(session: Session, news: frozenset[str], *, now: datetime) -> list[SessionFact]:
    """The facts that marks stand for, in the order in which they happened."""
    facts: list[SessionFact] = []
    if "created" in news:
        facts.append(SessionCreated(session))
    if "updated" in news and session.is_live(now):
        facts.append(SessionUpdated(session))
    facts += [
        SecurityAlert(mark.removeprefix("alert:"), session, now)
        for mark in sorted(news)
        if mark.startswith("alert:")
    ]
    if "ended" in news:
        facts.append(ended(session, now=now))
    return facts
