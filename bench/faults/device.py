"""A device of the soak: it refreshes, stays connected as clients do, and checks what it sees."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import orjson
from support.clients import Answer, Login
from support.nodes import Node

from bench.client import LoadError, Socket, connect
from bench.faults.world import World

# Longer than a node needs that is not frozen.
PATIENCE_SECONDS = 8.0
ASK_SECONDS = 0.5
REFRESH_SECONDS = 4.0
# How long after its end a device still tries, and may still be served: without a fault, and around one.
TRYING_SECONDS = 30.0
SERVED_SECONDS, SERVED_IN_FAULT_SECONDS = 2.0, 10.0
GONE = ("session_revoked", "invalid_token")


@dataclass
class Seen:
    """What all devices saw."""

    violations: list[str] = field(default_factory=list)
    refreshes: int = 0
    events: int = 0
    reconnects: int = 0
    unrecovered: int = 0
    ends: int = 0
    faults: list[tuple[float, float]] = field(default_factory=list)

    def begin_fault(self) -> None:
        """A fault begins."""
        self.faults.append((time.monotonic(), float("inf")))

    def end_fault(self) -> None:
        """It is repaired."""
        self.faults[-1] = self.faults[-1][0], time.monotonic()

    def had_fault(self, since: float, until: float) -> bool:
        """Whether there was a fault in that time, or a few seconds before."""
        return any(begun < until and since < repaired + PATIENCE_SECONDS for begun, repaired in self.faults)

    def __str__(self) -> str:
        return (
            f"{len(self.faults)} faults: {self.refreshes} refreshes, {self.events} events, {self.reconnects} "
            f"reconnects ({self.unrecovered} not recovered), {self.ends} sessions ended, "
            f"{len(self.violations)} promises broken"
        )


class Device:
    """`may_end`: its session is to be ended, so a refusal is expected."""

    def __init__(self, world: World, nodes: Sequence[Node], login: Login, seen: Seen) -> None:
        self._world = world
        self._nodes = nodes
        self.login = login
        self._seen = seen
        self.may_end = False
        self._ended_at: float | None = None
        self._generation = 0
        self._cursor: int | None = None
        self._version: int | None = None
        self._socket: Socket | None = None
        self._refreshed_at = time.monotonic()
        self.task = asyncio.create_task(self._run())

    @property
    def name(self) -> str:
        """For messages."""
        return f"device {self.login.session_id}"

    def end_at(self, now: float) -> None:
        """The end of its session was acknowledged."""
        self._ended_at = now
        self._seen.ends += 1

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Call a node over HTTP; 503 if none answers in time."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                api = self._world.on(secrets.choice(self._nodes))
                return await api.call(method, path, body, token=self.login.access_token)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return Answer(503, {}, {})

    async def is_up_to_date(self) -> bool:
        """Whether it has heard of the newest version of its user's list."""
        answer = await self.ask("GET", "/sessions")
        return answer.status == 200 and answer.data["version"] in {self._version, 0}

    async def _run(self) -> None:
        while self._ended_at is None or time.monotonic() < self._ended_at + TRYING_SECONDS:
            if not await self._connect():
                await asyncio.sleep(ASK_SECONDS)
                continue
            assert self._socket is not None
            while not self._socket.closed.done():
                await self._use(self._socket)
                await asyncio.sleep(ASK_SECONDS)
            self._seen.reconnects += 1

    async def _use(self, socket: Socket) -> None:
        if time.monotonic() > self._refreshed_at + REFRESH_SECONDS:
            await self._refresh()
        try:
            ack = await asyncio.wait_for(socket.emit("sessions-list", {}), PATIENCE_SECONDS)
        except (LoadError, TimeoutError):
            socket.hang_up()
            return
        if not ack.code:
            self._note_served("its socket")
            if self._version is None:
                self._version = int(orjson.loads(ack.body)[0]["version"])

    async def _connect(self) -> bool:
        address = urlsplit(secrets.choice(self._nodes).url)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._socket, _ = await connect(
                    address.hostname or "",
                    address.port or 0,
                    self.login.access_token,
                    last_event_id=self._cursor,
                    on_event=self._hear,
                )
        except LoadError as refusal:
            self._note_refusal(str(refusal))
            return False
        except (OSError, TimeoutError):
            return False
        self._note_served("a handshake")
        return True

    async def _refresh(self) -> None:
        answer = await self.ask("POST", "/refresh", {"refreshToken": self.login.refresh_token})
        if answer.status == 200:
            self._note_served("a refresh")
            self.login.data |= answer.data
            claims = jwt.decode(self.login.access_token, options={"verify_signature": False})
            if claims["gen"] != self._generation + 1:
                self._break(f"generation {claims['gen']} after {self._generation}")
            self._generation = claims["gen"]
            self._refreshed_at = time.monotonic()
            self._seen.refreshes += 1
        elif answer.status != 503:
            self._note_refusal(answer.code)

    def _hear(self, text: bytes) -> None:
        name, *rest = orjson.loads(text)
        payload = rest[0] if rest else {}
        if name == "ready":
            if self._cursor is not None and not payload["recovered"]:
                self._seen.unrecovered += 1
            if not payload["recovered"]:
                self._version = None  # it lists again
                self._cursor = max(self._cursor or 0, payload["lastEventId"])
        if "eventId" in payload:
            self._hear_event(name, payload)

    def _hear_event(self, name: str, payload: dict[str, Any]) -> None:
        self._seen.events += 1
        # One that MongoDB told its node of, not the log, has the id of the event before.
        is_new = payload["eventId"] > (self._cursor or 0) - (name == "session-revoked")
        if not is_new:
            self._break(f"event {payload['eventId']} ({name}) after {self._cursor}")
        self._cursor = payload["eventId"]
        if name == "sessions-changed":
            if self._version is not None and payload["version"] > self._version + 1:
                self._break(f"version {payload['version']} after {self._version}")
            self._version = payload["version"]
        if name == "session-revoked" and not self.may_end:
            self._break(f"ended: {payload['reason']}")

    def _note_served(self, what: str) -> None:
        now = time.monotonic()
        if self._ended_at is None:
            return
        most = SERVED_IN_FAULT_SECONDS if self._seen.had_fault(self._ended_at, now) else SERVED_SECONDS
        if now > self._ended_at + most:
            self._break(f"{what} was served {now - self._ended_at:.1f} s after the end of its session")

    def _note_refusal(self, code: str) -> None:
        if not self.may_end and any(each in code for each in GONE):
            self._break(f"logged out: {code}")

    def _break(self, what: str) -> None:
        self._seen.violations.append(f"{self.name}: {what}")
