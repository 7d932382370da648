"""Clients stop, vanish, or read too slowly. They are processes of their own."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from urllib.parse import urlsplit

from support.breakable import Way
from support.clients import Live, Login
from support.nodes import ROOT, Node
from support.waiting import eventually

from bench.accounting import memory
from bench.faults.rows import Figure, Row
from bench.faults.world import AT_ONCE, CHAT, GIVE_UP_SECONDS, World
from realtime.broker.presence import RECONNECT_SECONDS
from realtime.engine.sockets import PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS
from realtime.engine.websocket import MAX_WAITING_BYTES

# Going offline is announced that much after the end of the last socket, and is heard within a second.
TOLD_SECONDS = RECONNECT_SECONDS + 1
# The longest: the client stops just after it has answered a ping.
SILENT_SECONDS = PING_INTERVAL_SECONDS + PING_TIMEOUT_SECONDS
TEXT = "x" * 2000
MEGABYTE = 1_000_000
# What a node's memory may grow by beside the data that waits for slow readers.
OTHER_BYTES = 20 * MEGABYTE


class Clients:
    """A process with the sockets of some users' phones, each watched by its user's laptop on another node."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self.phones: list[Login] = []
        self.watchers: list[Live] = []

    @classmethod
    async def start(cls, world: World, on: Node, by: Node, count: int, url: str = "") -> "Clients":
        """Log users in and connect them to `on`, or to the proxy at `url` before it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.faults.client_process"), cwd=ROOT, stdin=PIPE, stdout=PIPE
        )
        clients = cls(world, process)
        world.stack.push_async_callback(clients.end)
        laptops = await world.logins(by, count)
        api = world.on(by)
        for start in range(0, count, AT_ONCE):
            part = laptops[start : start + AT_ONCE]
            clients.phones += await asyncio.gather(*(api.login(each.data["user"]["email"]) for each in part))
            clients.watchers += await asyncio.gather(*(world.connect(by, each.access_token) for each in part))
        address = urlsplit(url or on.url)
        tokens = [phone.access_token for phone in clients.phones]
        await clients.tell(json.dumps({"host": address.hostname, "port": address.port, "tokens": tokens}))
        await clients.until(online=True)
        return clients

    async def tell(self, command: str) -> None:
        """Send a line; wait until it is obeyed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        assert await self._process.stdout.readline(), "the client has ended"

    def freeze(self) -> None:
        """Stop the process with SIGSTOP."""
        os.kill(self._process.pid, signal.SIGSTOP)

    async def until(self, *, online: bool) -> None:
        """Wait until every phone is known to be online or offline."""

        async def told() -> bool:
            return all(status[-1:] == [online] for status in self.told())

        await eventually(told, f"all phones are online={online}", timeout=GIVE_UP_SECONDS)

    def told(self) -> list[list[bool]]:
        """What the laptop of each phone was told of it."""
        return [
            [event["online"] for event in live.all("device-status") if event["sessionId"] == phone.session_id]
            for phone, live in zip(self.phones, self.watchers, strict=True)
        ]

    async def offline(self, promised: float | None) -> list[Figure]:
        """Wait until all phones are offline; `promised`: within how many seconds from now."""
        begun = time.monotonic()
        await self.until(online=False)
        taken = time.monotonic() - begun
        wrong = sum(status != [True, False] for status in self.told())
        return [
            Figure("devices", len(self.phones)),
            Figure("all announced offline after", taken, "s", most=promised),
            Figure("announced otherwise than once", wrong, most=0),
        ]

    async def end(self) -> None:
        """Kill the process."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


async def frozen(world: World) -> list[Figure]:
    """Stop the clients with SIGSTOP."""
    pair = await world.start(world.stores().installation(), 2)
    clients = await Clients.start(world, pair[0], pair[1], world.scaled(40))
    clients.freeze()
    return await clients.offline(SILENT_SECONDS + TOLD_SECONDS)


async def vanished(world: World) -> list[Figure]:
    """Lose every packet of the clients from now on, in both directions: their connections are half open."""
    stores = world.stores()
    pair = await world.start(stores.installation(), 2)
    way: Way = stores.way_to(pair[0].url)
    clients = await Clients.start(world, pair[0], pair[1], world.scaled(40), url=way.url)
    way.hold()
    world.stack.callback(way.let_through)
    return await clients.offline(SILENT_SECONDS + TOLD_SECONDS)


async def reset(world: World) -> list[Figure]:
    """End the connections of the clients with RST."""
    pair = await world.start(world.stores().installation(), 2)
    clients = await Clients.start(world, pair[0], pair[1], world.scaled(40))
    await clients.tell("reset")
    return await clients.offline(TOLD_SECONDS)


async def dawdling(world: World) -> list[Figure]:
    """Let clients read a few kilobytes a second of a room in which much is said."""
    pair = await world.start(world.stores().installation(), 2, VIGIL_APPLICATION=CHAT)
    count = world.scaled(20)
    clients = await Clients.start(world, pair[0], pair[1], count)
    await clients.tell("join")
    hearers = []
    for login in await world.logins(pair[0], 5):
        hearers.append(await world.connect(pair[0], login.access_token, also=("chat:message",)))
        await hearers[-1].ask("chat:join")
    before = peak = memory(pair[0].process.pid).rss
    await clients.tell("dawdle")
    offline = asyncio.create_task(clients.offline(None))
    sent, waits = 0, []
    while not offline.done():
        begun = time.monotonic()
        answers = await asyncio.gather(*(each.ask("chat:send", {"text": TEXT}) for each in hearers))
        waits.append(time.monotonic() - begun)
        sent += sum(answer["ok"] for answer in answers)
        peak = max(peak, memory(pair[0].process.pid).rss)
    figures = await offline

    async def all_heard() -> bool:
        return all(len(each.all("chat:message")) >= sent for each in hearers)

    with suppress(AssertionError):  # what is missing is counted below
        await eventually(all_heard, "everybody has heard everything", timeout=5)
    missed = sum(sent - len(each.all("chat:message")) for each in hearers)
    return [
        *figures,
        Figure("messages sent", sent),
        Figure("of them not heard by those who read", missed, most=0),
        Figure("slowest answer to a message", max(waits), "s"),
        Figure(
            "memory of the node grew by at most",
            (peak - before) / MEGABYTE,
            "MB",
            most=(count * MAX_WAITING_BYTES + OTHER_BYTES) / MEGABYTE,
        ),
        Figure("dropped for another reason", count - world.logged("socket_slow_reader"), most=0),
    ]


CLIENT_ROWS = [
    Row(
        "client-frozen",
        "clients do nothing any more (SIGSTOP)",
        "their devices are offline within ping interval and timeout (45 s) and 3 s, told once",
        "Each socket is pinged every 25 s, and closed if the client does not answer within 20 s.",
        frozen,
    ),
    Row(
        "client-vanished",
        "the network of clients loses every packet: their connections are half open",
        "as `client-frozen`",
        "Each socket is pinged every 25 s, and closed if the client does not answer within 20 s.",
        vanished,
    ),
    Row(
        "client-reset",
        "connections of clients are reset (RST)",
        "their devices are offline within 3 s, told once",
        "Its end is noticed at once. A device is announced 2 s later if it has not reconnected.",
        reset,
    ),
    Row(
        "client-slow",
        "clients read a few kilobytes a second of a room in which much is said",
        "dropped when 1 MB waits in the node, or they read nothing for 5 s; others miss nothing",
        "A write beyond the megabyte drops the connection; the kernel holds some more. Others do not wait for it.",
        dawdling,
    ),
]
