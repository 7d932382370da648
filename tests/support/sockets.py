"""Stand-ins for what a node's live side has around it, for tests of one of its parts."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from auth.clock import utc_now
from auth.models import Client, Principal
from auth.rate_limits import EventWindow
from realtime.connections import Connection, State


@dataclass
class Sockets:
    """Stands for the library: writes down who was told and who was closed."""

    told: list[tuple[str, str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def emit_here(self, socket_id: str, event: str, payload: dict[str, Any]) -> None:
        self.told.append((socket_id, event))

    async def emit_acknowledged(
        self, socket_id: str, event: str, payload: dict[str, Any], *, seconds: float
    ) -> bool:
        self.told.append((socket_id, event))
        return True

    def emit_asking(
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

    def leave_rooms(self, socket_id: str) -> None:
        return

    def close(self, socket_id: str) -> None:
        self.closed.append(socket_id)


def connection(socket_id: str) -> Connection:
    """A live socket of session `session`, user `user`."""
    now = utc_now()
    principal = Principal("user", "session", 0, (), (), now, now, now + timedelta(minutes=5))
    events = EventWindow(None, 60, now=time.monotonic())
    return Connection(socket_id, principal, Client("127.0.0.1"), events, state=State.LIVE)
