"""Redis as one server: killed, frozen, cut off from one node, full."""

import asyncio
import secrets
import time
from collections.abc import Sequence

from support.devices import Devices
from support.nodes import Installation, ServiceUrls

from bench.faults.rows import Figure, Row
from bench.faults.world import (
    Ending,
    World,
    end_one_by_one,
    is_deaf,
    is_not_ready,
    is_ready,
    seconds_until,
)
from bench.measures import percentile

DOWN_SECONDS = 8.0
FROZEN_SECONDS = 30.0
USUAL_SECONDS = 10.0


async def killed(world: World) -> list[Figure]:
    """Kill Redis while sessions are ended, and start it again."""
    stores = world.stores()
    pair = await world.start(stores.installation(), 2)
    every = await world.devices(pair, world.scaled(200))
    ending = asyncio.create_task(end_one_by_one(every, DOWN_SECONDS * 2))
    await asyncio.sleep(DOWN_SECONDS / 2)
    await asyncio.to_thread(stores.redis.kill)
    await asyncio.sleep(DOWN_SECONDS)
    await asyncio.to_thread(stores.redis.start)
    back = time.monotonic()
    whole = await seconds_until(is_ready(world, *pair), "both nodes are ready")
    endings = await ending
    return [
        *(await lost(world, every)),
        closing(endings, most=10),
        Figure(
            "socket closed after both its revocation and the return of Redis, at most",
            max(0.0, *(each.closed - max(each.acknowledged, back) for each in endings)),
            "s",
            most=2,
        ),
        Figure("nodes ready after its return", whole, "s"),
    ]


async def lost(world: World, every: Sequence[Devices]) -> list[Figure]:
    """Figure: the revocations, and what they did not end."""
    served = await world.still_served(every)
    return [Figure("revocations", len(every)), Figure("lost", served, most=0)]


def closing(endings: Sequence[Ending], most: float) -> Figure:
    """Figure: how long a socket outlived the acknowledged revocation of its session."""
    late = max(0.0, *(each.closed - each.acknowledged for each in endings))
    return Figure("socket closed after its revocation, at most", late, "s", most=most)


async def frozen(world: World) -> list[Figure]:
    """Stop Redis with SIGSTOP for half a minute, while users log in and refresh."""
    stores = world.stores()
    pair = await world.start(stores.installation(), 2)
    every = await world.devices(pair, world.scaled(40))
    email = every[0].laptop.data["user"]["email"]

    async def log_in() -> None:
        await world.on(pair[0]).login(email)

    # Hashing a password takes its time on a busy machine, with Redis or without.
    usual = percentile(await world.lasting(USUAL_SECONDS, log_in), 0.99)
    stores.redis.freeze()
    failing = asyncio.create_task(seconds_until(is_not_ready(world, *pair), "readiness fails"))

    async def refresh() -> None:
        assert (await every[1].laptop.refresh()).status == 200

    logins, refreshes = await asyncio.gather(
        world.lasting(FROZEN_SECONDS, log_in), world.lasting(FROZEN_SECONDS, refresh)
    )
    gone = sum(each.ended.gone.is_set() for each in every)
    stores.redis.thaw()
    whole = await seconds_until(is_ready(world, *pair), "both nodes are ready")
    return [
        Figure("login p99 before", usual, "s"),
        Figure(f"login p99 (of {len(logins)})", percentile(logins, 0.99), "s", most=1),
        Figure(f"refresh p99 (of {len(refreshes)})", percentile(refreshes, 0.99), "s", most=1),
        Figure(f"sockets closed (of {len(every)})", gone, most=0),
        Figure("readiness false after", await failing, "s", most=10),
        Figure("ready again by itself after", whole, "s", most=10),
    ]


def cut(*, asks: bool, answers: bool, halves: bool = False) -> Row:
    """A row: the connection of one node to Redis is cut."""
    how = "half a frame, then nothing" if halves else "both ways" if asks and answers else "only its answers"

    async def run(world: World) -> list[Figure]:
        stores = world.stores()
        way = stores.way_to(stores.redis.url)
        installation = stores.installation()
        behind = Installation(ServiceUrls(stores.mongo.url, way.url), name=installation.name)
        [well] = await world.start(installation, 1)
        [alone] = await world.start(behind, 1)
        [one, *others] = await world.devices((well, alone), world.scaled(20))
        way.hold(asks=asks, answers=answers, halves=halves)
        fenced = await seconds_until(is_deaf(world, alone), "the node is fenced")
        names = [f"name {number}" for number in range(30)]
        for name in names:
            path = f"/sessions/{one.laptop.session_id}"
            answer = await one.laptop.call("PATCH", path, {"deviceName": name})
            assert answer.status == 200, answer.body
        endings = await end_one_by_one(others, 2)
        way.let_through()
        whole = await seconds_until(is_ready(world, well, alone), "both nodes are ready")
        heard = one.ended
        await heard.wait("sessions-changed", lambda e: e["session"]["device"]["name"] == names[-1])
        given = [event["session"]["device"]["name"] for event in heard.all("sessions-changed")]
        return [
            Figure("fenced after", fenced, "s", most=6),
            *(await lost(world, others)),
            closing(endings, most=10),
            Figure("events lost", len(set(names) - set(given)), most=0),
            Figure("events doubled or out of order", 0 if given == names else 1, most=0),
            Figure("ready again after", whole, "s"),
        ]

    name = "halves" if halves else "both" if asks and answers else "answers"
    return Row(
        f"redis-cut-{name}",
        f"the connection of one node to Redis is cut: {how}",
        "the node is fenced within 5 s (readiness says so up to 1 s later); it catches up without loss or doubles",
        "Its heartbeats do not come back. The node fails readiness, checks its sessions in MongoDB, "
        "and replays the logs when it hears again.",
        run,
    )


async def evicting(world: World) -> list[Figure]:
    """Fill a Redis that may evict, and end sessions in it."""
    stores = world.stores()
    with stores.redis_client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 6_000_000)
        pair = await world.start(stores.installation(), 2)
        every = await world.devices(pair, world.scaled(50))
        before = client.info("stats")["evicted_keys"]
        ending = asyncio.create_task(end_one_by_one(every, 5))
        for _ in range(100):
            await asyncio.to_thread(client.mset, {f"junk:{secrets.token_hex(8)}": "x" * 2000 for _ in range(100)})
            await asyncio.sleep(0.05)
        endings = await ending
        evicted = client.info("stats")["evicted_keys"] - before
        still = await lost(world, every)
    return [Figure("keys evicted", evicted), *still, closing(endings, most=10)]


REDIS_ROWS = [
    Row(
        "redis-killed",
        "Redis is killed and restarted during 200 revocations on two nodes",
        "no revocation is lost; no revoked socket is served 2 s after its return, or 10 s after the revocation",
        "Revocations are written to MongoDB. The nodes notice the silence, check their sockets there, and publish "
        "what is missing when Redis is back.",
        killed,
    ),
    Row(
        "redis-frozen",
        "Redis does not answer for 30 s (SIGSTOP)",
        "refresh and login p99 < 1 s; sockets stay; readiness recovers by itself",
        "A call to Redis waits for 1 s at most; after that Redis counts as down and is not waited for.",
        frozen,
    ),
    cut(asks=False, answers=True),
    cut(asks=True, answers=True),
    cut(asks=False, answers=True, halves=True),
    Row(
        "redis-evicts",
        "Redis is full and evicts keys (`allkeys-lru`)",
        "no revoked session comes back",
        "The mark that the deny-list is complete is part of the deny-list. Where it is missing, MongoDB is asked.",
        evicting,
    ),
]
