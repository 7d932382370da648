"""Redis behind sentinels and as a cluster: a master dies, hands its slots over, or loses its data."""

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise

from support.clients import Live
from support.devices import Devices
from support.nodes import Installation, Node, ServiceUrls
from support.valkeys import ThreeMasters, Valkey, WatchedMaster

from bench.faults.redis_rows import closing, lost
from bench.faults.rows import Figure, Row
from bench.faults.world import World, end_one_by_one, is_accepted, is_ready, seconds_until

# A replica is promoted within some two seconds here; Vigil follows within five.
MOST_OUTAGE_SECONDS = 8.0
ENDING_SECONDS = 12.0


async def pair_on(world: World, url: str) -> list[Node]:
    """Start two nodes on a MongoDB of their own, and on the Redis at `url`."""
    return await world.start(Installation(ServiceUrls(world.stores().mongo.url, url)), 2)


async def watched(world: World) -> list[Figure]:
    """Kill the master that sentinels watch, while sessions are ended."""
    servers = world.stack.enter_context(WatchedMaster(world.folder))
    await asyncio.to_thread(servers.begin)
    pair = await pair_on(world, servers.url)
    every = await world.devices(pair, world.scaled(100))
    ending = asyncio.create_task(end_one_by_one(every, ENDING_SECONDS))
    await asyncio.sleep(ENDING_SECONDS / 3)
    servers.master.kill()
    accepted = is_accepted(world, pair[0], every[0].laptop)
    outage = await seconds_until(accepted, "handshakes are accepted")
    ready = outage + await seconds_until(is_ready(world, *pair), "both nodes are ready")
    endings = await ending
    return [
        Figure("handshakes refused for", outage, "s", most=MOST_OUTAGE_SECONDS),
        Figure("both nodes ready after", ready, "s"),
        *(await lost(world, every)),
        closing(endings, most=10),
    ]


