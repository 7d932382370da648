"""Rate limits shared by nodes through Redis, and a node's own while Redis is down."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth.errors import RateLimited
from auth.metrics import Metrics
from auth.rate_limits import RateLimits
from auth.settings import LimitSettings


@pytest.fixture
async def make(services: Any, redis_prefix: str) -> AsyncIterator[Any]:
    made: list[RateLimits] = []

    def limits(url: str = services.redis, **settings: Any) -> RateLimits:
        values = {"settings": LimitSettings(**settings), "redis_url": url, "namespace": redis_prefix}
        made.append(RateLimits(metrics=Metrics(), **values))
        return made[-1]

    yield limits
    for one in made:
        await one.close()


async def allowed(limits: RateLimits, *identity: str, of: int = 10, name: Any = "login") -> int:
    """How many of `of` events go through."""
    count = 0
    for _ in range(of):
        try:
            await limits.hit(name, *identity)
        except RateLimited:
            continue
        count += 1
    return count


async def test_as_many_as_the_limit_says_go_through_on_all_nodes_together(make: Any) -> None:
    one, other = make(), make()
    results = [await allowed(node, "192.0.2.1", "ada", of=3) for node in (one, other, one, other)]
    assert sum(results) == 5


async def test_identities_are_counted_apart(make: Any) -> None:
    limits = make()
    for identity in (("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("a/bc",)):
        assert await allowed(limits, *identity) == 5
    assert await allowed(limits, "abc", name="mail") == 5


async def test_an_ipv6_customer_is_one_identity(make: Any) -> None:
    limits = make()
    assert sum([await allowed(limits, f"2001:db8::{n:x}", of=1) for n in range(10)]) == 5


async def test_a_refusal_says_when_to_come_back_and_is_counted(make: Any) -> None:
    limits = make(limit_login="1/2 seconds")
    await limits.hit("login", "ada")
    with pytest.raises(RateLimited) as refused:
        await limits.hit("login", "ada")
    assert 1 <= (refused.value.retry_after_seconds or 0) <= 2
    assert limits._metrics.rate_limited.labels("login")._value.get() == 1
    await asyncio.sleep(2.1)
    await limits.hit("login", "ada")


async def test_checking_counts_nothing_and_resetting_forgets(make: Any) -> None:
    limits = make()
    for _ in range(20):
        await limits.check("login", "ada")
    assert await allowed(limits, "ada") == 5
    with pytest.raises(RateLimited):
        await limits.check("login", "ada")
    await limits.reset("login", "ada")
    assert await allowed(limits, "ada") == 5


async def test_switched_off_nothing_is_limited(make: Any) -> None:
    limits = make(rate_limits=False)
    assert await allowed(limits, "ada", of=50) == 50
    await limits.check("login", "ada")
    assert limits.event_window(now=0).take(now=0) is None
    assert not limits.enabled


async def test_a_script_that_counts_by_itself_counts_the_same_window(make: Any, redis_client: Any) -> None:
    limits = make(limit_socket_connects="5/10 seconds")
    key, amount, window = limits.redis_key("socket_connects", "192.0.2.1")
    assert (amount, window) == (5, 10)
    await allowed(limits, "192.0.2.1", of=2, name="socket_connects")
    assert int(await redis_client.get(key)) == 2
    assert 0 < await redis_client.ttl(key) <= 10
    await redis_client.incrby(key, 3)
    assert await allowed(limits, "192.0.2.1", name="socket_connects") == 0


async def test_a_key_names_nobody(make: Any) -> None:
    key, _, _ = make().redis_key("login", "192.0.2.1", "ada@example.org")
    assert "192.0.2.1" not in key
    assert "example" not in key


@pytest.mark.parametrize("silent", [False, True])
async def test_asvs_16_5_3_without_redis_the_node_counts_by_itself_at_once(
    make: Any, cuttable_redis: Any, silent: bool
) -> None:
    limits = make(cuttable_redis.url)
    assert await allowed(limits, "ada", of=1) == 1
    if silent:
        cuttable_redis.hush()
    else:
        await cuttable_redis.cut()
    begun = time.perf_counter()
    assert await allowed(limits, "ada", of=200) == 5
    await limits.reset("login", "ada")
    await limits.check("login", "ada")
    assert await allowed(limits, "ada", of=200) == 5
    assert time.perf_counter() - begun < 1.5


async def test_when_redis_is_back_nodes_count_together_again(
    make: Any, cuttable_redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth.rate_limits.CIRCUIT_SECONDS", 0.2)
    limits, other = make(cuttable_redis.url), make()
    await cuttable_redis.cut()
    assert await allowed(limits, "ada") == 5
    await cuttable_redis.mend()
    await asyncio.sleep(0.3)
    assert await allowed(limits, "ada") == 5
    assert await allowed(other, "ada") == 0


async def test_an_outage_from_the_start_is_borne(make: Any) -> None:
    for url in ("redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock?db=0", "redis://:wrong@127.0.0.1:1/0"):
        assert await allowed(make(url), "ada") == 5


async def test_a_unix_socket_with_a_password_is_reached(make: Any, tmp_path: Any, services: Any) -> None:
    """The URL's path and password arrive: what answers is a Redis that demands both."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(200))
        writer.close()

    path = tmp_path / "redis.sock"
    server = await asyncio.start_unix_server(serve, path)
    assert await allowed(make(f"unix://:s3cret@{path}?db=3"), "ada") == 5
    server.close()
    assert b"AUTH" in asked[0]
    assert b"s3cret" in asked[0]
