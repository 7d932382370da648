"""Users and sessions that a backend names: whether they are there."""

from auth.backends.live import Target
from auth.core.errors import NotFound
from auth.core.models import Session
from auth.services import Operation, Services
from auth.stores.sessions.store import SessionStore


class Targets(Operation):
    """Finds what other operations of backends act on."""

    def __init__(self, services: Services, *, sessions: SessionStore) -> None:
        super().__init__(services)
        self._sessions = sessions

    async def require_user(self, user_id: str) -> None:
        """Raise `NotFound` for an unknown user."""
        if await self._users.by_id(user_id) is None:
            raise NotFound("There is no such account.")

    async def live_session(self, session_id: str) -> Session:
        """Return a session. Raises `NotFound` if it is not live."""
        session = await self._sessions.get(session_id)
        if session is None or not session.is_live(self._clock()):
            raise NotFound("There is no such session.")
        return session

    async def located(self, target: Target) -> Target:
        """Return a target with the user of its session. Raises `NotFound` for a session that is not live."""
        if target.kind != "session":
            return target
        return Target(target.kind, target.name, (await self.live_session(target.name)).user_id)