async def one_of_three(world: World) -> list[Figure]:
    """Kill one of three masters, while sessions are ended on all."""
    servers = world.stack.enter_context(ThreeMasters(world.folder))
    await asyncio.to_thread(servers.begin)
    pair = await pair_on(world, servers.url)
    every = await world.devices(pair, world.scaled(100))
    dying = servers.masters[1]
    hit, spared = parted(servers, every, dying)
    kept, ended = spared[: len(spared) // 2], [*hit, *spared[len(spared) // 2 :]]
    refused = Refusals(world, pair[0], kept[0])
    ending = asyncio.create_task(end_one_by_one(ended, ENDING_SECONDS))
    await asyncio.sleep(ENDING_SECONDS / 3)
    watching = asyncio.create_task(refused.count_until(ending))
    dying.kill()
    outage = await seconds_until(is_accepted(world, pair[0], hit[0].laptop), "handshakes are accepted")
    endings = await ending
    await watching
    return [
        Figure("handshakes of its users refused for", outage, "s", most=MOST_OUTAGE_SECONDS),
        Figure(f"handshakes of other users refused (of {refused.tried})", refused.refused, most=0),
        Figure("sockets of other users closed", gone(kept), most=0),
        *(await lost(world, ended)),
        closing(endings, most=10),
    ]


class Refusals:
    """Connects one user again and again, and counts refusals."""

    def __init__(self, world: World, node: Node, user: Devices) -> None:
        self._world = world
        self._accepted = is_accepted(world, node, user.laptop)
        self.tried = 0
        self.refused = 0

    async def count_until(self, end: "asyncio.Task[object]") -> None:
        """Count until `end` is done."""
        while not end.done():
            self.tried += 1
            live = await self._accepted()
            self.refused += live is None
            if live is not None:
                await live.close()
            await asyncio.sleep(0.2)


def parted(servers: ThreeMasters, every: Sequence[Devices], one: Valkey) -> tuple[list[Devices], list[Devices]]:
    """Users of one master, and all others."""
    hit = [each for each in every if servers.owner(each.slot) is one]
    return hit, [each for each in every if each not in hit]


def gone(every: Sequence[Devices]) -> int:
    """Count sockets that were closed."""
    return sum(each.ended.gone.is_set() for each in every)


async def moved(world: World) -> list[Figure]:
    """Move the slot of a user from master to master while events are written to it."""
    servers = world.stack.enter_context(ThreeMasters(world.folder))
    await asyncio.to_thread(servers.begin)
    pair = await pair_on(world, servers.url)
    [one] = await world.devices(pair, 1)
    names = [f"name {number}" for number in range(300)]
    taken: list[float] = []

    async def rename() -> None:
        for name in names:
            begun = time.monotonic()
            path = f"/sessions/{one.laptop.session_id}"
            answer = await one.laptop.call("PATCH", path, {"deviceName": name})
            assert answer.status == 200, answer.body
            taken.append(time.monotonic() - begun)

    renaming = asyncio.create_task(rename())
    moves = 0
    while not renaming.done():
        source = servers.owner(one.slot)
        to = servers.masters[(servers.masters.index(source) + 1) % 3]
        await asyncio.to_thread(move, servers, one.slot, to)
        moves += 1
    await renaming
    await one.ended.wait("sessions-changed", lambda e: e["session"]["device"]["name"] == names[-1])
    given = [event["session"]["device"]["name"] for event in one.ended.all("sessions-changed")]
    return [
        Figure("moves of the slot", moves),
        Figure(f"events lost (of {len(names)})", len(set(names) - set(given)), most=0),
        Figure("events doubled", len(given) - len(set(given)), most=0),
        Figure("events out of order", disorder(one.ended), most=0),
        Figure("slowest write", max(taken), "s", most=5),
    ]


def move(servers: ThreeMasters, slot: int, to: Valkey) -> None:
    """Move a slot key by key."""
    for _ in servers.move(slot, to):
        pass


def disorder(live: Live) -> int:
    """Count events whose id is not above that of the one before."""
    ids = [data["eventId"] for _, data in live.heard if data and "eventId" in data]
    return sum(later <= earlier for earlier, later in pairwise(ids))


async def flushed(world: World) -> list[Figure]:
    """Delete all keys of one of three masters, between revocations."""
    servers = world.stack.enter_context(ThreeMasters(world.folder))
    await asyncio.to_thread(servers.begin)
    pair = await pair_on(world, servers.url)
    every = await world.devices(pair, world.scaled(60))
    losing = servers.masters[0]
    hit, spared = parted(servers, every, losing)
    half = len(hit) // 2
    endings = await end_one_by_one(hit[:half], 1)
    losing.ask("FLUSHALL")
    endings += await end_one_by_one(hit[half:], 1)
    back = await seconds_until(is_accepted(world, pair[1], spared[0].laptop), "handshakes are accepted")
    return [
        *(await lost(world, hit)),
        closing(endings, most=10),
        Figure(f"sockets of other masters' users closed (of {len(spared)})", gone(spared), most=0),
        Figure("handshake of another master's user accepted after", back, "s", most=1),
    ]


FAILOVER_ROWS = [
    Row(
        "sentinel-master-killed",
        "the Redis master behind three sentinels is killed",
        "outage of at most 5 s after the failover (2 to 3 s); 0 revocations lost",
        "The nodes ask the sentinels, follow the promoted replica, and restore its deny-lists from MongoDB.",
        watched,
    ),
    Row(
        "cluster-master-killed",
        "one of three masters of a Redis Cluster is killed",
        "outage of its part of at most 5 s after the failover (2 to 3 s), nothing for others; 0 revocations lost",
        "Everything of a user is on one master. Silence is known for each master, and affects only its users.",
        one_of_three,
    ),
    Row(
        "cluster-slot-moved",
        "a slot is moved between masters under load, again and again",
        "nothing is lost or doubled",
        "`MOVED`, `ASK` and `TRYAGAIN` are followed. Subscriptions move with the slot, and the log is replayed.",
        moved,
    ),
    Row(
        "cluster-master-flushed",
        "all keys of one of three masters are deleted",
        "0 revocations lost; other users unaffected",
        "The deny-lists of that master lack their mark, and are restored from MongoDB. Its nodes register again.",
        flushed,
    ),
]
