"""Test doubles for parts of a node's live side."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from auth.core.clock import Clock, utc_now
from auth.core.models import Client, Principal
from auth.core.tasks import Background
from auth.crypto.root_secret import RootSecret
from auth.platform.event_limits import EventBudget, EventWindow
from auth.platform.metrics import Metrics
from realtime.broker.seal import Message, MessageSeal
from realtime.delivery.catch_up import CatchUp
from realtime.delivery.push import Push
from realtime.delivery.revocation_acks import Endings
from realtime.delivery.room_places import RoomPlaces
from realtime.delivery.socket_hooks import SocketHooks
from realtime.hub import Connection, Connections, SocketState

SEAL = MessageSeal(RootSecret(b"of tests"), Metrics())


@dataclass
class Sockets:
    """An emitter that records sent events and closed sockets."""

    told: list[tuple[str, str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def emit_here(self, socket_id: str, event: str, payload: dict[str, Any]) -> None:
        self.told.append((socket_id, event))

    async def emit_acknowledged(
        self, socket_id: str, event: str, payload: dict[str, Any], *, seconds: float
    ) -> bool:
        self.told.append((socket_id, event))
        return True

    def emit_with_ack(
        self,
        socket_id: str,
        event: str,
        payload: dict[str, Any],
        *,
        seconds: float,
        settled: Callable[[bool], None],
    ) -> None:
        self.told.append((socket_id, event))
        settled(True)

    def leave_here(self, socket_id: str, room: str) -> None:
        return

    def leave_rooms(self, socket_id: str) -> None:
        return

    def close(self, socket_id: str) -> None:
        self.closed.append(socket_id)

    def drop(self, socket_id: str, why: str) -> None:
        self.dropped.append(socket_id)


async def nothing(*_: Any) -> None:
    """Do nothing."""


def delivering(
    sockets: Any,
    connections: Connections,
    *,
    user_log: Any = None,
    send: Callable[[str, str, Message], Awaitable[None]] = nothing,
    clock: Clock = utc_now,
) -> tuple[CatchUp, Push, Endings]:
    """Build the objects that deliver frames to `sockets`; receipts go to `send`."""
    metrics, hooks, unused = Metrics(), SocketHooks(None, Background()), cast("Any", None)
    endings = Endings(sockets, node_id="node", send=send, metrics=metrics, clock=clock)
    places = RoomPlaces(unused, unused, sockets)
    push = Push(sockets, places, endings, hooks, metrics=metrics, clock=clock)
    catch_up = CatchUp(connections, user_log, push, endings, unused, hooks, metrics=metrics, clock=clock)
    return catch_up, push, endings


def connection(socket_id: str) -> Connection:
    """Build a live socket of session `session`, user `user`."""
    now = utc_now()
    principal = Principal("user", "session", 0, (), (), now, now, now + timedelta(minutes=5))
    events = EventBudget(EventWindow(None, 60, now=time.monotonic()), {})
    return Connection(socket_id, principal, Client("127.0.0.1"), events, state=SocketState.LIVE)
