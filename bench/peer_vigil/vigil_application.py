"""The bench's application on Vigil: events to join a room and to push to it, and one room per user."""

from typing import Any

from auth.core.errors import InvalidRequest
from realtime.application import Application, LiveSocket

bench = Application("bench")


@bench.on_socket_connected
async def enter_own_room(socket: LiveSocket) -> None:
    """Enter the user's room."""
    await socket.enter(f"user:{socket.principal.user_id}")


@bench.on("join")
async def join(socket: LiveSocket, data: dict[str, Any]) -> None:
    """Join a room."""
    await socket.enter(_room(data))


@bench.on("push")
async def push(_: LiveSocket, data: dict[str, Any]) -> None:
    """Send `data` to a room, on every node."""
    await bench.emit("message", data.get("data", {}), room=_room(data))


def _room(data: dict[str, Any]) -> str:
    room = data.get("room")
    if not isinstance(room, str):
        raise InvalidRequest("room must be a string")
    return room
