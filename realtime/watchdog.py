"""What a node does that may not hear of revocations: it asks MongoDB, and rather closes sockets than be wrong."""

import asyncio
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from auth.clock import Clock
from auth.errors import Unavailable
from auth.models import HeldRoles, Session
from realtime.bus import Bus
from realtime.connections import Connections, Frame
from realtime.messages import By, ServerEvent, SessionRevoked
from realtime.push import Push
from realtime.relay import ended
from realtime.tasks import end

CHECK_SECONDS = 2.0
BLIND_SECONDS = 30.0
BATCH = 1000

log = structlog.get_logger()


class Truth(Protocol):
    """What MongoDB knows of sessions."""

    async def live_among(self, session_ids: Sequence[str], *, now: datetime) -> set[str]:
        """Which of the sessions are live."""

    async def get(self, session_id: str) -> Session | None:
        """One session."""


class RolesTruth(Protocol):
    """What MongoDB knows of the roles of sessions."""

    async def changed_among(self, session_ids: Sequence[str]) -> dict[str, HeldRoles]:
        """The roles of those sessions whose users ever got others."""


class Watchdog:
    """Asks MongoDB about this node's sockets every 2 s while it is deaf; blind for 30 s, it closes them."""

    def __init__(
        self,
        truth: Truth,
        roles: RolesTruth,
        connections: Connections,
        push: Push,
        bus: Bus,
        *,
        clock: Clock,
        check_seconds: float = CHECK_SECONDS,
        blind_seconds: float = BLIND_SECONDS,
    ) -> None:
        self._truth = truth
        self._roles = roles
        self._connections = connections
        self._push = push
        self._bus = bus
        self._clock = clock
        self._check_seconds = check_seconds
        self._blind_seconds = blind_seconds
        self._blind_since: float | None = None
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Watch until `close`."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop watching."""
        await end(self._task)

    def ask(self) -> None:
        """Check at once: something may have passed unheard."""
        self._asked.set()

    async def check(self, session_ids: Collection[str]) -> None:
        """End the sockets of sessions that are no longer live; the others act by their roles as they are now.

        Raises `Unavailable`.
        """
        ids = list(session_ids)
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            live = await self._truth.live_among(batch, now=self._clock())
            for session_id in set(batch) - live:
                await self._end(session_id)
            for session_id, held in (await self._roles.changed_among(batch)).items():
                for connection in self._connections.of_session(session_id):
                    self._push.give_roles(connection, held)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._check_seconds):
                    await self._asked.wait()
            except TimeoutError:
                pass
            if not self._bus.deaf_seconds and not self._asked.is_set():
                self._blind_since = None
                continue
            self._asked.clear()
            try:
                await self.check(tuple(self._connections.sessions()))
                self._blind_since = None
            except Unavailable:
                await self._close_if_blind()
            except Exception:  # it has to watch on
                log.exception("watchdog_failed")

    async def _close_if_blind(self) -> None:
        if not self._bus.deaf_seconds:
            self._asked.set()  # MongoDB is away and the bus is not: ask again when it is back
            await asyncio.sleep(self._check_seconds)
            return
        now = time.monotonic()
        self._blind_since = self._blind_since or now
        if now - self._blind_since < self._blind_seconds:
            return
        log.error("node_is_blind", sockets=len(self._connections))
        for connection in self._connections:
            self._push.disconnect(connection)

    async def _end(self, session_id: str) -> None:
        session = await self._truth.get(session_id)
        for connection in self._connections.of_session(session_id):
            log.info("session_ended_unheard", session_id=session_id, socket_id=connection.socket_id)
            if session is None:
                self._push.disconnect(connection)
                continue
            fact = ended(session, now=self._clock())
            revoked = SessionRevoked(
                event_id=connection.cursor,
                session_id=session_id,
                reason=fact.reason,
                at=fact.at,
                by=By.of(fact.by),
            )
            frame = Frame(
                connection.user_id,
                connection.cursor,
                connection.cursor,
                ServerEvent.SESSION_REVOKED,
                session_id,
                None,
                "",
                revoked.to_wire(),
            )
            self._push.end(connection, frame)
