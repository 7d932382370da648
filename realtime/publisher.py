"""Facts out: each becomes events in its user's log, and what became of a forced logout is counted.

The truth is in MongoDB already when a fact comes here. A fact that the bus does not take stays marked there,
and `relay` publishes it when the bus is back.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson
import structlog

from auth.clock import Clock
from auth.errors import Unavailable
from auth.events import (
    Fact,
    PresenceReader,
    RolesChanged,
    SecurityAlert,
    SessionCreated,
    SessionEnded,
    SessionFact,
    SessionUpdated,
)
from auth.models import Delivery, Session
from auth.views import SessionView
from realtime import messages
from realtime.bus import Message
from realtime.messages import REVOCATION_ACK_SECONDS, By, ServerEvent
from realtime.user_log import NewEvent, UserLog

log = structlog.get_logger()

Hook = Callable[[SessionFact], Awaitable[None]]


class NewsStore(Protocol):
    """Where the marks of unpublished facts are kept."""

    async def mark_published(self, session_id: str, news: Iterable[str]) -> None:
        """Take marks off."""

    async def mark_unpublished(self, session_id: str, news: Iterable[str], *, now: datetime) -> None:
        """Put marks on."""


class RolesNewsStore(Protocol):
    """Where it is marked that a change of roles was not published."""

    async def mark_published(self, user_id: str, version: int) -> None:
        """Take the marks of one change off."""


@dataclass(slots=True)
class Count:
    """What one request for a forced logout has heard back so far."""

    expected: dict[str, int] = field(default_factory=dict)
    reports: dict[str, Message] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def delivery(self) -> Delivery:
        """The sum of what nodes reported, and of what those that did not are known to hold."""
        total = Delivery()
        for node_id, sockets in self.expected.items():
            report = self.reports.get(node_id)
            if report is None:
                total += Delivery(sockets=sockets, pending=sockets)
                continue
            counted, closed = report["sockets"], report["closed"]
            total += Delivery(counted, report["notified"], report["acknowledged"], closed, counted - closed)
        return total

    @property
    def complete(self) -> bool:
        """Whether every socket is known to be gone."""
        return self.expected.keys() <= self.reports.keys() and self.delivery().pending == 0


class LivePublisher:
    """The `Publisher` of this node. Implements `auth.events.Publisher`."""

    def __init__(
        self,
        user_log: UserLog,
        news: NewsStore,
        roles_news: RolesNewsStore,
        presence: PresenceReader,
        *,
        node_id: str,
        hook: Hook,
        clock: Clock,
    ) -> None:
        self._log = user_log
        self._news = news
        self._roles_news = roles_news
        self._presence = presence
        self._node_id = node_id
        self._hook = hook
        self._clock = clock
        self._counts: dict[str, Count] = {}
        # Called when the bus did not take a fact: this node's own sockets may be concerned.
        self.on_unheard: Callable[[], None] = lambda: None

    async def publish(self, facts: Sequence[Fact], *, wait: bool = False) -> Delivery:
        """See `auth.events.Publisher.publish`."""
        requests: list[Count] = []
        try:
            for fact in facts:
                request = secrets.token_hex(8) if wait and isinstance(fact, SessionEnded) else None
                count = Count()
                if request is not None:
                    self._counts[request] = count
                    requests.append(count)
                if isinstance(fact, RolesChanged):
                    await self._publish_roles(fact)
                    continue
                count.expected = await self._publish_marked(fact, request)
            await self._all_complete(requests)
        finally:
            self._counts = {key: count for key, count in self._counts.items() if count not in requests}
        return sum((count.delivery() for count in requests), Delivery())

    def receipt(self, message: Message) -> None:
        """Take a node's report on a request of ours; a late one is of no use any more."""
        count = self._counts.get(message["request"])
        if count is not None:
            count.reports[message["node"]] = message
            count.changed.set()

    async def _publish_roles(self, fact: RolesChanged) -> None:
        try:
            await self.publish_roles_once(fact)
        except Unavailable:
            log.warning("fact_not_published", fact="roles", user_id=fact.user_id)
            self.on_unheard()

    async def publish_roles_once(self, fact: RolesChanged) -> None:
        """Tell a user's sockets of their roles; raises `Unavailable` when the bus is down, or MongoDB behind it.

        Told twice, it changes nothing; told late, it does not undo a later change.
        """
        told = messages.RolesChanged(event_id=0, roles=fact.roles, version=fact.version)
        await self._log.publish(
            fact.user_id, [NewEvent(ServerEvent.ROLES_CHANGED, "", orjson.dumps(told.to_wire()))]
        )
        await self._roles_news.mark_published(fact.user_id, fact.version)

    async def _publish_marked(self, fact: SessionFact, request: str | None) -> dict[str, int]:
        session_id, news = fact.session.session_id, [news_of(fact)]
        try:
            nodes = await self.publish_once(fact, request)
        except Unavailable:
            log.warning("fact_not_published", fact=news[0], session_id=session_id)
            self.on_unheard()
            if not isinstance(fact, SessionCreated | SessionEnded):  # those carry their mark already
                await self._news.mark_unpublished(session_id, news, now=self._clock())
            return {}
        if isinstance(fact, SessionCreated | SessionEnded):
            await self._unmark(session_id, news)
        return nodes

    async def _unmark(self, session_id: str, news: Sequence[str]) -> None:
        try:
            await self._news.mark_published(session_id, news)
        except Unavailable:
            # It will be published once more: clients and the deny-list take that twice.
            log.warning("fact_not_unmarked", fact=news[0], session_id=session_id)

    async def publish_once(self, fact: SessionFact, request: str | None = None) -> dict[str, int]:
        """Publish one fact and run the application's hooks; raises `Unavailable` when the bus is down."""
        ended = isinstance(fact, SessionEnded)
        online = await self._is_online(fact.session) if isinstance(fact, SessionUpdated) else False
        nodes = await self._log.publish(
            fact.session.user_id,
            events_of(fact, online=online),
            origin=f"{self._node_id}:{request}" if request else "",
            counted=fact.session.session_id,
            deny=ended,
        )
        await self._hook(fact)
        return nodes

    async def _is_online(self, session: Session) -> bool:
        sessions, _ = await self._presence.online(session.user_id)
        return session.session_id in sessions

    async def _all_complete(self, counts: Sequence[Count]) -> None:
        try:
            async with asyncio.timeout(REVOCATION_ACK_SECONDS):
                for count in counts:
                    while not count.complete:
                        count.changed.clear()
                        await count.changed.wait()
        except TimeoutError:
            return


