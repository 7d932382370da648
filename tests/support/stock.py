"""Unmodified Socket.IO clients, with their own reconnection and without Vigil's client code."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import socketio

from support.waiting import eventually


@dataclass
class StockClient:
    """python-socketio's client, with the ids of its sockets and the reasons of their disconnects, in order."""

    client: socketio.AsyncClient
    sockets: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @classmethod
    async def connect(cls, url: str, auth: Callable[[], Awaitable[dict[str, Any]]], transport: str) -> Self:
        """Connect; `auth` is called for each connection."""
        client = socketio.AsyncClient(handle_sigint=False)
        stock = cls(client)
        client.on("ready", lambda ready: stock.sockets.append(ready["socketId"]))
        client.on("disconnect", stock.lost.append)
        await client.connect(url, auth=auth, transports=[transport])
        await stock.until_sockets(1)
        return stock

    async def until_sockets(self, count: int) -> None:
        """Wait until `count` sockets have been accepted."""

        async def connected() -> bool:
            return len(self.sockets) >= count

        await eventually(connected, f"connection number {count} is accepted", timeout=30)

    @property
    def comes_back(self) -> bool:
        """Whether it is connected or reconnecting."""
        return bool(self.client.connected or self.client._reconnect_task)
