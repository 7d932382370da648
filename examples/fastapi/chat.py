"""A chat: what client-demo/chat.py does, as a backend of its own. Vigil posts clients' events to POST /vigil.

The members and the latest messages are in memory, which is enough for one process of an example.
"""

import os
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

ROOM = "chat:lobby"
MAX_TEXT = 2000
RECENT = 50
MOST_GONE = 1000

webhook = Webhook(os.environ["VIGIL_APPLICATION_URL_SECRET"])
vigil = httpx.AsyncClient(
    base_url=os.environ.get("VIGIL_URL", "http://127.0.0.1:8000"),
    headers={"Authorization": f"Bearer {os.environ['VIGIL_SERVER_KEY']}"},
)

Json = dict[str, Any]
Members = dict[str, dict[str, str]]
members: Members = {}  # by socket
gone: Members = {}  # the latest that have disconnected
watched: dict[str, set[str]] = {}  # by socket: whom it watches
recent: deque[Json] = deque(maxlen=RECENT)


class Refused(Exception):
    """The event is refused; the message is shown to the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def join(event: Json) -> Json:
    members[event["socketId"]] = {"userId": event["userId"], "name": await name_of(event["userId"])}
    return {
        "room": ROOM,
        "members": present(),
        "recent": list(recent),
        "maxTextLength": MAX_TEXT,
        "join": [ROOM],
        "emit": [members_now()],
    }


async def watch(event: Json) -> Json:
    """A client asks when the members have changed: it sees the presence of each."""
    before = watched.get(event["socketId"], set())
    now = {member["userId"] for member in members.values()}
    watched[event["socketId"]] = now
    return {"unwatch": list(before - now), "watch": list(now - before)}


async def send(event: Json) -> Json:
    text = event["data"].get("text")
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
        raise Refused("invalid_request", f"Write 1 to {MAX_TEXT} characters.")
    member = members.get(event["socketId"])
    if member is None:
        raise Refused("invalid_request", "Join the room first.")
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = {"messageId": secrets.token_hex(12), **member, "text": text, "at": now}
    recent.append(message)
    return {"messageId": message["messageId"], "emit": [to_room("chat:message", message)]}


async def leave(event: Json) -> Json:
    """Posted at least once, also when a node died; a second time it changes nothing."""
    watched.pop(event["socketId"], None)
    if not move(event["socketId"], members, gone):
        return {}
    if len(gone) > MOST_GONE:
        del gone[next(iter(gone))]
    return {"emit": [members_now()]}


async def restore(event: Json) -> Json:
    """Of a node that was taken for dead, posted again: its sockets are still in the room."""
    return {"emit": [members_now()]} if move(event["socketId"], gone, members) else {}


def move(key: str, source: Members, target: Members) -> bool:
    if key not in source:
        return False
    target[key] = source.pop(key)
    return True


handlers: dict[str, Callable[[Json], Awaitable[Json]]] = {
    "chat:join": join,
    "chat:watch": watch,
    "chat:send": send,
    "disconnect": leave,
    "connect": restore,
}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await vigil.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/vigil")
async def take(request: Request) -> Response:
    """Serve an event of a client, or a hook."""
    try:
        # The signature covers the exact bytes, so the body is read as it is.
        event = webhook.verify(await request.body(), dict(request.headers))
    except (WebhookVerificationError, ValueError):  # ValueError: headers or a body of another form
        return Response(status_code=401)
    name = event["event"]
    try:
        if name not in handlers and ":" in name:
            raise Refused("unknown_event", "There is no such event.")
        return JSONResponse(await handlers[name](event) if name in handlers else {})
    except Refused as refused:
        return JSONResponse({"code": refused.code, "message": str(refused)}, status_code=400)


async def name_of(user_id: str) -> str:
    answer = await vigil.get(f"/api/server/users/{user_id}")
    user = answer.raise_for_status().json()["data"]["user"]
    # Never the address: strangers read it.
    return str(user["name"] or user["username"] or "Guest")


def present() -> list[dict[str, str]]:
    return list({member["userId"]: member for member in members.values()}.values())


def members_now() -> Json:
    return to_room("chat:members", {"members": present()})


def to_room(event: str, data: Json) -> Json:
    return {"to": {"room": ROOM}, "event": event, "data": data}
