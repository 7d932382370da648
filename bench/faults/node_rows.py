"""A node is killed, frozen, or restarted with the others one after another."""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from socketio.exceptions import SocketIOError
from support.clients import Live, Login
from support.nodes import Node
from support.waiting import eventually

from bench.client import Socket
from bench.client import connect as connect_cheaply
from bench.faults.rows import Figure, Row
from bench.faults.world import AT_ONCE, CHAT, GIVE_UP_SECONDS, World
from bench.measures import percentile

ANNOUNCED_SECONDS = 15.0
FROZEN_SECONDS = 20.0
MEASURED_SECONDS = 10.0
USERS = 50
TABS = 10
MEMBERS = 24


class Watched:
    """Users with many devices on one node, each watched by a device on another node."""

    def __init__(self, world: World, on: Node, by: Node) -> None:
        self._world = world
        self._on = on
        self._by = by
        self.sockets: dict[str, list[Socket]] = {}
        self.watchers: list[Live] = []
        self.logins: list[Login] = []

    async def connect(self, count: int) -> None:
        """Connect `count` sockets, several for each device, and wait until all devices are known to be online."""
        address = urlsplit(self._on.url)
        assert address.hostname is not None
        assert address.port is not None
        devices = count // TABS or 1
        users = min(USERS, devices)
        self.logins = await self._world.logins(self._by, users)
        for login in self.logins:
            self.watchers.append(await self._world.connect(self._by, login.access_token))
        emails = [login.data["user"]["email"] for login in self.logins]
        api = self._world.on(self._by)

        async def one(number: int) -> None:
            login = await api.login(emails[number % users])
            sockets = self.sockets[login.session_id] = []
            for _ in range(min(TABS, count)):
                socket, _ = await connect_cheaply(address.hostname or "", address.port or 0, login.access_token)
                self._world.stack.callback(socket.hang_up)
                sockets.append(socket)

        for start in range(0, devices, AT_ONCE):
            await asyncio.gather(*(one(number) for number in range(start, min(start + AT_ONCE, devices))))
        await self.until(True, 1)

    def all_sockets(self) -> list[Socket]:
        """The sockets of all devices."""
        return [socket for sockets in self.sockets.values() for socket in sockets]

    def told(self) -> dict[str, list[bool]]:
        """What the watchers were told of each device."""
        told = defaultdict(list)
        for live in self.watchers:
            for event in live.all("device-status"):
                if event["sessionId"] in self.sockets:
                    told[event["sessionId"]].append(event["online"])
        return told

    async def until(self, online: bool, times: int) -> float:
        """Wait until every device was announced `times` times in all; return the seconds."""
        begun = time.monotonic()

        async def announced() -> bool:
            told = self.told()
            return len(told) == len(self.sockets) and all(
                len(each) >= times and each[-1] is online for each in told.values()
            )

        await eventually(announced, f"all devices are online={online}", timeout=GIVE_UP_SECONDS)
        return time.monotonic() - begun

    def repeats(self, *expected: bool) -> int:
        """Count devices that were not announced exactly as expected."""
        return sum(each != list(expected) for each in self.told().values())


async def waits(world: World, node: Node, login: Login) -> float:
    """The p99 of requests that ask for the list of sessions, in ms."""

    async def ask() -> None:
        answer = await world.on(node).call("GET", "/me", token=login.access_token)
        assert answer.status == 200, answer.body

    return percentile(await world.lasting(MEASURED_SECONDS, ask), 0.99) * 1000


async def killed(world: World) -> list[Figure]:
    """Kill one of three nodes that has 2,000 sockets."""
    stores = world.stores()
    doomed, well, other = await world.start(stores.installation(), 3)
    watched = Watched(world, doomed, well)
    await watched.connect(world.scaled(2000))
    before = await waits(world, other, watched.logins[0])
    doomed.kill()
    announced, after = await asyncio.gather(watched.until(False, 2), waits(world, other, watched.logins[0]))
    again = Watched(world, other, well)
    begun = time.monotonic()
    await again.connect(world.scaled(400))
    return [
        Figure("devices", len(watched.sockets)),
        Figure("sockets", len(watched.all_sockets())),
        Figure("all announced offline after", announced, "s", most=ANNOUNCED_SECONDS),
        Figure("announced otherwise than once", watched.repeats(True, False), most=0),
        Figure("survivors' p99 before", before, "ms"),
        Figure("survivors' p99 meanwhile", after, "ms", most=max(2 * before, before + 50)),
        Figure(f"{len(again.sockets)} devices log in and connect elsewhere in", time.monotonic() - begun, "s"),
    ]


