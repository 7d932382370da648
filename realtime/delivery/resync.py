"""Makes clients list their sessions again, after a log was lost or no longer reached back to their cursor."""

import asyncio
from itertools import islice

import structlog

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.events import Publisher, SessionUpdated
from auth.core.models import HeldRoles
from auth.core.tasks import end
from auth.stores.sessions.store import SessionStore
from realtime.delivery.push import Push
from realtime.delivery.watchdog import Watchdog
from realtime.hub import Connections

# Users handled concurrently: after Redis lost its data, every user of the node is due.
BATCH = 50
RETRY_SECONDS = 1.0

log = structlog.get_logger()


class ResyncRequests:
    """Sends one `sessions-changed` per user, however many of the user's sockets missed events."""

    def __init__(
        self,
        sessions: SessionStore,
        connections: Connections,
        push: Push,
        publisher: Publisher,
        watchdog: Watchdog,
        *,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._connections = connections
        self._push = push
        self._publisher = publisher
        self._watchdog = watchdog
        self._clock = clock
        self._due: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def request(self, user_id: str) -> None:
        """Resync a user soon; while MongoDB is down, when it is back."""
        self._due[user_id] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop. Clients still due reconnect to another node and list their sessions there."""
        await end(self._task)

    async def _run(self) -> None:
        while self._due:
            users = list(islice(self._due, BATCH))
            done = await asyncio.gather(*map(self._resync, users), return_exceptions=True)
            for user_id, outcome in zip(users, done, strict=True):
                if not isinstance(outcome, Unavailable):
                    self._due.pop(user_id, None)
                if isinstance(outcome, Exception) and not isinstance(outcome, Unavailable):
                    log.error("user_resync_failed", user_id=user_id, exc_info=outcome)
            if any(isinstance(outcome, Unavailable) for outcome in done):
                await asyncio.sleep(RETRY_SECONDS)

    async def _resync(self, user_id: str) -> None:
        """Publish an update of one session: the gap in its `version` makes the user's clients list again."""
        for session_id in {connection.session_id for connection in self._connections.of_user(user_id)}:
            session = await self._sessions.get(session_id, user_id=user_id)
            if session is None or not session.is_live(self._clock()):
                await self._watchdog.check_soon([session_id])
                continue
            for connection in self._connections.of_user(user_id):
                self._push.update_roles(connection, HeldRoles(session.roles, session.roles_version))
            await self._publisher.publish([SessionUpdated(session)])
            return
