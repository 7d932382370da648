"""The bench's own events on Vigil: rooms to join and to push to, and one for each user."""

from typing import Any

from auth.errors import InvalidRequest
from realtime.application import Application, LiveSocket

bench = Application("bench")


@bench.on_socket_connected
async def enter_own_room(socket: LiveSocket) -> None:
    """Put every socket into its user's room."""
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
