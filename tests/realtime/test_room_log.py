"""A room's log, as a real Redis of each form keeps and loses it."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from support.redis_forms import ANSWER_SECONDS, client_of
from support.sockets import SEAL

from auth.backends.live import RoomHistory
from auth.core.clock import utc_now
from auth.core.shards import shard_of
from auth.platform.redis.link import RedisLink
from auth.platform.redis.subscription import subscribe
from realtime.broker.leases import NodeLeases
from realtime.broker.redis_keys import SLOT_OF, Keys
from realtime.broker.room_log import MOST_BYTES, RoomLog, RoomLogLimits

LIFE = timedelta(hours=1)
MOST = 4


@dataclass
class Room:
    """A room of the test's own, seen by the node `one`."""

    link: RedisLink
    keys: Keys
    client: Any
    later: timedelta = timedelta()
    name: str = field(default_factory=lambda: f"chat:{secrets.token_hex(6)}")

    def __post_init__(self) -> None:
        self.leases = leases = NodeLeases(self.link, self.keys, node_id="one")
        limits = RoomLogLimits(MOST, LIFE)
        self.log = RoomLog(self.link, self.keys, leases, node_id="one", seal=SEAL, limits=limits, clock=self.clock)

    def clock(self) -> datetime:
        return utc_now() + self.later

    async def say(self, *numbers: int) -> list[int]:
        """Append events, and return their ids."""
        payloads = [orjson.dumps({"data": {"n": n}, "ack": True}) for n in numbers]
        return [
            (await self.log.publish(self.name, "chat:news", each, origin="one:7")).event_id for each in payloads
        ]

    async def read(self, after: int | None = None, limit: int = 10) -> RoomHistory:
        return await self.log.read(self.name, after=after, limit=limit)

    @property
    def key(self) -> str:
        return self.keys.room(self.name)


@pytest.fixture
async def room(redis_url: str) -> AsyncIterator[Room]:
    prefix = f"test-{secrets.token_hex(6)}"
    client = await client_of(redis_url)
    made = Room(RedisLink(redis_url, prefix=prefix, answer_seconds=ANSWER_SECONDS), Keys(prefix), client)
    yield made
    await client.delete(made.key, made.keys.room_last(made.name))
    await client.aclose()
    await made.link.close()


def numbers_of(history: RoomHistory) -> list[int]:
    return [each.data["n"] for each in history.events]


async def test_events_are_read_in_order_page_by_page(room: Room) -> None:
    assert await room.read() == RoomHistory((), None, None)
    ids = await room.say(1, 2, 3)
    assert ids == sorted(set(ids))
    first = await room.read(limit=2)
    assert (numbers_of(first), first.next, first.recovered) == ([1, 2], ids[1], None)
    assert [each.history_id for each in first.events] == ids[:2]
    rest = await room.read(after=first.next, limit=2)
    assert (numbers_of(rest), rest.next, rest.recovered) == ([3], None, True)
    assert await room.read(after=ids[2]) == RoomHistory((), None, True)


async def test_the_log_is_bounded_by_number_and_tells_when_it_does_not_reach_back(room: Room) -> None:
    ids = await room.say(*range(MOST + 2))
    assert numbers_of(await room.read()) == [2, 3, 4, 5]
    for after, recovered in ((0, False), (ids[0], False), (ids[1], True), (ids[2], True), (ids[-1], True)):
        history = await room.read(after=after)
        assert history.recovered is recovered, after
        assert [each.history_id for each in history.events] == [each for each in ids[2:] if each > after]


async def test_the_log_is_bounded_by_age(room: Room) -> None:
    await room.client.xadd(room.key, {"frame": b"old"}, id="1000-0")
    ids = await room.say(1)
    assert await room.client.xlen(room.key) == 1
    assert 0 < await room.client.pttl(room.key) <= LIFE.total_seconds() * 1000
    # Before the next event removes it.
    room.later = LIFE + timedelta(minutes=1)
    assert await room.read(after=ids[0] - 1) == RoomHistory((), None, False)


async def test_a_page_ends_after_a_megabyte_and_has_at_least_one_event(room: Room) -> None:
    for size in (600_000, 400_000, 100_000, 1_200_000):
        payload = orjson.dumps({"data": {"n": size, "text": "x" * size}})
        await room.log.publish(room.name, "chat:news", payload, origin="")
    pages = [await room.read()]
    while pages[-1].next is not None:
        pages.append(await room.read(after=pages[-1].next))
    assert [numbers_of(page) for page in pages] == [[600_000, 400_000], [100_000], [1_200_000]]