def news_of(fact: SessionFact) -> str:
    """The mark that stands for `fact` on its session; `fact_of` in `relay` reads it back."""
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
    """The events a fact becomes; a recipient's own session is marked only when it is delivered."""
    match fact:
        case SessionCreated(session):
            return [_changed(session, "created", online=False)]
        case SessionUpdated(session):
            return [_changed(session, "updated", online=online)]
        case SessionEnded(session, reason, by, at):
            revoked = messages.SessionRevoked(
                event_id=0, session_id=session.session_id, reason=reason, at=at, by=By.of(by)
            )
            return [
                _event(ServerEvent.SESSION_REVOKED, session, revoked.to_wire()),
                _changed(session, "removed", online=False),
            ]
        case SecurityAlert(kind, session, at):
            alert = messages.SecurityAlert(event_id=0, kind=kind, session=_view(session, online=False), at=at)
            return [_event(ServerEvent.SECURITY_ALERT, session, alert.to_wire())]


def _changed(session: Session, change: Any, *, online: bool) -> NewEvent:
    view = messages.SessionsChanged(event_id=0, version=0, change=change, session=_view(session, online=online))
    return _event(ServerEvent.SESSIONS_CHANGED, session, view.to_wire(), versioned=True)


def _view(session: Session, *, online: bool) -> SessionView:
    return SessionView.of(session, current_session_id=None, online=online)


def _event(name: ServerEvent, session: Session, payload: dict[str, Any], *, versioned: bool = False) -> NewEvent:
    return NewEvent(name, session.session_id, orjson.dumps(payload), versioned)
