"""What administrators and moderators see, and which sessions they end (ASVS 5.0, 7.4.5).

A moderator sees accounts and their sessions and ends sessions, but not those of an admin. Everything else is an
admin's. Each act stands in the trail of who did it, with the session it was done from.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import Forbidden, NotFound
from auth.events import PresenceReader
from auth.models import ADMIN, Actor, Client, Delivery, Principal, RevocationReason, User, has_role
from auth.paging import Cursor, Page
from auth.rate_limits import RateLimits
from auth.second_factors import SecondFactors
from auth.session_terms import Revoked, SessionList
from auth.sessions import Sessions
from auth.stores.audit_events import AuditEvent, AuditEvents, AuditFilter
from auth.stores.directory import Directory
from auth.stores.users import Users

# An event of the trail, as the transports know it.
TrailEvent = AuditEvent


class Census(Protocol):
    """Counts what lives."""

    async def census(self) -> tuple[int, int]:
        """How many nodes, and how many sockets on all of them. Raises `Unavailable`."""


class Queue(Protocol):
    """The job queue."""

    async def depth(self) -> Mapping[str, int]:
        """How many jobs are `queued`, `active` and `scheduled`. Raises `Unavailable`."""


@dataclass(frozen=True, slots=True)
class SeenUser:
    """An account, and whether one of its devices is online."""

    user: User
    online: bool


@dataclass(frozen=True, slots=True)
class WholeUser:
    """An account with its live sessions and the second factors that are set up."""

    seen: SeenUser
    sessions: SessionList
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole installation at a glance."""

    nodes: int
    sockets: int
    queue: Mapping[str, int]


class Administration:
    """Looks accounts up, ends their sessions, reads the audit trail."""

    def __init__(
        self,
        *,
        users: Users,
        directory: Directory,
        sessions: Sessions,
        presence: PresenceReader,
        second_factors: SecondFactors,
        events: AuditEvents,
        census: Census,
        queue: Queue,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._users = users
        self._directory = directory
        self._sessions = sessions
        self._presence = presence
        self._second_factors = second_factors
        self._events = events
        self._census = census
        self._queue = queue
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def find(
        self, *, query: str, role: str | None, locked: bool | None, before: Cursor | None, limit: int
    ) -> Page[SeenUser]:
        """Accounts whose address, username or name begins with `query`, the newest first."""
        found = await self._directory.search(
            prefix=query.strip(), role=role, locked=locked, before=before, limit=limit
        )
        return Page(tuple(await asyncio.gather(*map(self.seen, found.rows))), found.next)

    async def seen(self, user: User) -> SeenUser:
        """An account, with whether it is online."""
        sessions, _ = await self._presence.online(user.user_id)
        return SeenUser(user, bool(sessions))

    async def look(self, principal: Principal, user_id: str, *, client: Client) -> WholeUser:
        """One account, whole. Raises `NotFound`."""
        user = await self._user(user_id)
        sessions, factors = await asyncio.gather(
            self._sessions.of_user(user_id), self._second_factors.methods(user)
        )
        await self._record("admin_user_seen", principal, user_id, client)
        return WholeUser(SeenUser(user, bool(sessions.online)), sessions, factors)

    async def end_sessions(self, principal: Principal, user_id: str, *, client: Client) -> Revoked:
        """End every session of a user. Raises `NotFound`, `RateLimited`, or `Forbidden` for an admin's."""
        await self._may_end(principal, user_id)
        by = Actor("admin", principal.session_id)
        revoked = await self._sessions.end_all(user_id, reason=RevocationReason.ADMIN, by=by, client=client)
        await self._record("admin_sessions_ended", principal, user_id, client, sessions=str(revoked.count))
        return revoked

    async def end_session(
        self, principal: Principal, user_id: str, session_id: str, *, client: Client
    ) -> Delivery:
        """End one session of a user. Raises `NotFound`, `RateLimited`, or `Forbidden` for an admin's."""
        await self._may_end(principal, user_id)
        by = Actor("admin", principal.session_id)
        delivery = await self._sessions.end(
            session_id, user_id, reason=RevocationReason.ADMIN, by=by, client=client, wait=True
        )
        if delivery is None:
            raise NotFound("There is no such session.")
        await self._record("admin_session_ended", principal, user_id, client, session=session_id)
        return delivery

    async def trail(
        self,
        principal: Principal,
        *,
        user_id: str | None,
        kind: str | None,
        since: datetime | None,
        until: datetime | None,
        before: Cursor | None,
        limit: int,
        client: Client,
    ) -> Page[AuditEvent]:
        """Events of the audit trail, the newest first: from `since`, up to and without `until`.

        That somebody began to read it is written down as well. Raises `InvalidRequest` for a wrong cursor.
        """
        wanted = AuditFilter(user_id=user_id, kind=kind, since=since, until=until)
        page = await self._events.search(wanted, before=before, limit=limit)
        if before is None:
            await self._record("admin_audit_read", principal, user_id or "", client)
        return page

    async def overview(self) -> Overview:
        """What lives and what waits. Raises `Unavailable` while Redis is down."""
        (nodes, sockets), queue = await asyncio.gather(self._census.census(), self._queue.depth())
        return Overview(nodes, sockets, queue)

    async def _user(self, user_id: str) -> User:
        user = await self._users.by_id(user_id)
        if user is None:
            raise NotFound("There is no such account.")
        return user

    async def _may_end(self, principal: Principal, user_id: str) -> None:
        await self._limits.hit("admin", principal.user_id)
        user = await self._user(user_id)
        if ADMIN in user.roles and not has_role(principal.roles, ADMIN):
            await self._record("access_denied", principal, user_id, client=None, act="end sessions of an admin")
            raise Forbidden

    async def _record(
        self, kind: str, principal: Principal, user_id: str, client: Client | None, **details: str
    ) -> None:
        await self._audit.record(
            kind,
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details=({"user": user_id} if user_id else {}) | details,
            now=self._clock(),
        )
