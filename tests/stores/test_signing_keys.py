"""The collection `signing_keys`, on either driver. For the key ring see tests/unit/test_signing_keys.py."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.session_world import Time

from auth.core.errors import Unavailable
from auth.crypto.signing_keys import SigningKey
from auth.platform.settings.settings import SettingsError
from auth.stores.mongo import Mongo
from auth.stores.signing_keys import SigningKeys


@pytest.fixture
def store(mongo: Mongo) -> SigningKeys:
    return SigningKeys(mongo.database)


def key(sequence: int, now: datetime, *, name: str = "a", active: bool = False) -> SigningKey:
    return SigningKey(f"{sequence}-{name}", sequence, b"\0public", b"\xffsealed", now, now if active else None)


async def test_keys_round_trip_oldest_first(store: SigningKeys) -> None:
    now = Time().now
    made = [key(2, now), key(1, now, active=True), key(10, now)]
    for each in made:
        assert await store.add(each)
    assert await store.all() == sorted(made, key=lambda each: each.sequence)


async def test_only_one_of_racing_nodes_adds_a_number(store: SigningKeys) -> None:
    now = Time().now
    added = await asyncio.gather(*(store.add(key(1, now, name=str(node))) for node in range(20)))
    assert sum(added) == 1
    assert len(await store.all()) == 1


async def test_an_id_is_not_added_twice(store: SigningKeys) -> None:
    now = Time().now
    assert await store.add(key(1, now))
    assert not await store.add(key(1, now))


async def test_a_key_is_activated_once_and_retires_the_older_ones(store: SigningKeys, mongo: Mongo) -> None:
    time = Time()
    for sequence, active in ((1, True), (2, False), (3, False)):
        await store.add(key(sequence, time.now, active=active))
    retire_at = time.now + timedelta(minutes=20)
    outcomes = await asyncio.gather(
        *(store.activate("2-a", now=time.now, retire_older_at=retire_at) for _ in range(10))
    )
    assert sum(outcomes) == 1
    kept = {each["sequence"]: each async for each in mongo.database["signing_keys"].find()}
    assert kept[1]["purgeAt"] == retire_at
    assert "purgeAt" not in kept[2]
    assert "purgeAt" not in kept[3]
    assert [each.activated_at is not None for each in await store.all()] == [True, True, False]


async def test_an_active_or_unknown_key_is_not_activated(store: SigningKeys) -> None:
    time = Time()
    await store.add(key(1, time.now, active=True))
    for key_id in ("1-a", "9-a"):
        assert not await store.activate(key_id, now=time.go(days=1), retire_older_at=time.now)
    assert (await store.all())[0].activated_at != time.now


async def test_a_retired_key_is_not_kept_longer(store: SigningKeys, mongo: Mongo) -> None:
    time = Time()
    for sequence in (1, 2, 3):
        await store.add(key(sequence, time.now, active=sequence == 1))
    first, second = time.now + timedelta(minutes=10), time.now + timedelta(minutes=30)
    await store.activate("2-a", now=time.now, retire_older_at=first)
    await store.activate("3-a", now=time.now, retire_older_at=second)
    leaving = {each["sequence"]: each.get("purgeAt") async for each in mongo.database["signing_keys"].find()}
    assert leaving == {1: first, 2: second, 3: None}


async def test_mongodb_removes_a_retired_key(store: SigningKeys) -> None:
    time = Time()
    for sequence in (1, 2):
        await store.add(key(sequence, time.now, active=sequence == 1))
    await store.activate("2-a", now=time.now, retire_older_at=time.now - timedelta(seconds=1))
    async with asyncio.timeout(20):
        while len(await store.all()) > 1:
            await asyncio.sleep(0.1)
    assert [each.key_id for each in await store.all()] == ["2-a"]


async def test_without_mongodb_every_method_raises_unavailable() -> None:
    mongo = Mongo("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", "nothing", "motor")
    store, now = SigningKeys(mongo.database), Time().now
    outcomes = await asyncio.gather(
        store.ensure_indexes(),
        store.all(),
        store.add(key(1, now)),
        store.activate("1-a", now=now, retire_older_at=now),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4
    await mongo.close()


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
@pytest.mark.parametrize(
    "url",
    ["mongodb://a:sesame:c@host/", "mongodb://host:port/", "mongodb://", "mongodb://%zz@host/", "nonsense://host"],
)
async def test_an_unusable_url_gives_one_line_without_the_password(driver: Any, url: str) -> None:
    with pytest.raises(SettingsError, match=r"^VIGIL_MONGO_URL is wrong") as wrong:
        Mongo(url, "vigil", driver)
    assert "sesame" not in str(wrong.value)


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_timeouts_and_the_size_of_the_pool_in_the_url_count_and_a_weaker_guarantee_does_not(
    driver: Any,
) -> None:
    mongo = Mongo("mongodb://127.0.0.1:1/?timeoutMS=9000&MAXPOOLSIZE=5&w=0", "vigil", driver)
    options = mongo.database.client.options
    assert (options.timeout, options.pool_options.max_pool_size) == (9, 5)
    assert options.server_selection_timeout == 2
    assert mongo.database.write_concern.document == {"w": "majority"}
    await mongo.close()
