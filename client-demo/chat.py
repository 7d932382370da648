"""The demo's chat room: an example of an application on Vigil.

It serves `chat:join`, `chat:watch` and `chat:send`, and sends `chat:message` and `chat:members`. It runs on every
node, and its room spans all of them. Messages are durable: the room's history has the latest, and clients that
were away get what they missed. Who has joined is noted in the history of a second room, so that every node knows
the names; which of them are here is asked of presence, so that nobody stays a member by a node that was killed.
"""

import asyncio
import secrets
from collections import deque
from typing import Any

from auth.core.clock import iso, utc_now
from auth.core.errors import FieldError, InvalidRequest, Unavailable
from realtime.application import Application, LiveSocket

ROOM, ROSTER = "lobby", "roster"
NAMELESS = "Guest"
MAX_TEXT = 2000
RECENT = 50
# Names that a node knows at most: as many as it may ask presence for at once.
MOST_NAMES = 500
# A socket that disconnects counts as online for two seconds more.
PRESENCE_SECONDS = 2.5

chat = Application(
    "chat",
    emits={
        "message": "A message was sent to the room: `{messageId, userId, name, text, at, historyId}`.",
        "members": "The members of the room: `{members: [{userId, name}]}`.",
    },
)

# The sockets of this node that have joined, and whom they watch.
_joined: dict[str, dict[str, str]] = {}
_watched: dict[str, set[str]] = {}


class Roster:
    """The names of those who have joined, on whichever node, as far as the history of `ROSTER` reaches back."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._after: int | None = None

    async def note(self, user_id: str, name: str) -> None:
        """Let every node know a name."""
        await self._read()
        if self._names.get(user_id) != name:
            await chat.emit("joined", {"userId": user_id, "name": name}, room=ROSTER, durable=True)

    async def present(self) -> list[dict[str, str]]:
        """Those of them who are online."""
        await self._read()
        for member in tuple(_joined.values()):
            if member["userId"] not in self._names:  # joined before what the history still has
                await self.note(member["userId"], member["name"])
        await self._read()
        names = dict(self._names)  # others change them meanwhile
        online = await chat.presence(list(names))
        return [{"userId": each, "name": name} for each, name in names.items() if online[each].devices]

    async def _read(self) -> None:
        while True:
            page = await chat.history(ROSTER, after=self._after, limit=200)
            if page.recovered is False:
                # Redis lost it, or it is old: everybody is noted again.
                self._names, self._after = {}, None
                if not page.events:
                    return
                continue
            for event in page.events:
                self._after = event.history_id
                # At the end, so that those who joined long ago are forgotten first.
                self._names.pop(event.data["userId"], None)
                self._names[event.data["userId"]] = event.data["name"]
            while len(self._names) > MOST_NAMES:
                del self._names[next(iter(self._names))]
            if page.next is None:
                return


class News:
    """Tells the room who is left, once after any number of disconnects."""

    def __init__(self) -> None:
        self._due = False
        self._task: asyncio.Task[None] | None = None

    def send_soon(self) -> None:
        """Send the members when presence knows of a disconnect."""
        self._due = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._due:
            self._due = False
            await asyncio.sleep(PRESENCE_SECONDS)
            try:
                await _send_members()
            except Unavailable:
                self._due = True  # until Redis is back


_roster, _news = Roster(), News()


@chat.on("join")
async def join(socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    """Join the room. Returns its members, the latest messages and the maximum length of a text."""
    user = await socket.user()
    # Never from the address: strangers read it.
    name = user.name or user.username or NAMELESS
    await _roster.note(user.user_id, name)
    _joined[socket.socket_id] = {"userId": user.user_id, "name": name}
    await socket.enter(ROOM)
    members = await _send_members()
    return {"room": f"chat:{ROOM}", "members": members, "recent": await _latest(), "maxTextLength": MAX_TEXT}


@chat.on("watch")
async def watch(socket: LiveSocket, _data: dict[str, Any]) -> dict[str, Any]:
    """Let the socket see the presence of the members, as they are now."""
    if socket.socket_id not in _joined:
        raise InvalidRequest("Join the room first.")
    members = {each["userId"] for each in await _roster.present()}
    watched = _watched.get(socket.socket_id, set())
    await socket.unwatch(list(watched - members))
    await socket.watch(list(members - watched))
    _watched[socket.socket_id] = members
    return {}


@chat.on("send")
async def send(socket: LiveSocket, data: dict[str, Any]) -> dict[str, Any]:
    """Send a message to the room."""
    text = data.get("text")
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
        raise InvalidRequest(errors=[FieldError("text", f"must be 1 to {MAX_TEXT} characters")])
    member = _joined.get(socket.socket_id)
    if member is None:
        raise InvalidRequest("Join the room first.")
    message = {
        "messageId": secrets.token_hex(12),
        **member,
        "text": text,
        "at": iso(utc_now()),
    }
    await chat.emit("message", message, room=ROOM, durable=True)
    return {"messageId": message["messageId"]}


@chat.on_socket_disconnected
async def leave(socket: LiveSocket) -> None:
    """Send the remaining members after a socket disconnected, here or with a dead node."""
    _watched.pop(socket.socket_id, None)
    if _joined.pop(socket.socket_id, None) is not None or not socket.is_here:
        _news.send_soon()


@chat.on_socket_connected
async def restore(socket: LiveSocket) -> None:
    """Send the members again if a socket of the room was wrongly reported as disconnected."""
    if socket.socket_id in _joined:
        _news.send_soon()


async def _send_members() -> list[dict[str, str]]:
    members = await _roster.present()
    await chat.emit("members", {"members": members}, room=ROOM)
    return members


async def _latest() -> list[dict[str, Any]]:
    """The latest messages, oldest first."""
    latest: deque[dict[str, Any]] = deque(maxlen=RECENT)
    after: int | None = None
    while True:
        page = await chat.history(ROOM, after=after, limit=200)
        latest.extend({**each.data, "historyId": each.history_id} for each in page.events)
        if page.next is None:
            return list(latest)
        after = page.next
