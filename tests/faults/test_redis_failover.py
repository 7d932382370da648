"""A master dies, loses its data or hands slots over: its part is back by itself, and no revocation is lost."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from support.clients import Login
from support.databases import memory
from support.devices import Connect, devices, works_again
from support.health import both_ready
from support.nodes import Installation, Node, ServiceUrls, drop, tracebacks
from support.sockets import SEAL
from support.valkeys import SLOTS, ThreeMasters, Valkey, WatchedMaster, until
from support.waiting import eventually

from auth.core.shards import SHARDS, shard_of
from auth.platform.metrics import Metrics
from auth.platform.redis.link import RedisLink
from realtime.broker.bus import Bus
from realtime.broker.redis_keys import SLOT_OF, Keys

Pair = tuple[Node, Node]
# Here a master is replaced after some two seconds, and Vigil follows within five. The rest is for a busy machine.
BACK_SECONDS = 30
REVOCATIONS = 30


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vigil-tests-", dir=memory()) as name:
        yield Path(name)


@pytest.fixture
def watched(folder: Path) -> Iterator[WatchedMaster]:
    with WatchedMaster(folder) as servers:
        yield servers.begin()


@pytest.fixture
def masters(folder: Path) -> Iterator[ThreeMasters]:
    with ThreeMasters(folder) as servers:
        yield servers.begin()


@pytest.fixture
def lonely_masters(folder: Path) -> Iterator[ThreeMasters]:
    """A cluster without replicas."""
    with ThreeMasters(folder) as servers:
        yield servers.begin(replicas=False)


@contextmanager
def pair_on(services: ServiceUrls, url: str) -> Iterator[Pair]:
    """Two nodes of their own installation on this Redis. Afterwards asserts that both stop cleanly."""
    installation = Installation(ServiceUrls(services.mongo, url))
    with ThreadPoolExecutor(2) as starters:
        first, second = starters.map(lambda _: installation.start(), range(2))
    yield first, second
    assert [first.stop(), second.stop()] == [0, 0]
    assert [tracebacks(node.log) for node in (first, second)] == [[], []]
    drop(services, installation.name)


@pytest.fixture
async def watched_pair(
    services: ServiceUrls, watched: WatchedMaster, http: aiohttp.ClientSession
) -> AsyncIterator[Pair]:
    with pair_on(services, watched.url) as pair:
        await both_ready(http, *pair)
        yield pair


@pytest.fixture
async def clustered_pair(
    services: ServiceUrls, masters: ThreeMasters, http: aiohttp.ClientSession
) -> AsyncIterator[Pair]:
    with pair_on(services, masters.url) as pair:
        await both_ready(http, *pair)
        yield pair


async def test_sentinels_replace_a_master_that_dies_and_no_revocation_meanwhile_is_lost(
    watched: WatchedMaster,
    watched_pair: Pair,
    http: aiohttp.ClientSession,
    connect: Connect,
) -> None:
    every = await asyncio.gather(*(devices(watched_pair, http, connect) for _ in range(REVOCATIONS)))
    away = await connect(watched_pair[0], every[0].laptop.access_token)
    await away.close()
    for number, each in enumerate(every):
        if number == REVOCATIONS // 3:
            watched.master.kill()
        await each.revoke()
    for each in every:
        await each.is_over(watched_pair, http)

    await asyncio.to_thread(until, watched.has_successor, "there is another master")
    await both_ready(http, *watched_pair)
    # The replica may lack events that were acknowledged: whoever was away is not told that nothing was missed.
    back = await connect(watched_pair[0], every[0].laptop.access_token, last_event_id=away.ready["lastEventId"])
    assert back.ready["recovered"] is False

    async def recovered() -> bool:
        live = await connect(watched_pair[0], every[0].laptop.access_token)
        again = await connect(
            watched_pair[1], every[0].laptop.access_token, last_event_id=live.ready["lastEventId"]
        )
        await rename(every[0].laptop, [live.ready["socketId"]])
        return bool(again.ready["recovered"])

    await eventually(recovered, "what came since is complete", timeout=BACK_SECONDS)
    await works_again(every[0], watched_pair, connect)


async def test_a_master_that_comes_back_as_a_replica_is_not_written_to(
    watched: WatchedMaster,
    watched_pair: Pair,
    http: aiohttp.ClientSession,
    connect: Connect,
) -> None:
    """A frozen one is replaced; thawed it still takes itself for the master, until a sentinel tells it.

    A node that hears of the new one before the other does cannot know yet what was written to the former.
    """
    one = await devices(watched_pair, http, connect)
    watched.master.freeze()

    await asyncio.to_thread(until, watched.has_successor, "there is another master")
    watched.master.thaw()
    await both_ready(http, *watched_pair)
    await one.revoke()
    await eventually(
        lambda: one.is_refused(watched_pair, http), "both nodes refuse the token", timeout=BACK_SECONDS
    )
    await one.is_over(watched_pair, http)
    await works_again(one, watched_pair, connect)


async def test_one_of_three_masters_dies_and_the_users_of_the_others_do_not_notice(
    masters: ThreeMasters,
    clustered_pair: Pair,
    http: aiohttp.ClientSession,
    connect: Connect,
) -> None:
    every = await asyncio.gather(*(devices(clustered_pair, http, connect) for _ in range(REVOCATIONS)))
    dying = masters.masters[1]
    hit = [each for each in every if masters.owner(each.slot) is dying]
    spared = [each for each in every if each not in hit]
    assert len(hit) > 3 < len(spared)
    dying.kill()
    for each in spared[: len(spared) // 2]:
        answer = await each.laptop.call("DELETE", f"/sessions/{each.phone.session_id}")
        assert answer.data["delivery"]["closed"] == 1, answer.body
        assert (await connect(clustered_pair[0], each.laptop.access_token)).ready
    for each in hit:
        await each.revoke()
    for each in [*hit, *spared[: len(spared) // 2]]:
        await each.is_over(clustered_pair, http)
    for each in spared[len(spared) // 2 :]:
        assert not each.ended.gone.is_set()
    await works_again(hit[0], clustered_pair, connect)
    await both_ready(http, *clustered_pair)


async def test_all_keys_of_one_master_are_lost_and_nobody_who_is_out_comes_back(
    masters: ThreeMasters,
    clustered_pair: Pair,
    http: aiohttp.ClientSession,
    connect: Connect,
) -> None:
    every = await asyncio.gather(*(devices(clustered_pair, http, connect) for _ in range(12)))
    losing = masters.masters[0]
    before = [each for each in every if masters.owner(each.slot) is losing][:2]
    after = [each for each in every if masters.owner(each.slot) is losing][2:]
    for each in before:
        await each.revoke()
    losing.ask("FLUSHALL")
    for each in after:
        await each.revoke()
    for each in [*before, *after]:
        await each.is_over(clustered_pair, http)
    for each in every:
        assert each.ended.gone.is_set() == (each in before or each in after)
        await works_again(each, clustered_pair, connect)


async def rename(device: Login, names: list[str]) -> None:
    for name in names:
        answer = await device.call("PATCH", f"/sessions/{device.session_id}", {"deviceName": name})
        assert answer.status == 200, answer.body


@pytest.mark.parametrize("how", ["key by key", "at once"])
async def test_a_slot_that_moves_under_load_loses_and_doubles_nothing(
    masters: ThreeMasters,
    clustered_pair: Pair,
    http: aiohttp.ClientSession,
    connect: Connect,
    how: str,
) -> None:
    one = await devices(clustered_pair, http, connect)
    names = [f"name {number}" for number in range(120)]
    renaming = asyncio.create_task(rename(one.laptop, names))
    for turn in range(4):
        source = masters.owner(one.slot)
        to = masters.masters[(masters.masters.index(source) + 1) % 3]
        await asyncio.to_thread(move, masters, one.slot, to, how)
        # Every tenth name or so is given meanwhile.
        await asyncio.wait({renaming}, timeout=0.2 * (turn + 1))
    await renaming
    await one.ended.wait(
        "sessions-changed", lambda e: e["session"]["device"]["name"] == names[-1], timeout=BACK_SECONDS
    )
    heard = [event["session"]["device"]["name"] for event in one.ended.all("sessions-changed")]
    given = [name for name in heard if name.startswith("name ")]
    assert given == names
    ids = [event["eventId"] for event in one.ended.all("sessions-changed")]
    assert ids == sorted(set(ids))
    await works_again(one, clustered_pair, connect)


def move(masters: ThreeMasters, slot: int, to: Valkey, how: str) -> None:
    if how == "at once":
        masters.move_at_once(slot, to)
    else:
        for _ in masters.move(slot, to):
            pass


@pytest.fixture
async def bus(lonely_masters: ThreeMasters) -> AsyncIterator[Bus]:
    link = RedisLink(lonely_masters.url, prefix="t")
    bus = Bus(
        link,
        Keys("t"),
        node_id="ear",
        metrics=Metrics(),
        seal=SEAL,
        heartbeat_seconds=0.1,
        silent_after_seconds=1.0,
    )
    yield bus
    await bus.close()
    await link.close()


async def test_where_one_master_is_silent_only_its_users_are_fenced(
    lonely_masters: ThreeMasters, bus: Bus
) -> None:
    subscribed: list[int] = []

    async def nothing(_: object) -> None:
        return

    async def note(shards: Collection[int]) -> None:
        subscribed.extend(shards)

    await bus.start(nothing, note)
    assert await bus.wait_until_receiving(BACK_SECONDS)
    assert sorted(subscribed) == list(range(SHARDS))
    silent = lonely_masters.masters[1]
    its_shards = {shard for shard, slot in enumerate(SLOT_OF) if SLOTS // 3 <= slot < 2 * SLOTS // 3}
    users = [f"user {number}" for number in range(60)]
    hit = {user for user in users if shard_of(user) in its_shards}
    subscribed.clear()
    silent.freeze()

    async def fenced() -> bool:
        return {user for user in users if bus.is_silent(user)} == hit

    await eventually(fenced, "only the users of the silent master are fenced", timeout=BACK_SECONDS)
    assert {user for user in users if not bus.hears(user)} == hit
    assert bus.is_receiving
    assert bus.silent_seconds > 0
    silent.thaw()

    async def heard() -> bool:
        return all(map(bus.hears, users))

    await eventually(heard, "all users are heard again", timeout=BACK_SECONDS)
    # Nothing about the others was missed, so there is nothing to catch up with.
    assert set(subscribed) <= its_shards
