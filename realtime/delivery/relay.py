"""Publishes facts that never reached Redis, ends expired sessions, and restores the deny-list."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.events import RolesChanged, SecurityAlert, SessionCreated, SessionEnded, SessionFact, SessionUpdated
from auth.core.models import SYSTEM, RevocationReason, Session
from auth.core.tasks import end
from auth.platform.periodic_tasks import one_item
from auth.stores.room_members import RoomMembers
from auth.stores.sessions.marks import SessionMarks
from auth.stores.sessions.store import SessionStore
from realtime.broker.deny_list import DenyList
from realtime.delivery.published_marks import SETTLED
from realtime.delivery.publisher import LivePublisher

ROUND_SECONDS = 1.0
# How long before a fact that Redis did not accept is tried again, by any node.
PAUSE = timedelta(seconds=ROUND_SECONDS)
# Prefix of marks for role changes; the session has the newest roles.
ROLES_MARK = "roles:"
# Limit per round, so that a backlog does not starve the node.
MOST_A_ROUND = 500

log = structlog.get_logger()


class Relay:
    """Runs on every node; a claim assigns each fact to one of them."""

    def __init__(
        self,
        sessions: SessionStore,
        marks: SessionMarks,
        members: RoomMembers,
        publisher: LivePublisher,
        deny_list: DenyList,
        *,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._marks = marks
        self._members = members
        self._publisher = publisher
        self._deny_list = deny_list
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Restore the deny-list if it is in doubt, and run until `close`."""
        try:
            await self._restore_deny_list()
        except Unavailable:
            log.warning("deny_list_not_restored")
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; another node claims again what was claimed but not published."""
        await end(self._task)

    async def _restore_deny_list(self) -> None:
        if self._deny_list.doubtful:
            await self._deny_list.restore(self._sessions, self._members, now=self._clock())

    async def _run(self) -> None:
        while True:
            await self._deny_list.wait_for_doubt(ROUND_SECONDS)
            # A list that cannot be restored, because its master is down, does not keep the others from going on.
            await self._try(self._restore_deny_list)
            if await self._try(self._is_due):
                await self._try(self._publish_backlog)
                await self._try(self._end_expired)

    async def _try(self, work: Callable[[], Awaitable[bool | None]]) -> bool | None:
        """The result of a part of a round; None if it failed."""
        try:
            return await work()
        except Unavailable:
            return None
        except Exception:  # retried in the next round
            log.exception("relay_failed")
            return None

    async def _is_due(self) -> bool:
        now = self._clock()
        return await self._marks.are_due(before=now - SETTLED, now=now)

    async def _publish_backlog(self) -> None:
        for _ in range(MOST_A_ROUND):
            now = self._clock()
            claimed = await self._sessions.claim_unpublished(before=now - SETTLED, now=now)
            if claimed is None:
                return
            session, news = claimed
            with one_item("facts", session_id=session.session_id):
                try:
                    await self._publish_late(session, news, now=now)
                except Unavailable:
                    await self._release(session, now=now)
                    raise

    async def _release(self, session: Session, *, now: datetime) -> None:
        """Let any node claim a session's facts in the next round, not only when this claim is old."""
        await self._sessions.mark_unpublished(
            session.session_id, (), user_id=session.user_id, since=now - SETTLED + PAUSE
        )

    async def _publish_late(self, session: Session, news: frozenset[str], *, now: datetime) -> None:
        if any(mark.startswith(ROLES_MARK) for mark in news):
            changed = RolesChanged(session.user_id, session.roles, session.roles_version)
            await self._publisher.publish_roles_once(changed)
        for fact in facts_of(session, news, now=now):
            await self._publisher.publish_once(fact)
        await self._sessions.mark_published(session.session_id, news, user_id=session.user_id)
        log.info("facts_relayed", session_id=session.session_id, news=sorted(news))

    async def _end_expired(self) -> None:
        for _ in range(MOST_A_ROUND):
            now = self._clock()
            session = await self._sessions.expire_one(now=now)
            if session is None:
                return
            with one_item("expired-sessions", session_id=session.session_id):
                await self._publisher.publish([ended(session, now=now)])


def ended(session: Session, *, now: datetime) -> SessionEnded:
    """The `SessionEnded` fact of a session, from its stored revocation, or as expired at `now`."""
    if session.revoked_at is not None and session.revoked_reason is not None:
        return SessionEnded(session, session.revoked_reason, session.revoked_by or SYSTEM, session.revoked_at)
    return SessionEnded(session, RevocationReason.EXPIRED, SYSTEM, now)


def facts_of(session: Session, news: frozenset[str], *, now: datetime) -> list[SessionFact]:
    """The facts of the given marks, in the order in which they happened."""
    facts: list[SessionFact] = []
    # Unless its end was published before: its clients would list it again.
    if "created" in news and (session.is_live(now) or "ended" in news):
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
