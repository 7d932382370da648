"""What one row runs on: services, nodes, users and sockets of its own, ended with the row."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
from support.breakable import Stores
from support.clients import Answer, Api, Live, Login, Refused
from support.devices import Devices, devices
from support.health import both_ready, readiness
from support.nodes import Installation, Node, tracebacks
from support.waiting import eventually

T = TypeVar("T")
# Longer than any promise. What has not happened by then counts as never.
GIVE_UP_SECONDS = 60.0
AT_ONCE = 20
CHAT = "client-demo/chat.py:chat"
# An event of the audit trail that MongoDB did not take; the log has it with its contents, and the error.
NOT_STORED = "audit_event_not_stored"


@dataclass(frozen=True, slots=True)
class Ending:
    """A revocation: when it was acknowledged and when its socket was closed, by `time.monotonic`."""

    acknowledged: float
    closed: float


class World:
    """`size`: the share of the users and sockets of a full run, from 0 to 1."""

    def __init__(self, folder: Path, size: float = 1) -> None:
        self.folder = folder
        self._size = size
        self.nodes: list[Node] = []
        self.stack = AsyncExitStack()
        self.http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self.http = await self.stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0))
        )
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.stack.__aexit__(*error)

    def scaled(self, count: int) -> int:
        """The part of `count` that belongs to this run; at least 4."""
        return max(round(count * self._size), 4)

    def stores(self) -> Stores:
        """Start a MongoDB and a Redis."""
        folder = self.folder / "stores"
        folder.mkdir()
        return self.stack.enter_context(Stores(folder))

    async def start(self, installation: Installation, count: int, **settings: str) -> list[Node]:
        """Start nodes; wait until they are ready."""

        def start_one(_: int) -> Node:
            # Thousands of sockets of this machine stand for as many of others.
            node = installation.start(VIGIL_CONNECTIONS_PER_ADDRESS="0", **settings)
            self.stack.callback(node.stop)
            return node

        with ThreadPoolExecutor(count) as starters:
            nodes = await asyncio.to_thread(lambda: list(starters.map(start_one, range(count))))
        self.nodes += nodes
        await both_ready(self.http, *nodes)
        return nodes

    def on(self, node: Node) -> Api:
        """The HTTP API of a node."""
        return Api(node.url, self.http)

    async def connect(self, node: Node, token: str, **options: Any) -> Live:
        """Open a socket that is closed with the row."""
        live = await Live.connect(node.url, token, **options)
        self.stack.push_async_callback(live.close)
        return live

    async def devices(self, nodes: Sequence[Node], count: int) -> list[Devices]:
        """Users with a laptop on the first node, and a phone with a socket on the second."""
        made: list[Devices] = []
        while len(made) < count:
            part = min(AT_ONCE, count - len(made))
            made += await asyncio.gather(*(devices(nodes, self.http, self.connect) for _ in range(part)))
        return made

    async def logins(self, node: Node, count: int) -> list[Login]:
        """Logins of as many users."""
        made: list[Login] = []
        api = self.on(node)
        while len(made) < count:
            part = min(AT_ONCE, count - len(made))
            emails = [await api.register() for _ in range(part)]
            made += await asyncio.gather(*(api.login(email) for email in emails))
        return made

    async def lasting(self, seconds: float, act: Callable[[], Awaitable[Any]]) -> list[float]:
        """Repeat `act` for `seconds`; return how long each took."""
        taken, end = [], time.monotonic() + seconds
        while (begun := time.monotonic()) < end:
            await act()
            taken.append(time.monotonic() - begun)
            await asyncio.sleep(0.05)
        return taken

    async def still_served(self, every: Sequence[Devices]) -> int:
        """Count what still serves revoked sessions: sockets, access tokens, refresh tokens, handshakes."""

        async def serving(each: Devices) -> int:
            served = int(not each.ended.gone.is_set())
            for node in self.nodes:
                answer = await self.on(node).call("GET", "/me", token=each.phone.access_token)
                served += answer.status == 200
            served += (await each.phone.refresh()).status == 200
            return served + (await is_accepted(self, self.nodes[0], each.phone)() is not None)

        served = 0
        for start in range(0, len(every), AT_ONCE):
            served += sum(await asyncio.gather(*map(serving, every[start : start + AT_ONCE])))
        return served

    def tracebacks(self) -> list[str]:
        """The failures that the nodes logged and did not expect."""
        unexpected = [line for node in self.nodes for line in tracebacks(node.log)]
        return [line for line in unexpected if NOT_STORED not in line]

    def logged(self, event: str) -> int:
        """Count a log event of all nodes."""
        return sum(event in line for node in self.nodes for line in node.log)


async def answered(act: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat a request while the server is unavailable, as clients do."""

    async def once() -> Answer | None:
        try:
            answer = await act()
        except (aiohttp.ClientError, OSError):
            return None
        return None if answer.status == 503 else answer

    return await eventually(once, "an answer other than 503", timeout=GIVE_UP_SECONDS, every=0.1)


async def ended(one: Devices) -> Ending:
    """End the session of a phone from the laptop; wait until its socket has closed."""
    answer = await answered(lambda: one.laptop.call("DELETE", f"/sessions/{one.phone.session_id}"))
    # 404 after a revocation whose answer was lost.
    assert answer.status in {200, 404}, answer.body
    acknowledged = time.monotonic()
    await one.ended.until_gone(timeout=GIVE_UP_SECONDS)
    return Ending(acknowledged, time.monotonic())


async def end_one_by_one(every: Sequence[Devices], seconds: float) -> list[Ending]:
    """Begin to end the sessions of all phones, evenly within `seconds`. Raises `AssertionError` if one stays."""
    tasks = []
    for each in every:
        tasks.append(asyncio.create_task(ended(each)))
        await asyncio.sleep(seconds / len(every))
    return await asyncio.gather(*tasks)


async def seconds_until(check: Callable[[], Awaitable[Any]], what: str) -> float:
    """How long it takes until `check` is true."""
    begun = time.monotonic()
    await eventually(check, what, timeout=GIVE_UP_SECONDS)
    return time.monotonic() - begun


def is_ready(world: World, *nodes: Node) -> Callable[[], Awaitable[bool]]:
    """Whether all of `nodes` are ready."""

    async def ready() -> bool:
        return all([(await readiness(world.http, node)).status == 200 for node in nodes])

    return ready


def is_not_ready(world: World, *nodes: Node) -> Callable[[], Awaitable[bool]]:
    """Whether none of `nodes` is ready."""

    async def not_ready() -> bool:
        return all([(await readiness(world.http, node)).status != 200 for node in nodes])

    return not_ready


def is_deaf(world: World, node: Node) -> Callable[[], Awaitable[bool]]:
    """Whether a node says that it does not hear the others."""

    async def deaf() -> bool:
        answer = await readiness(world.http, node)
        return "bus" in [error["field"] for error in answer.body.get("errors", [])]

    return deaf


def is_accepted(world: World, node: Node, login: Login) -> Callable[[], Awaitable[Live | None]]:
    """Connect, unless the handshake is refused."""

    async def accepted() -> Live | None:
        try:
            return await world.connect(node, login.access_token)
        except Refused:
            return None

    return accepted
