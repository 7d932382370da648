"""The deny-list in Redis: what it says, when it is in doubt, and how it is restored from MongoDB."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.redis_forms import ANSWER_SECONDS
from support.valkeys import ThreeMasters

from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.core.shards import SHARDS, shard_of
from auth.platform.redis.link import RedisLink
from auth.stores.room_members import RoomMembers
from auth.stores.sessions.store import SessionStore
from realtime.broker.deny_list import NO_ROOMS, RESTORE_ENTRIES, RESTORE_SHARDS, ROOMS, WHOLE, DenyList
from realtime.broker.redis_keys import SLOT_OF, Keys

LIFE = timedelta(minutes=16)
AGO = timedelta(minutes=15)
KEY = tuple[str, str]


async def nothing() -> None:
    pass


class Told(SessionStore):
    """A MongoDB in which these sessions, of user `user` unless another is named, were revoked `AGO`."""

    def __init__(self, *ended: KEY | str, meanwhile: Callable[[], Awaitable[Any]] = nothing) -> None:
        self._ended = [each if isinstance(each, tuple) else ("user", each) for each in ended]
        self._meanwhile = meanwhile
        self.asked: list[datetime] = []

    async def revoked_since(self, moment: datetime) -> list[tuple[str, str, datetime]]:
        self.asked.append(moment)
        await self._meanwhile()
        return [(user_id, session_id, moment + LIFE - AGO) for user_id, session_id in self._ended]


class Members(RoomMembers):
    """A MongoDB in which users of these shards are in rooms."""

    def __init__(self, *shards: int) -> None:
        self._found = set(shards)

    async def shards(self) -> set[int]:
        return self._found


@pytest.fixture
def keys() -> Keys:
    return Keys(secrets.token_hex(4))


@pytest.fixture
async def denied(services: Any, keys: Keys, redis_client: Any) -> AsyncIterator[DenyList]:
    link = RedisLink(services.redis, prefix="t", answer_seconds=ANSWER_SECONDS)
    yield DenyList(link, keys, life=LIFE)
    await link.close()
    await redis_client.delete(*(keys.denied(each) for each in range(SHARDS)))


async def test_what_is_lost_while_it_is_restored_is_restored_again(
    denied: DenyList, keys: Keys, redis_client: Any
) -> None:
    shard = shard_of("user")
    key = keys.denied(shard)
    with pytest.raises(Unavailable):
        await denied.restore(Told("ended", meanwhile=lambda: redis_client.delete(key)), Members(), now=utc_now())
    # Only what was lost is in doubt.
    assert denied.doubtful == [shard]
    assert denied.in_doubt("user")
    assert await redis_client.zscore(key, WHOLE) is None
    await denied.restore(Told("ended"), Members(), now=utc_now())
    await denied.check()
    assert not denied.doubtful
    assert await denied.is_revoked("user", "ended")
    assert not await denied.is_revoked("user", "another")
    # Nothing is left of the restoring, and an entry lives as long as the token it is about.
    assert set(await redis_client.zrange(key, 0, -1)) == {b"ended", WHOLE.encode(), NO_ROOMS.encode()}
    ends_at = datetime.fromtimestamp(await redis_client.zscore(key, "ended") / 1000, UTC)
    assert abs(ends_at - utc_now() - (LIFE - AGO)) < timedelta(seconds=30)
    await redis_client.delete(key)
    with pytest.raises(Unavailable):
        await denied.is_revoked("user", "ended")
    # The others may have been lost with it.
    assert len(denied.doubtful) == SHARDS
    await denied.restore(Told("ended"), Members(), now=utc_now())
    await redis_client.delete(*(keys.denied(each) for each in range(SHARDS)))
    await denied.check()
    assert len(denied.doubtful) == SHARDS


async def test_until_it_is_restored_it_says_nothing(denied: DenyList, redis_client: Any, keys: Keys) -> None:
    assert denied.doubtful == list(range(SHARDS))
    assert not denied.is_usable
    # Even where another node has made it whole: this one may have missed what was lost before.
    await redis_client.zadd(keys.denied(shard_of("user")), {WHOLE: "+inf"})
    with pytest.raises(Unavailable):
        await denied.is_revoked("user", "ended")
    await denied.restore(Told(), Members(), now=utc_now())
    assert denied.is_usable
    assert not await denied.is_revoked("user", "ended")


async def test_all_users_and_any_number_of_their_sessions_are_restored(
    denied: DenyList, keys: Keys, redis_client: Any
) -> None:
    many = [("user", f"ended {number}") for number in range(RESTORE_ENTRIES + 1)]
    users = [(f"user {number}", "ended") for number in range(2 * RESTORE_SHARDS)]
    store, now = Told(*many, *users), utc_now()
    await denied.restore(store, Members(), now=now)
    # Older revocations are of sessions whose tokens have expired.
    assert store.asked == [now - LIFE]
    assert await redis_client.zcard(keys.denied(shard_of("user"))) >= len(many) + 1
    for user_id, session_id in (*many[:: RESTORE_ENTRIES // 4], many[-1], *users):
        assert await denied.is_revoked(user_id, session_id)
    assert not await denied.is_revoked("user", "another")


@pytest.mark.parametrize("what", ["one user's", "all"])
async def test_a_list_in_doubt_is_restored_by_the_task_that_waits_for_it(denied: DenyList, what: str) -> None:
    await denied.restore(Told("ended"), Members(), now=utc_now())
    waiting = asyncio.create_task(denied.wait_for_doubt(60))
    await asyncio.sleep(0)
    shard = shard_of("user")
    if what == "all":
        denied.mark_in_doubt()
        assert denied.doubtful == list(range(SHARDS))
    else:
        denied.mark_in_doubt([shard])
        assert denied.doubtful == [shard]
    assert not denied.is_usable
    async with asyncio.timeout(30):
        await waiting
    # The next call waits for the next doubt.
    async with asyncio.timeout(30):
        await denied.wait_for_doubt(0.01)
    await denied.restore(Told("ended"), Members(), now=utc_now())
    assert await denied.is_revoked("user", "ended")


async def test_in_a_cluster_a_lost_list_puts_those_of_its_master_in_doubt_and_no_others(
    three_masters: ThreeMasters, keys: Keys
) -> None:
    link = RedisLink(three_masters.url, prefix="t", answer_seconds=ANSWER_SECONDS)
    denied, lost = DenyList(link, keys, life=LIFE), shard_of("user")
    await link.look_up_masters()
    await denied.restore(Told("ended"), Members(), now=utc_now())
    assert await denied.is_revoked("user", "ended")
    await link.execute("DEL", keys.denied(lost))
    with pytest.raises(Unavailable):
        await denied.is_revoked("user", "ended")
    master = link.master_of(SLOT_OF[lost])
    assert denied.doubtful == [shard for shard in range(SHARDS) if link.master_of(SLOT_OF[shard]) is master]
    assert 0 < len(denied.doubtful) < SHARDS
    assert denied.is_usable
    await denied.restore(Told("ended"), Members(), now=utc_now())
    assert not denied.doubtful
    for shard in range(SHARDS):
        await link.execute("DEL", keys.denied(shard))
    await link.close()


async def test_a_mongodb_that_is_down_leaves_it_in_doubt(denied: DenyList) -> None:
    async def fail() -> None:
        raise Unavailable

    with pytest.raises(Unavailable):
        await denied.restore(Told(meanwhile=fail), Members(), now=utc_now())
    assert len(denied.doubtful) == SHARDS


async def test_without_redis_nothing_is_said_and_nothing_is_restored(keys: Keys, unused_tcp_port: int) -> None:
    link = RedisLink(f"redis://127.0.0.1:{unused_tcp_port}/0", prefix="t")
    denied = DenyList(link, keys, life=LIFE)
    for call in (denied.check, lambda: denied.restore(Told(), Members(), now=utc_now())):
        with pytest.raises(Unavailable):
            await call()
    assert len(denied.doubtful) == SHARDS
    await link.close()


async def test_it_marks_which_shards_have_users_in_rooms(denied: DenyList, keys: Keys, redis_client: Any) -> None:
    async def marks(shard: int) -> set[bytes]:
        return {ROOMS.encode(), NO_ROOMS.encode()} & set(await redis_client.zrange(keys.denied(shard), 0, -1))

    shard = shard_of("user")
    await denied.restore(Told(), Members(), now=utc_now())
    assert await marks(shard) == {NO_ROOMS.encode()}
    # It has lost `rooms`, and kept what was there before: both as a restart can.
    await denied.note_rooms("user")
    await redis_client.zrem(keys.denied(shard), ROOMS)
    denied.mark_in_doubt()
    await denied.restore(Told(), Members(shard), now=utc_now())
    assert await marks(shard) == {ROOMS.encode()}
    assert await marks((shard + 1) % SHARDS) == {NO_ROOMS.encode()}
    # A membership that MongoDB did not have when it was read.
    denied.mark_in_doubt()
    await denied.restore(Told(), Members(), now=utc_now())
    assert ROOMS.encode() in await marks(shard)
