"""MongoDB is down, or a replica set loses its primary."""

import asyncio
import time
from collections import Counter

from support.clients import Answer, Login
from support.nodes import Installation, ServiceUrls
from support.replica_set import ReplicaSet

from bench.faults.rows import Figure, Row
from bench.faults.world import World, answered, end_one_by_one, is_ready, seconds_until

DOWN_SECONDS = 20.0
REFRESHES_EACH = 10


async def down(world: World) -> list[Figure]:
    """Kill MongoDB for 20 s while clients refresh."""
    stores = world.stores()
    pair = await world.start(stores.installation(), 2)
    every = await world.devices(pair, world.scaled(100))
    statuses: Counter[int] = Counter()
    waits: list[float] = []
    await asyncio.to_thread(stores.mongo.kill)
    end = time.monotonic() + DOWN_SECONDS
    unhelpful = 0

    async def try_once(login: Login) -> Answer:
        begun = time.monotonic()
        answer = await login.refresh()
        waits.append(time.monotonic() - begun)
        statuses[answer.status] += 1
        return answer

    while time.monotonic() < end:
        for answer in await asyncio.gather(*(try_once(each.laptop) for each in every)):
            unhelpful += answer.status == 503 and "Retry-After" not in answer.headers
        await asyncio.sleep(0.5)
    await asyncio.to_thread(stores.mongo.start)
    ready = await seconds_until(is_ready(world, *pair), "both nodes are ready")
    refreshed = await asyncio.gather(*(answered(each.laptop.refresh) for each in every))
    return [
        Figure("requests answered 503", statuses[503]),
        Figure("answered otherwise", statuses.total() - statuses[503], most=0),
        Figure("without Retry-After", unhelpful, most=0),
        Figure("slowest answer", max(waits), "s"),
        Figure(f"sockets closed (of {len(every)})", sum(each.ended.gone.is_set() for each in every), most=0),
        Figure("nodes ready after its return", ready, "s"),
        Figure("clients that could not refresh then", sum(each.status != 200 for each in refreshed), most=0),
    ]


async def primary_killed(world: World) -> list[Figure]:
    """Kill the primary during 500 refreshes."""
    return await primary_lost(world, is_frozen=False)


async def primary_cut_off(world: World) -> list[Figure]:
    """Stop the primary with SIGSTOP during 500 refreshes: to the others it is cut off; then it comes back."""
    return await primary_lost(world, is_frozen=True)


async def primary_lost(world: World, *, is_frozen: bool) -> list[Figure]:
    """Lose the primary while clients refresh and sessions are ended."""
    members = ReplicaSet(world.folder)
    world.stack.callback(members.stop)
    await members.start()
    installation = Installation(ServiceUrls(members.url, world.stores().redis.url))
    pair = await world.start(installation, 2)
    every = await world.devices(pair, world.scaled(50))
    outcomes: Counter[str] = Counter()
    half_way = asyncio.Event()

    async def refresh(login: Login) -> None:
        for number in range(REFRESHES_EACH):
            if number == REFRESHES_EACH // 2:
                await half_way.wait()
            answer = await answered(login.refresh)
            outcomes["refreshed" if answer.status == 200 else answer.code] += 1

    async def lose() -> float:
        port = await asyncio.to_thread(members.primary)
        assert port is not None
        if is_frozen:
            members.freeze(port)
        else:
            members.kill(port)
        half_way.set()
        gone = await seconds_until(lambda: asyncio.to_thread(members.primary, port), "there is a new primary")
        if is_frozen:
            members.thaw(port)
        return gone

    refreshing = asyncio.gather(*(refresh(each.laptop) for each in every))
    endings, elected = await asyncio.gather(end_one_by_one(every, 3), lose())
    await refreshing
    served = await world.still_served(every)
    with members.client() as client:
        stored = {each["_id"]: each for each in client[installation.name]["sessions"].find()}
    wrong = sum(stored[each.laptop.session_id]["generation"] != REFRESHES_EACH for each in every)
    unrevoked = sum(stored[each.phone.session_id]["revokedAt"] is None for each in every)
    refreshed = outcomes.pop("refreshed")
    return [
        Figure("refreshes", refreshed),
        Figure("false logouts", outcomes.total(), most=0),
        Figure("sessions whose generation is not that of their last refresh", wrong, most=0),
        Figure("acknowledged revocations", len(endings)),
        Figure("of them lost", unrevoked + served, most=0),
        Figure("new primary after", elected, "s"),
    ]


MONGO_ROWS = [
    Row(
        "mongo-down",
        "MongoDB is killed and restarted after 20 s",
        "503 `unavailable` with `Retry-After`; sockets stay; then every client refreshes",
        "No verdict is given without MongoDB: a refresh is neither accepted nor refused.",
        down,
    ),
    Row(
        "mongo-primary-killed",
        "the primary of three members is killed during 500 refreshes",
        "no false logout, never two live successors, every acknowledged write is there afterwards",
        "Writes are acknowledged by a majority. A refresh whose answer was lost is replayed, not judged as theft.",
        primary_killed,
    ),
    Row(
        "mongo-primary-frozen",
        "the primary of three members is cut off (SIGSTOP) during 500 refreshes, and returns",
        "no false logout, never two live successors, every acknowledged write is there afterwards",
        "The old primary steps down when it returns; what it had not replicated was never acknowledged.",
        primary_cut_off,
    ),
]
