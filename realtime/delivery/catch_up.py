"""Incoming frames: delivers a user's events to that user's sockets on this node, in order.

If a socket has not received a frame's predecessor, the bus lost something and the socket catches up from the log.
So does every socket after the bus, or the list of sockets, was lost.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.platform.metrics import Metrics
from auth.platform.periodic_tasks import one_item
from realtime.broker.user_log import UserLog, device_status
from realtime.delivery.push import Push
from realtime.delivery.resync import ResyncRequests
from realtime.delivery.revocation_acks import Endings
from realtime.delivery.socket_hooks import SocketHooks
from realtime.hub import Connection, Connections, Frame, SocketState

# Sockets that catch up concurrently.
BATCH = 100


class CatchUp:
    """Delivers frames from the bus, and reads missed frames from the log."""

    def __init__(
        self,
        connections: Connections,
        user_log: UserLog,
        push: Push,
        endings: Endings,
        resync_requests: ResyncRequests,
        hooks: SocketHooks,
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._log = user_log
        self._push = push
        self._endings = endings
        self._resync_requests = resync_requests
        self._hooks = hooks
        self._metrics = metrics
        self._clock = clock

    async def take(self, frame: Frame) -> None:
        """Deliver a frame to every socket of its user on this node, and report to the node that counts, if any."""
        self._metrics.bus_events.labels("application" if frame.is_application else frame.event).inc()
        receipt = self._endings.receipt_for(frame)
        for connection in self._connections.of_user(frame.user_id):
            with one_item("push", socket_id=connection.socket_id):
                if connection.state is not SocketState.CONNECTING and frame.previous > connection.cursor:
                    await self.one(connection)
                self._push.deliver(connection, frame, receipt)
        if receipt is not None:
            await self._endings.report(frame, receipt)

    async def one(self, connection: Connection) -> None:
        """List a socket again and send the events it missed. Raises `Unavailable`.

        If it had been removed from the list, the application was told that it disconnected, so the `connected`
        hooks run again. If it missed more than the log holds, its client is made to list its sessions again.
        """
        online = device_status(connection.session_id, online=True, sockets=1, clock=self._clock)
        joined = await self._log.rejoin(connection, cursor=connection.cursor, online=online)
        for frame in joined.missed:
            self._push.deliver(connection, frame)
        connection.cursor = max(connection.cursor, joined.last_event_id)
        if not joined.recovered:
            self._resync_requests.request(connection.user_id)
        if joined.was_missing:
            self._hooks.connected_again(connection)

    async def one_if_possible(self, connection: Connection) -> None:
        """Like `one`; while the log is unavailable do nothing: the next resubscription catches up."""
        with suppress(Unavailable):
            await self.one(connection)

    async def every(self, connections: Sequence[Connection]) -> None:
        """Like `one`, for many sockets; a failure does not affect the others."""
        for start in range(0, len(connections), BATCH):
            await asyncio.gather(*map(self._one_of_many, connections[start : start + BATCH]))

    async def _one_of_many(self, connection: Connection) -> None:
        with one_item("resync", socket_id=connection.socket_id):
            await self.one(connection)
