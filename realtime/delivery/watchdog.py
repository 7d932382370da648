"""Fallback checks while the bus is silent: asks MongoDB about sessions, and closes sockets if that fails, too.

Where only some masters of a cluster are silent, this concerns only the users of their shards.
"""

import asyncio
import time
from collections.abc import Collection

import structlog

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.tasks import end
from auth.platform.periodic_tasks import one_item
from auth.stores.stores import Stores
from realtime.broker.bus import Bus
from realtime.delivery.push import Push
from realtime.delivery.relay import ended
from realtime.delivery.revocation_acks import Endings
from realtime.hub import Connection, Connections, Frame
from realtime.protocol.messages import By, ServerEvent, SessionRevoked

CHECK_SECONDS = 2.0
ISOLATED_SECONDS = 30.0
BATCH = 1000

log = structlog.get_logger()


class Watchdog:
    """Checks this node's sessions in MongoDB every 2 s while the bus is silent.

    A node without bus and MongoDB for 30 s is isolated, and closes its sockets. Setting `asked` requests an
    immediate check, for example when messages may have been missed.
    """

    def __init__(
        self,
        stores: Stores,
        connections: Connections,
        push: Push,
        endings: Endings,
        bus: Bus,
        *,
        asked: asyncio.Event,
        clock: Clock,
        check_seconds: float = CHECK_SECONDS,
        isolated_seconds: float = ISOLATED_SECONDS,
    ) -> None:
        self._sessions = stores.sessions
        self._roles = stores.session_roles
        self._connections = connections
        self._push = push
        self._endings = endings
        self._bus = bus
        self._clock = clock
        self._check_seconds = check_seconds
        self._isolated_seconds = isolated_seconds
        self._isolated_since: float | None = None
        self._asked = asked
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start checking, until `close`."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop checking."""
        await end(self._task)

    def ask(self) -> None:
        """Check at once, because messages may have been missed."""
        self._asked.set()

    async def check_soon(self, session_ids: Collection[str]) -> None:
        """Like `check`; while MongoDB is down, as soon as it is back."""
        try:
            await self.check(session_ids)
        except Unavailable:
            self.ask()

    async def check(self, session_ids: Collection[str]) -> None:
        """End the sockets of sessions that are no longer live, and update the roles of the others.

        Raises `Unavailable`.
        """
        ids = list(session_ids)
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            users = {each.user_id for one in batch for each in self._connections.of_session(one)}
            live = await self._sessions.live_among(batch, user_ids=users, now=self._clock())
            for session_id in set(batch) - live:
                with one_item("watchdog", session_id=session_id):
                    await self._end(session_id)
            for session_id, held in (await self._roles.changed_among(batch, user_ids=users)).items():
                for connection in self._connections.of_session(session_id):
                    with one_item("watchdog", socket_id=connection.socket_id):
                        self._push.update_roles(connection, held)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._check_seconds):
                    await self._asked.wait()
            except TimeoutError:
                pass
            if not self._bus.silent_seconds and not self._asked.is_set():
                self._isolated_since = None
                continue
            checked = list(self._connections) if self._asked.is_set() else self._unheard()
            self._asked.clear()
            try:
                await self.check({connection.session_id for connection in checked})
                self._isolated_since = None
            except Unavailable:
                await self._close_if_isolated()
            except Exception:  # the checks must go on
                log.exception("watchdog_failed")

    async def _close_if_isolated(self) -> None:
        if not self._bus.silent_seconds:
            self._asked.set()  # only MongoDB is down: check again when it is back
            await asyncio.sleep(self._check_seconds)
            return
        now = time.monotonic()
        self._isolated_since = self._isolated_since or now
        if now - self._isolated_since < self._isolated_seconds:
            return
        unheard = self._unheard()
        log.error("node_isolated", sockets=len(unheard))
        for connection in unheard:
            with one_item("watchdog", socket_id=connection.socket_id):
                self._push.drop(connection, "the node cannot check sessions")

    def _unheard(self) -> list[Connection]:
        """The sockets of users about whom no messages arrive."""
        return [connection for connection in self._connections if self._bus.is_silent(connection.user_id)]

    async def _end(self, session_id: str) -> None:
        connections = self._connections.of_session(session_id)
        if not connections:
            return
        session = await self._sessions.get(session_id, user_id=connections[0].user_id)
        for connection in connections:
            log.info("missed_session_end", session_id=session_id, socket_id=connection.socket_id)
            if session is None:
                self._push.drop(connection, "the session does not exist")
                continue
            fact = ended(session, now=self._clock())
            revoked = SessionRevoked(
                event_id=connection.cursor,
                session_id=session_id,
                reason=fact.reason,
                at=fact.at,
                by=By.of(fact.by),
                act=fact.by.act,
                message=fact.by.message,
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
            self._endings.end(connection, frame)
