"""Planned shutdown: asks every client to reconnect to another node, then ends the connections one by one."""

import asyncio
import random

from auth.platform.periodic_tasks import one_item
from realtime.delivery.push import Push
from realtime.engine.emitter import Emitter
from realtime.engine.server import SHUTTING_DOWN
from realtime.gateway.waiting_logins import WaitingSockets
from realtime.hub import Connections
from realtime.protocol.messages import Draining, ServerEvent

# Disconnects are spread over at most this time; clients' reconnects over 1 s more.
DRAIN_SECONDS = 3.0
DRAIN_PER_SOCKET = 0.01
DRAIN_NOTICE_SECONDS = 0.2


async def drain(connections: Connections, waiting: WaitingSockets, emitter: Emitter, push: Push) -> None:
    """Send `draining` and end all connections within about 3 s. The node must already refuse new sockets."""
    open_now = list(connections)
    random.shuffle(open_now)
    span = min(DRAIN_SECONDS, len(open_now) * DRAIN_PER_SOCKET)
    waiting.drain(longest=1 + span)
    for connection in open_now:
        draining = Draining(reconnect_after_ms=round(random.uniform(0.1, 1 + span) * 1000))  # noqa: S311
        emitter.emit_here(connection.socket_id, ServerEvent.DRAINING, draining.to_wire())
    if open_now:
        await asyncio.sleep(DRAIN_NOTICE_SECONDS)
    for connection in open_now:
        await asyncio.sleep(span / len(open_now))
        with one_item("drain", socket_id=connection.socket_id):
            push.drop(connection, SHUTTING_DOWN)
