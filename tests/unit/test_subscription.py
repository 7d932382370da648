"""What Redis publishes, in its order, on a real Redis."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from support.nodes import ServiceUrls
from support.waiting import Stopwatch, eventually

from auth.platform.redis import subscription
from auth.platform.redis.address import read_address
from auth.platform.redis.subscription import Subscription, subscribe


@pytest.fixture
async def client(services: ServiceUrls) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(services.redis)
    yield client
    await client.aclose()


@pytest.fixture
def names() -> tuple[str, str]:
    return secrets.token_hex(8), secrets.token_hex(8)


@pytest.fixture
async def heard(services: ServiceUrls, names: tuple[str, str]) -> AsyncIterator[Subscription]:
    heard = await subscribe(read_address(services.redis), names, silence=5)
    yield heard
    heard.close()


async def test_messages_of_every_channel_come_in_the_order_in_which_they_were_published(
    heard: Subscription, client: redis.asyncio.Redis, names: tuple[str, str]
) -> None:
    for number in range(500):
        await client.spublish(names[number % 2], f"number {number}")
    assert [await heard.get(5) for _ in range(500)] == [f"number {number}".encode() for number in range(500)]


async def test_what_is_published_right_after_subscribing_is_heard(
    services: ServiceUrls, client: redis.asyncio.Redis
) -> None:
    for _ in range(50):
        name = secrets.token_hex(8)
        heard = await subscribe(read_address(services.redis), [name], silence=5)
        assert await client.spublish(name, "at once") == 1
        assert await heard.get(5) == b"at once"
        heard.close()


async def test_silence_is_nothing_and_lasts_no_longer_than_asked(heard: Subscription) -> None:
    watch = Stopwatch()
    assert await heard.get(0.05) is None
    assert watch.seconds >= 0.05


async def test_what_came_before_the_connection_broke_is_still_heard_and_then_the_break(
    heard: Subscription, client: redis.asyncio.Redis, names: tuple[str, str]
) -> None:
    await client.spublish(names[0], "last words")
    assert await client.client_kill_filter(_type="pubsub") >= 1
    assert await heard.get(5) == b"last words"
    with pytest.raises(RedisConnectionError):
        await heard.get(5)


async def test_who_waits_hears_of_the_break_at_once(heard: Subscription, client: redis.asyncio.Redis) -> None:
    waiting = asyncio.create_task(heard.get(30))
    await asyncio.sleep(0)
    await client.client_kill_filter(_type="pubsub")
    with pytest.raises(RedisConnectionError):
        await asyncio.wait_for(waiting, 5)


async def test_a_flood_is_paused_back_and_nothing_of_it_is_lost(
    heard: Subscription, client: redis.asyncio.Redis, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "MAX_QUEUED", 10)
    for start in range(0, 5000, 500):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, start + 500):
            pipeline.spublish(names[0], f"{number}".encode() + b"x" * 1000)
        await pipeline.execute()

    async def held() -> bool:
        return heard._is_paused

    await eventually(held, "reading is paused", timeout=30)
    got = [await heard.get(5) for _ in range(5000)]
    assert [message and int(message.rstrip(b"x")) for message in got] == list(range(5000))


async def test_without_redis_it_says_so(unused_tcp_port: int) -> None:
    with pytest.raises(OSError):
        await subscribe(read_address(f"redis://127.0.0.1:{unused_tcp_port}/0"), ["any"], silence=1)
