"""The demo's chat room: an example of an application on Vigil.

It serves `chat:join` and `chat:send`, and sends `chat:message` and `chat:members`. It runs on every node, and its
room spans all of them. Each node keeps the latest messages in memory, which is enough for a demo.
"""

import secrets
from collections import deque
from typing import Any

from auth.core.clock import iso, utc_now
from auth.core.errors import FieldError, InvalidRequest
from realtime.application import Application, LiveSocket

ROOM = "lobby"
NAMELESS = "Guest"
MAX_TEXT = 2000
RECENT = 50

chat = Application(
    "chat",
    emits={
        "message": "A message was sent to the room: `{messageId, userId, name, text, at}`.",
        "members": "The members of the room on this node: `{members: [{userId, name}]}`.",
    },
)

_members: dict[str, dict[str, str]] = {}
_recent: deque[dict[str, Any]] = deque(maxlen=RECENT)


@chat.on("join")
async def join(socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    """Join the room. Returns its members on this node, the latest messages and the maximum length of a text."""
    user = await socket.user()
    # Never from the address: strangers read it.
    _members[socket.socket_id] = {"userId": user.user_id, "name": user.name or user.username or NAMELESS}
    await socket.enter(ROOM)
    await chat.emit("members", {"members": _present()}, room=ROOM)
    return {"members": _present(), "recent": list(_recent), "maxTextLength": MAX_TEXT}


@chat.on("send")
async def send(socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    """Send a message to the room."""
    text = data.get("text")
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
        raise InvalidRequest(errors=[FieldError("text", f"must be 1 to {MAX_TEXT} characters")])
    member = _members.get(socket.socket_id)
    if member is None:
        raise InvalidRequest("Join the room first.")
    message = {
        "messageId": secrets.token_hex(12),
        **member,
        "text": text,
        "at": iso(utc_now()),
    }
    _recent.append(message)
    await chat.emit("message", message, room=ROOM)
    return {"messageId": message["messageId"]}


@chat.on_socket_disconnected
async def leave(socket: LiveSocket) -> None:
    """Send the remaining members of this node after a socket disconnected, here or with a dead node."""
    was_here = _members.pop(socket.socket_id, None) is not None
    if was_here or (_members and not socket.is_here):
        await chat.emit("members", {"members": _present()}, room=ROOM)


@chat.on_socket_connected
async def restore(socket: LiveSocket) -> None:
    """Send the members again if a socket of the room was wrongly reported as disconnected."""
    if socket.socket_id in _members:
        await chat.emit("members", {"members": _present()}, room=ROOM)


def _present() -> list[dict[str, str]]:
    return list({member["userId"]: member for member in _members.values()}.values())