async def test_a_lost_log_starts_above_what_it_had_and_is_not_recovered(room: Room) -> None:
    before = (await room.say(1, 2))[-1]
    await room.client.delete(room.key, room.keys.room_last(room.name))
    assert await room.read(after=before) == RoomHistory((), None, False)
    after = (await room.say(3))[0]
    assert after > before
    history = await room.read(after=before)
    assert (numbers_of(history), history.recovered) == ([3], False)


async def test_an_event_that_is_not_genuine_is_not_shown(room: Room) -> None:
    ids = await room.say(1)
    ((_, fields),) = await room.client.xrange(room.key)
    for place, forged in enumerate((fields[b"frame"].replace(b'"n":1', b'"n":2'), b"{}"), 1):
        await room.client.xadd(room.key, {"frame": forged}, id=f"{ids[0] + place}-0")
    await room.say(3)
    history = await room.read(after=ids[0], limit=2)
    assert (numbers_of(history), history.next) == ([], ids[0] + 2)
    assert numbers_of(await room.read(after=history.next)) == [3]


@pytest.mark.parametrize("is_lost", [False, True])
async def test_nodes_are_told_in_the_same_step_also_one_whose_lease_redis_has_lost(
    room: Room, is_lost: bool
) -> None:
    master = room.link.master_of(SLOT_OF[shard_of(room.name)])
    if master is None:
        await room.link.look_up_masters()
        master = room.link.master_of(SLOT_OF[shard_of(room.name)])
    assert master is not None
    other = NodeLeases(room.link, room.keys, node_id="two")
    await other.renew(LIFE, sockets=0)
    if is_lost:
        assert await room.leases.alive() == ["two"]
        await room.client.delete(room.keys.leases)
    channels = [room.keys.channel(node, shard_of(room.name)) for node in ("one", "two")]
    heard = await subscribe(master.address, channels, silence=30)
    (history_id,) = await room.say(1)
    frames = [SEAL.read(await heard.get(30) or b"") for _ in channels]
    heard.close()
    assert frames[0] == frames[1]
    frame = frames[0] or {}
    assert (frame["r"], frame["i"], frame["o"]) == (room.name, history_id, "one:7")


async def test_an_event_of_one_request_is_appended_once(room: Room) -> None:
    payload = orjson.dumps({"data": {"n": 1}})
    first = await room.log.publish(room.name, "chat:news", payload, origin="", once="a request")
    again = await room.log.publish(room.name, "chat:news", payload, origin="", once="a request")
    assert (again.event_id, again.nodes) == (first.event_id, {})
    assert numbers_of(await room.read()) == [1]
    await room.client.delete(room.keys.room_once(room.name, "a request"))


async def test_the_log_is_bounded_by_bytes(room: Room) -> None:
    for n in range(3):
        payload = orjson.dumps({"data": {"n": n, "text": "x" * (MOST_BYTES // 2 - 1000)}})
        await room.log.publish(room.name, "chat:news", payload, origin="")
    assert [each.data["n"] for each in (await room.read()).events] == [1]
    assert await room.client.xlen(room.key) == 2


async def test_what_a_socket_has_missed_follows_its_place_also_if_it_entered_an_empty_room(room: Room) -> None:
    async def missed(after: int | None, most_bytes: int = 10_000) -> tuple[bool, list[int]]:
        found = await room.log.missed(room.name, after=after, most_bytes=most_bytes)
        return found.recovered, [frame["d"]["data"]["n"] for frame in found.frames]

    entered = (await room.log.missed(room.name, after=None, most_bytes=0)).last
    assert await missed(entered) == (True, [])
    ids = await room.say(*range(MOST))
    assert await missed(entered) == (True, [0, 1, 2, 3])
    assert await missed(ids[1]) == (True, [2, 3])
    assert await missed(ids[-1]) == (True, [])
    assert await missed(entered, most_bytes=100) == (False, [])
    # Without a place, forged, and no longer there.
    assert await missed(None) == await missed(ids[-1] + 1) == await missed(0) == (False, [])
    await room.say(MOST)
    assert await missed(entered) == (False, [])
    # Redis lost its data.
    await room.client.delete(room.key, room.keys.room_last(room.name))
    assert await missed(ids[-1]) == (False, [])
