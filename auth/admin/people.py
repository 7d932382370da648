"""Account lookup, audit trail and session termination for administrators and moderators (ASVS 5.0, 7.4.5).

A moderator can see accounts and their sessions, and end sessions except those of an admin; everything else is
reserved to admins. Each action, including reads with their search terms, is recorded in the audit trail of the
person who did it, with the session used. Nothing is recorded in the trail of the account concerned, so that users'
security logs do not reveal an administrator's address.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from auth.core import typed_input as typed
from auth.core.clock import iso
from auth.core.errors import Forbidden, NotFound
from auth.core.events import PresenceReader
from auth.core.models import ADMIN, Actor, Client, Delivery, Principal, RevocationReason, User, has_role
from auth.core.paging import Cursor, Page
from auth.factors.registry import SecondFactors
from auth.notifications.job_queue import Jobs
from auth.services import Operation, Services
from auth.sessions.sessions import Sessions
from auth.sessions.types import Revoked, SessionList
from auth.stores.audit_events import AuditEvent, AuditEvents, AuditFilter
from auth.stores.users.directory import Directory

# The name by which the transports import it.
TrailEvent = AuditEvent


class LiveCounter(Protocol):
    """Counts live nodes and sockets."""

    async def count_live(self) -> tuple[int, int]:
        """Return the number of nodes and of sockets on all nodes. Raises `Unavailable`."""


@dataclass(frozen=True, slots=True)
class SeenUser:
    """An account, and whether one of its devices is online."""

    user: User
    online: bool


@dataclass(frozen=True, slots=True)
class UserDetails:
    """An account with its live sessions and the second factors that are set up."""

    seen: SeenUser
    sessions: SessionList
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Totals for the whole installation."""

    nodes: int
    sockets: int
    queue: Mapping[str, int]


class Administration(Operation):
    """Looks up accounts, ends their sessions, reads the audit trail."""

    def __init__(
        self,
        services: Services,
        *,
        directory: Directory,
        sessions: Sessions,
        presence: PresenceReader,
        second_factors: SecondFactors,
        events: AuditEvents,
        live_counter: LiveCounter,
        queue: Jobs,
    ) -> None:
        super().__init__(services)
        self._directory = directory
        self._sessions = sessions
        self._presence = presence
        self._second_factors = second_factors
        self._events = events
        self._live_counter = live_counter
        self._queue = queue

    async def find(
        self,
        principal: Principal,
        *,
        query: str,
        role: str | None,
        locked: bool | None,
        before: Cursor | None,
        limit: int,
        client: Client,
    ) -> Page[SeenUser]:
        """Return accounts whose address, username or any word of the name starts with `query`, newest first.

        Raises `RateLimited`, or `InvalidRequest` for an invalid cursor.
        """
        await self._limits.hit("admin", principal.user_id)
        query = typed.seen(query)
        found = await self._directory.search(query=query, role=role, locked=locked, before=before, limit=limit)
        asked = {"query": query, "role": role, "locked": locked, "before": before}
        await self._record("admin_users_searched", principal, "", client, _filter_details(asked))
        return Page(tuple(await asyncio.gather(*map(self.seen, found.rows))), found.next)

    async def seen(self, user: User) -> SeenUser:
        """Return an account with its online status."""
        sessions, _ = await self._presence.online(user.user_id)
        return SeenUser(user, bool(sessions))

    async def user_details(self, principal: Principal, user_id: str, *, client: Client) -> UserDetails:
        """Return one account with its sessions and factors. Raises `NotFound` or `RateLimited`."""
        await self._limits.hit("admin", principal.user_id)
        user = await self._user(user_id)
        sessions, factors = await asyncio.gather(
            self._sessions.of_user(user_id), self._second_factors.methods(user)
        )
        await self._record("admin_user_seen", principal, user_id, client)
        return UserDetails(SeenUser(user, bool(sessions.online)), sessions, factors)

    async def end_sessions(self, principal: Principal, user_id: str, *, client: Client) -> Revoked:
        """End every session of a user. Raises `NotFound`, `RateLimited`, or `Forbidden` for an admin's."""
        await self._check_may_end(principal, user_id)
        by = Actor("admin", principal.session_id)
        revoked = await self._sessions.end_all(user_id, reason=RevocationReason.ADMIN, by=by, client=client)
        await self._record("admin_sessions_ended", principal, user_id, client, {"sessions": str(revoked.count)})
        return revoked

    async def end_session(
        self, principal: Principal, user_id: str, session_id: str, *, client: Client
    ) -> Delivery:
        """End one session of a user. Raises `NotFound`, `RateLimited`, or `Forbidden` for an admin's."""
        await self._check_may_end(principal, user_id)
        by = Actor("admin", principal.session_id)
        delivery = await self._sessions.end(
            session_id, user_id, reason=RevocationReason.ADMIN, by=by, client=client, wait=True
        )
        if delivery is None:
            raise NotFound("There is no such session.")
        await self._record("admin_session_ended", principal, user_id, client, {"session": session_id})
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
        """Return events of the audit trail, newest first, from `since` (inclusive) to `until` (exclusive).

        Raises `RateLimited`, or `InvalidRequest` for an invalid cursor.
        """
        await self._limits.hit("admin", principal.user_id)
        wanted = AuditFilter(user_id=user_id, kind=kind, since=since, until=until)
        page = await self._events.search(wanted, before=before, limit=limit)
        asked = {"kind": kind, "since": since, "until": until, "before": before}
        await self._record("admin_audit_read", principal, user_id or "", client, _filter_details(asked))
        return page

    async def people_in(self, events: Iterable[AuditEvent]) -> Sequence[User]:
        """Return the accounts that the events belong to or are about, so that they can be shown by name."""
        ids = {each for event in events for each in (event.user_id, event.details.get("user")) if each}
        found = await asyncio.gather(*map(self._users.by_id, sorted(ids)))
        return [user for user in found if user is not None]

    async def overview(self, principal: Principal, *, client: Client) -> Overview:
        """Count nodes, sockets and queued jobs. Raises `RateLimited`, or `Unavailable` without Redis."""
        await self._limits.hit("admin", principal.user_id)
        (nodes, sockets), queue = await asyncio.gather(self._live_counter.count_live(), self._queue.depth())
        await self._record("admin_overview_read", principal, "", client)
        return Overview(nodes, sockets, queue)

    async def _user(self, user_id: str) -> User:
        user = await self._users.by_id(user_id)
        if user is None:
            raise NotFound("There is no such account.")
        return user

    async def _check_may_end(self, principal: Principal, user_id: str) -> None:
        await self._limits.hit("admin", principal.user_id)
        user = await self._user(user_id)
        if ADMIN in user.roles and not has_role(principal.roles, ADMIN):
            await self._record("access_denied", principal, user_id, None, {"act": "end sessions of an admin"})
            raise Forbidden

    async def _record(
        self,
        kind: str,
        principal: Principal,
        user_id: str,
        client: Client | None,
        details: Mapping[str, str] = {},
    ) -> None:
        await self._audit.record(
            kind,
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details={"user": user_id, **details} if user_id else details,
        )


def _filter_details(asked: Mapping[str, object]) -> dict[str, str]:
    """Convert search filters to audit details, omitting those not set."""
    said = {name: iso(value) if isinstance(value, datetime) else value for name, value in asked.items()}
    return {name: str(value) for name, value in said.items() if value is not None and value != ""}
