"""Publishes facts as events in their users' logs.

A fact is already stored in MongoDB when it is published. If Redis does not accept it, its mark stays in MongoDB,
and `relay` publishes it when Redis is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import structlog

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.events import (
    Fact,
    PresenceReader,
    RolesChanged,
    SecurityAlert,
    SessionCreated,
    SessionEnded,
    SessionFact,
    SessionUpdated,
)
from auth.core.models import Delivery, Session
from auth.core.views import SessionView
from auth.sessions.risk import LOGIN_ALERTS
from auth.stores.stores import Stores
from realtime.broker.user_log import NewEvent, UserLog
from realtime.delivery.published_marks import SETTLED, PublishedMarks
from realtime.delivery.revocation_acks import Count, Counts
from realtime.protocol import messages
from realtime.protocol.messages import By, ServerEvent

log = structlog.get_logger()

Hook = Callable[[SessionFact], Awaitable[None]]


class LivePublisher:
    """This node's publisher. Implements `auth.core.events.Publisher`."""

    def __init__(
        self,
        user_log: UserLog,
        stores: Stores,
        presence: PresenceReader,
        counts: Counts,
        *,
        node_id: str,
        hook: Hook,
        clock: Clock,
    ) -> None:
        self._log = user_log
        self._marks = stores.sessions
        self._published = PublishedMarks(stores.session_marks)
        self._roles_marks = stores.session_roles
        self._presence = presence
        self._counts = counts
        self._node_id = node_id
        self._hook = hook
        self._clock = clock
        # Set when a fact could not be published: it may concern this node's own sockets.
        self.has_unpublished = asyncio.Event()

    async def publish(self, facts: Sequence[Fact], *, wait: bool = False) -> Delivery:
        """See `auth.core.events.Publisher.publish`."""
        counts: list[Count] = []
        try:
            for fact in facts:
                if isinstance(fact, RolesChanged):
                    await self._publish_roles(fact)
                elif wait and isinstance(fact, SessionEnded):
                    counts.append(count := self._counts.begin())
                    nodes = await self._publish_marked(fact, count.request)
                    count.expected, count.is_unpublished = nodes or {}, nodes is None
                else:
                    await self._publish_marked(fact, None)
            await self._counts.wait(counts)
        finally:
            self._counts.settle(counts)
        return sum((count.delivery() for count in counts), Delivery())

    async def close(self) -> None:
        """Remove the marks of all published facts."""
        await self._published.close()

    async def _publish_roles(self, fact: RolesChanged) -> None:
        try:
            await self.publish_roles_once(fact)
        except Unavailable:
            log.warning("fact_not_published", fact="roles", user_id=fact.user_id)
            self.has_unpublished.set()

    async def publish_roles_once(self, fact: RolesChanged) -> None:
        """Publish a user's roles and remove the mark. Raises `Unavailable` when Redis or MongoDB is down.

        Idempotent; an outdated change does not undo a later one.
        """
        changed = messages.RolesChanged(event_id=0, roles=fact.roles, version=fact.version)
        await self._log.publish(
            fact.user_id, [NewEvent(ServerEvent.ROLES_CHANGED, "", orjson.dumps(changed.to_wire()))]
        )
        await self._roles_marks.mark_published(fact.user_id, fact.version)

    async def _publish_marked(self, fact: SessionFact, request: str | None) -> dict[str, int] | None:
        """Publish a fact; the number of sockets of the session per node, or None when Redis is down."""
        session_id, mark = fact.session.session_id, mark_of(fact)
        try:
            nodes = await self.publish_once(fact, request)
        except Unavailable:
            log.warning("fact_not_published", fact=mark, session_id=session_id)
            self.has_unpublished.set()
            await self._mark_unpublished(fact)
            return None
        if isinstance(fact, SessionCreated | SessionEnded):
            self._published.remove_soon(fact.session, mark)
        return nodes

    async def _mark_unpublished(self, fact: SessionFact) -> None:
        """Mark a fact that Redis did not accept as settled: the next relay that reaches Redis publishes it."""
        session = fact.session
        try:
            await self._marks.mark_unpublished(
                session.session_id, [mark_of(fact)], user_id=session.user_id, since=self._clock() - SETTLED
            )
        except Unavailable:
            # These were stored with their mark, and are done, whatever MongoDB says now.
            if not isinstance(fact, SessionCreated | SessionEnded):
                raise

    async def publish_once(self, fact: SessionFact, request: str | None = None) -> dict[str, int]:
        """Publish one fact and run the application's hooks. Raises `Unavailable` when Redis is down."""
        ended = isinstance(fact, SessionEnded)
        online = await self._is_online(fact.session) if isinstance(fact, SessionUpdated) else False
        published = await self._log.publish(
            fact.session.user_id,
            events_of(fact, online=online),
            origin=f"{self._node_id}:{request}" if request else "",
            counted=fact.session.session_id,
            deny=ended,
        )
        await self._hook(fact)
        return published.nodes

    async def _is_online(self, session: Session) -> bool:
        sessions, _ = await self._presence.online(session.user_id)
        return session.session_id in sessions


def mark_of(fact: SessionFact) -> str:
    """The mark of an unpublished fact on its session; `relay.facts_of` converts it back."""
    match fact:
        case SessionCreated():
            return "created"
        case SessionUpdated():
            return "updated"
        case SessionEnded():
            return "ended"
        case SecurityAlert():
            return f"alert:{fact.kind}"


def events_of(fact: SessionFact, *, online: bool) -> list[NewEvent]:
    """The events of a fact. `isCurrent` of the recipient's own session is set only on delivery."""
    match fact:
        case SessionCreated(session):
            return [_changed(session, "created", online=False)]
        case SessionUpdated(session):
            return [_changed(session, "updated", online=online)]
        case SessionEnded(session, reason, by, at):
            revoked = messages.SessionRevoked(
                event_id=0,
                session_id=session.session_id,
                reason=reason,
                at=at,
                by=By.of(by),
                act=by.act,
                message=by.message,
            )
            return [
                _event(ServerEvent.SESSION_REVOKED, session, revoked.to_wire()),
                _changed(session, "removed", online=False),
            ]
        case SecurityAlert(kind, session, at):
            alert = messages.SecurityAlert(
                event_id=0,
                kind=kind,
                session=_view(session, online=False),
                at=at,
                approved_by=session.approved_by if kind in LOGIN_ALERTS else None,
            )
            return [_event(ServerEvent.SECURITY_ALERT, session, alert.to_wire())]


def _changed(session: Session, change: Any, *, online: bool) -> NewEvent:
    view = messages.SessionsChanged(event_id=0, version=0, change=change, session=_view(session, online=online))
    return _event(ServerEvent.SESSIONS_CHANGED, session, view.to_wire(), versioned=True)


def _view(session: Session, *, online: bool) -> SessionView:
    return SessionView.of(session, current_session_id=None, online=online)


def _event(name: ServerEvent, session: Session, payload: dict[str, Any], *, versioned: bool = False) -> NewEvent:
    return NewEvent(name, session.session_id, orjson.dumps(payload), versioned)
