"""How a session comes into being: within the limit of its user, and as its user is at that very moment.

Between the proof of a factor and the session that follows from it, an administrator may have locked the account
or taken a role away, on another node. Each of the two writes first and looks then: the login its session, then
the account; the administrator the account, then the sessions. Whichever came second sees the other.
The same holds for a new password, or a second factor put in force, and a login that was begun under the old ones.

The limit (ASVS 5.0, 7.1.2) has two policies. `refuse_new`: a session needs one of so many places, and a unique
index gives each to one (stores/session_places.py). `end_oldest`: the session is there first, and then all but
the latest are surplus. What is surplus to one node's eyes is so to every other's, for more sessions only push it
further back; and whoever looks last sees all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from auth.clock import Clock
from auth.errors import AccountLocked, Conflict, SessionLimitReached
from auth.models import Session
from auth.stores.session_places import SessionPlaces
from auth.stores.session_roles import SessionRoles
from auth.stores.sessions import PlaceTaken, Sessions
from auth.stores.users import Users

LimitPolicy = Literal["end_oldest", "refuse_new"]


@dataclass(frozen=True, slots=True)
class Entered:
    """A session that has begun, and the ids of those that have to end for it."""

    session: Session
    surplus: tuple[str, ...] = ()


class Door(Protocol):
    """Where sessions come into being."""

    async def enter(self, session: Session, *, credentials_version: int) -> Entered:
        """Store a new session of a user who proved credentials of this version.

        Raises `AccountLocked`, `Conflict` or `SessionLimitReached`, and then there is none.
        """


class Entry:
    """Begins sessions. `limit`: how many of a user may live at one time, 0 for any number."""

    def __init__(
        self,
        *,
        users: Users,
        sessions: Sessions,
        places: SessionPlaces,
        roles: SessionRoles,
        limit: int,
        policy: LimitPolicy,
        clock: Clock,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._places = places
        self._roles = roles
        self._limit = limit
        self._policy = policy
        self._clock = clock

    async def enter(self, session: Session, *, credentials_version: int) -> Entered:
        """Store a new session of a user who proved credentials of this version.

        Raises `AccountLocked`, `Conflict` or `SessionLimitReached`, and then there is none.
        """
        if self._limit and self._policy == "refuse_new":
            await self._take_place(session)
        else:
            await self._sessions.create(session)
        session = await self._as_the_user_is(session, credentials_version)
        if self._limit and self._policy == "end_oldest":
            return Entered(session, await self._surplus(session))
        return Entered(session)

    async def _as_the_user_is(self, session: Session, credentials_version: int) -> Session:
        user = await self._users.by_id(session.user_id)
        if user is None or user.locked_at is not None:
            await self._places.withdraw(session.session_id)
            raise AccountLocked
        if user.credentials_version != credentials_version:
            await self._places.withdraw(session.session_id)
            raise Conflict("Your password or second factor was changed meanwhile. Log in again.")
        if user.roles_version == session.roles_version:
            return session
        await self._roles.set_for_session(session.session_id, user.held_roles)
        return replace(session, roles=user.roles, roles_version=user.roles_version)

    async def _surplus(self, session: Session) -> tuple[str, ...]:
        live = await self._places.live(session.user_id, now=self._clock())
        return tuple(login.session_id for login in live[self._limit :])

    async def _take_place(self, session: Session) -> None:
        """Create the session in the first free place.

        Sessions that have none, begun before there was a limit, or beyond it, when it was higher, count as well.
        They only grow fewer, so what is free now stays free until one of us takes it.
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
