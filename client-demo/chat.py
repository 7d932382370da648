"""The demo's chat room: what an application on Vigil looks like.

It serves `chat:join` and `chat:send`, pushes `chat:message` and `chat:members`, and runs on every node: the
room spans them. The last messages are kept in memory per node, which is enough for a demo.
"""

import secrets
from collections import deque
from typing import Any

from auth.clock import iso, utc_now
from auth.errors import FieldError, InvalidRequest
from realtime.application import Application, LiveSocket

ROOM = "lobby"
MAX_TEXT = 2000
RECENT = 50

chat = Application("chat")

_members: dict[str, dict[str, str]] = {}
_recent: deque[dict[str, Any]] = deque(maxlen=RECENT)


@chat.on("join")
async def join(socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    """Enter the room; answers with who is here on this node and what was said lately."""
    user = await socket.user()
    _members[socket.socket_id] = {"userId": user.user_id, "name": user.name or user.email.partition("@")[0]}
    await socket.enter(ROOM)
    await chat.emit("members", {"members": _present()}, room=ROOM)
    return {"members": _present(), "recent": list(_recent)}


@chat.on("send")
async def send(socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    """Say something to the room."""
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
    """A socket is gone: say who is left."""
    if _members.pop(socket.socket_id, None) is not None:
        await chat.emit("members", {"members": _present()}, room=ROOM)


def _present() -> list[dict[str, str]]:
    return list({member["userId"]: member for member in _members.values()}.values())