async def frozen(world: World) -> list[Figure]:
    """Stop a node with SIGSTOP for 20 s."""
    stores = world.stores()
    icy, well, other = await world.start(stores.installation(), 3)
    watched = Watched(world, icy, well)
    await watched.connect(world.scaled(400))
    before = await waits(world, other, watched.logins[0])
    icy.freeze()
    begun = time.monotonic()
    announced, after = await asyncio.gather(watched.until(False, 2), waits(world, other, watched.logins[0]))
    await asyncio.sleep(max(FROZEN_SECONDS - (time.monotonic() - begun), 0))
    icy.thaw()
    back = await watched.until(True, 3)
    closed = sum(socket.closed.done() for socket in watched.all_sockets())
    for socket in watched.all_sockets()[:20]:
        await socket.ask("sessions-list", {})
    return [
        Figure("devices", len(watched.sockets)),
        Figure("sockets", len(watched.all_sockets())),
        Figure("all announced offline after", announced, "s", most=ANNOUNCED_SECONDS),
        Figure("online again after it goes on", back, "s", most=ANNOUNCED_SECONDS),
        Figure("announced otherwise than once each", watched.repeats(True, False, True), most=0),
        Figure("sockets closed", closed, most=0),
        Figure("survivors' p99 before", before, "ms"),
        Figure("survivors' p99 meanwhile", after, "ms", most=max(2 * before, before + 50)),
    ]


class Member:
    """A member of the chat room. Told `draining`, it joins on another node before its socket is closed."""

    def __init__(self, world: World, login: Login, serving: Sequence[Node]) -> None:
        self._world = world
        self._login = login
        self._serving = serving
        self.lives: list[Live] = []
        self.sent: list[str] = []

    async def join(self) -> None:
        """Join on one of the nodes that are not leaving."""
        node = secrets.choice(self._serving)
        live = await self._world.connect(node, self._login.access_token, also=("chat:message",))
        answer = await live.ask("chat:join")
        assert answer["ok"], answer
        self.lives.append(live)

    async def stay(self) -> None:
        """Move from node to node as they drain, until cancelled."""
        while True:
            await self.lives[-1].wait("draining", timeout=3600)
            await self.join()

    async def chat(self, name: str, seconds: float) -> None:
        """Send a message about four times a second. What is not acknowledged is sent again."""
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            text = f"{name} {number}"
            try:
                answer: Any = await self.lives[-1].ask("chat:send", {"text": text}, timeout=5)
            except SocketIOError:  # closed before the ack
                await asyncio.sleep(0.05)
                continue
            if answer["ok"]:
                self.sent.append(text)
                number += 1
            await asyncio.sleep(0.25)

    def heard(self) -> set[str]:
        """The messages that reached it, on any of its sockets."""
        return {message["text"] for live in self.lives for message in live.all("chat:message")}

    def flickers(self) -> int:
        """How often it was told that another device had gone offline."""
        return sum(not event["online"] for live in self.lives for event in live.all("device-status"))

    def unannounced(self) -> int:
        """How many of its sockets were closed without `draining`."""
        return sum(live.gone.is_set() and not live.all("draining") for live in self.lives)


async def rolling(world: World) -> list[Figure]:
    """Restart three nodes one after another while a room chats."""
    installation = world.stores().installation()
    serving = await world.start(installation, 3, VIGIL_APPLICATION=CHAT)
    logins = await world.logins(serving[0], world.scaled(MEMBERS) // 2)
    api = world.on(serving[0])
    seconds = [await api.login(login.data["user"]["email"]) for login in logins]
    members = [Member(world, login, serving) for login in [*logins, *seconds]]
    for member in members:
        await member.join()
    staying = [asyncio.create_task(member.stay()) for member in members]
    talking = [asyncio.create_task(member.chat(f"m{n}", 40)) for n, member in enumerate(members[:8])]
    stops = []
    for node in tuple(serving):
        await asyncio.sleep(1)
        serving.remove(node)
        begun = time.monotonic()
        status = await asyncio.to_thread(node.stop, 15)
        stops.append(time.monotonic() - begun)
        assert status == 0
        serving += await world.start(installation, 1, VIGIL_APPLICATION=CHAT)
    await asyncio.gather(*talking)
    sent = {text for member in members for text in member.sent}

    async def all_heard() -> bool:
        return all(member.heard() >= sent for member in members)

    with suppress(AssertionError):  # what is missing is counted below
        await eventually(all_heard, "everybody has heard everything", timeout=5)
    for task in staying:
        task.cancel()
    return [
        Figure("messages acknowledged", len(sent)),
        Figure(f"of them not heard, by any of {len(members)} members", missed(members, sent), most=0),
        Figure("devices that flickered offline", sum(member.flickers() for member in members), most=0),
        Figure("sockets closed without `draining`", sum(member.unannounced() for member in members), most=0),
        Figure("slowest stop of a node", max(stops), "s", most=10),
    ]


def missed(members: Sequence[Member], sent: set[str]) -> int:
    """Count pairs of a member and a message that it did not hear."""
    return sum(len(sent - member.heard()) for member in members)


NODE_ROWS = [
    Row(
        "node-killed",
        "a node with 2,000 sockets is killed",
        "its devices are offline within 15 s, told once; survivors' p99 unaffected",
        "Its lease expires after 10 s. One other node removes its sockets and announces them.",
        killed,
    ),
    Row(
        "node-frozen",
        "a node does nothing for 20 s (SIGSTOP), and goes on",
        "its devices are offline within 15 s and online again when it goes on, each told once",
        "It finds its lease begun anew by others, or gone, and registers its sockets again.",
        frozen,
    ),
    Row(
        "rolling-restart",
        "three nodes are restarted one after another under chat load",
        "no acknowledged message is lost, no device flickers offline, every socket is told `draining`",
        "A node that stops refuses new sockets, tells its own to go elsewhere, and shortens its lease to 2 s.",
        rolling,
    ),
]
