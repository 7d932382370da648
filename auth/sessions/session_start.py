"""Creates sessions within the user's session limit, and consistent with the account's current state.

Between the proof of a factor and the creation of its session, an administrator on another node may lock the
account or remove a role. Each side writes first and reads afterwards: the login writes the session, then reads the
account; the administrator writes the account, then reads the sessions. So whichever comes second sees the other.
The same holds for a changed password or a newly enabled second factor, and a login that was begun before the
change.

The session limit (ASVS 5.0, 7.1.2) has two policies. `refuse_new`: a session takes one of a fixed number of
places, and a unique index gives each place to one session (auth/stores/sessions/places.py). `end_oldest`: the
session is created first, then all but the newest are surplus. A session that one node finds surplus is surplus for
every node, since new sessions only move it further back, and the node that reads last sees all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from auth.core.errors import AccountLocked, Conflict, SessionLimitReached
from auth.core.models import Session
from auth.services import Operation, Services
from auth.stores.sessions.places import SessionPlaces
from auth.stores.sessions.roles import SessionRoles
from auth.stores.sessions.store import PlaceTaken, SessionStore

LimitPolicy = Literal["end_oldest", "refuse_new"]


@dataclass(frozen=True, slots=True)
class NewSession:
    """A new session, and the ids of the sessions that have to end for it."""

    session: Session
    surplus: tuple[str, ...] = ()


class SessionStart(Operation):
    """Creates sessions. `limit`: how many sessions a user may have at one time; 0 means any number."""

    def __init__(
        self,
        services: Services,
        *,
        sessions: SessionStore,
        places: SessionPlaces,
        roles: SessionRoles,
        limit: int,
        policy: LimitPolicy,
    ) -> None:
        super().__init__(services)
        self._sessions = sessions
        self._places = places
        self._roles = roles
        self._limit = limit
        self._policy = policy

    async def enter(self, session: Session, *, credentials_version: int) -> NewSession:
        """Store a new session of a user who proved credentials of this version.

        Raises `AccountLocked`, `Conflict` or `SessionLimitReached`; then no session is created.
        """
        if self._limit and self._policy == "refuse_new":
            await self._create_in_free_place(session)
        else:
            await self._sessions.create(session)
        session = await self._apply_account_state(session, credentials_version)
        if self._limit and self._policy == "end_oldest":
            return NewSession(session, await self._surplus(session))
        return NewSession(session)

    async def _apply_account_state(self, session: Session, credentials_version: int) -> Session:
        user = await self._users.by_id(session.user_id)
        if user is None or user.locked_at is not None:
            await self._places.withdraw(session.session_id, user_id=session.user_id)
            raise AccountLocked
        if user.credentials_version != credentials_version:
            await self._places.withdraw(session.session_id, user_id=session.user_id)
            raise Conflict("Your password or two-step verification was changed in the meantime. Log in again.")
        if user.roles_version == session.roles_version:
            return session
        await self._roles.set_for_session(session.session_id, user.held_roles, user_id=user.user_id)
        return replace(session, roles=user.roles, roles_version=user.roles_version)

    async def _surplus(self, session: Session) -> tuple[str, ...]:
        live = await self._places.live(session.user_id, now=self._clock())
        return tuple(login.session_id for login in live[self._limit :])

    async def _create_in_free_place(self, session: Session) -> None:
        """Create the session in the first free place.

        Sessions without a place (started before there was a limit) or with a place beyond the limit (when it was
        higher) count as well. Their number only decreases, so a free place stays free until a login takes it.
        """
        now = self._clock()
        if not await self._create_in_one_of(await self._free(session.user_id, now), session):
            await self._places.leave_expired(session.user_id, now=now)
            if not await self._create_in_one_of(await self._free(session.user_id, now), session):
                raise SessionLimitReached

    async def _free(self, user_id: str, now: datetime) -> Sequence[int]:
        live = await self._places.live(user_id, now=now)
        taken = {login.place for login in live if login.place is not None and login.place < self._limit}
        elsewhere = sum(login.place is None or login.place >= self._limit for login in live)
        return [place for place in range(self._limit - elsewhere) if place not in taken]

    async def _create_in_one_of(self, places: Sequence[int], session: Session) -> bool:
        for place in places:
            try:
                await self._sessions.create(session, place=place)
            except PlaceTaken:
                continue
            return True
        return False
