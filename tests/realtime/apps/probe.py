"""An application for the tests: it does what applications do, well and badly, and tells what it saw.

Each node keeps its own `seen`; a test asks every node.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from auth.core.errors import Forbidden
from auth.core.models import Session
from realtime.application import Application, LiveSocket

probe = Application("probe")


@dataclass
class Seen:
    """One thing that a hook was told."""

    hook: str
    session_id: str
    socket_id: str = ""


_seen: list[Seen] = []
_failed: set[tuple[str, str]] = set()


def _room(socket: LiveSocket, data: dict[str, Any]) -> str:
    # Of the user's own: tests share the nodes.
    return f"{socket.principal.user_id}-{data.get('room', 'room')}"


@probe.on("echo")
async def echo(_socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    return {"data": data}


@probe.on("silent")
async def silent(_socket: LiveSocket, _data: dict[str, Any]) -> None:
    return None


@probe.on("slow")
async def slow(_socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(data["seconds"])
    return {"n": data.get("n")}


@probe.on("enter-late")
async def enter_late(socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(data["seconds"])
    await socket.enter(_room(socket, data))
    _seen.append(Seen("entered", socket.principal.session_id, socket.socket_id))
    return {}


@probe.on("fail")
async def fail(_socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("the vault's combination is 12-34-56")


@probe.on("wait-for-what-is-cancelled")
async def wait_for_what_is_cancelled(_socket: LiveSocket, _data: dict[str, Any]) -> None:
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


@probe.on("refuse")
async def refuse(_socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    raise Forbidden("Not before noon.")


@probe.on("no-json")
async def no_json(_socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    return {"value": object()}


@probe.on("moderate", role="moderator")
async def moderate(socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    return {"roles": list(socket.principal.roles)}


@probe.on("enter-as-moderator", role="moderator")
async def enter_as_moderator(socket: LiveSocket, data: dict[str, Any]) -> None:
    await asyncio.sleep(data.get("seconds", 0))
    await socket.enter(_room(socket, data))


@probe.on("roles")
async def roles(socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    return {"roles": list(socket.principal.roles)}


@probe.on_roles_changed
async def roles_changed(socket: LiveSocket) -> None:
    await socket.emit("roles", {"roles": list(socket.principal.roles)})


@probe.on("who-is")
async def who_is(_socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    principal = probe.who_is(data["socketId"])
    return {"userId": principal.user_id, "sessionId": principal.session_id} if principal else {"userId": None}


@probe.on("me")
async def me(socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    user = await socket.user()
    return {"name": user.name, "userId": user.user_id}


@probe.on("enter")
async def enter(socket: LiveSocket, data: dict[str, Any]) -> None:
    await socket.enter(_room(socket, data))


@probe.on("leave")
async def leave(socket: LiveSocket, data: dict[str, Any]) -> None:
    await socket.leave(_room(socket, data))


@probe.on("say")
async def say(socket: LiveSocket, data: dict[str, Any]) -> None:
    size = data.get("size", 0)
    await probe.emit("said", {"n": data.get("n"), "padding": "x" * size}, room=_room(socket, data))


@probe.on("say-durably")
async def say_durably(socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    """To the room, or to `userId`."""
    to: dict[str, Any] = {"user": data["userId"]} if "userId" in data else {"room": _room(socket, data)}
    said = {"n": data.get("n"), "padding": "x" * data.get("size", 0)}
    return {"id": await probe.emit("said", said, durable=True, **to)}


@probe.on("say-to-user")
async def say_to_user(_socket: LiveSocket, data: dict[str, Any]) -> None:
    await probe.emit("said", {"n": data.get("n")}, user=data["userId"])


@probe.on("history")
async def history(socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    read = await probe.history(_room(socket, data), after=data.get("after"), limit=data.get("limit", 50))
    events = [[each.history_id, each.event, each.data["n"]] for each in read.events]
    return {"events": events, "next": read.next, "recovered": read.recovered}


@probe.on("typing", limit="3/hour")
async def typing(socket: LiveSocket, data: dict[str, Any]) -> None:
    await socket.broadcast("said", {"n": data["n"]}, room=_room(socket, data))


@probe.on("watch")
async def watch(socket: LiveSocket, data: dict[str, Any]) -> None:
    await socket.watch(data["userIds"])


@probe.on("unwatch")
async def unwatch(socket: LiveSocket, data: dict[str, Any]) -> None:
    await socket.unwatch(data["userIds"])


@probe.on("whisper")
async def whisper(socket: LiveSocket, data: dict[str, Any]) -> None:
    await socket.emit("whispered", {"n": data.get("n")})


@probe.on("seen")
async def seen(_socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    return {"seen": [[each.hook, each.session_id, each.socket_id] for each in _seen]}


@probe.on_socket_connected
async def connected(socket: LiveSocket) -> None:
    _seen.append(Seen("connected", socket.principal.session_id, socket.socket_id))
    await socket.emit("welcome", {"socketId": socket.socket_id})


@probe.on_socket_disconnected
async def disconnected(socket: LiveSocket) -> None:
    _seen.append(Seen("disconnected", socket.principal.session_id, socket.socket_id))


@probe.on_session_started
async def started(session: Session) -> None:
    _seen.append(Seen("started", session.session_id))


@probe.on_session_ended
async def ended(session: Session) -> None:
    _seen.append(Seen("ended", session.session_id))


@probe.on_session_ended
async def ended_badly(_session: Session) -> None:
    raise RuntimeError("a hook of the application that fails")


@probe.on_session_ended
async def ended_at_last(session: Session) -> None:
    fail_once("ended", session.session_id)
    _seen.append(Seen("ended at last", session.session_id))


@probe.on_socket_disconnected
async def disconnected_at_last(socket: LiveSocket) -> None:
    fail_once("disconnected", socket.socket_id)
    where = "here" if socket.is_here else "elsewhere"
    _seen.append(Seen(f"disconnected at last {where}", socket.principal.session_id, socket.socket_id))


def fail_once(hook: str, of: str) -> None:
    if (hook, of) not in _failed:
        _failed.add((hook, of))
        raise RuntimeError("a hook of the application that fails the first time")
