"""Rate limits shared by nodes through Redis, and a node's own while Redis is down."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.waiting import eventually

from auth.core.errors import RateLimited, Unavailable
from auth.platform.metrics import Metrics
from auth.platform.rate_limits import CIRCUIT_SECONDS, RateLimits
from auth.platform.settings.settings import LimitSettings


@pytest.fixture
async def make(services: Any, redis_prefix: str) -> AsyncIterator[Any]:
    made: list[RateLimits] = []

    def limits(
        url: str = services.redis, monotonic: Callable[[], float] = time.monotonic, **settings: Any
    ) -> RateLimits:
        values: dict[str, Any] = {
            "settings": LimitSettings(**settings),
            "redis_url": url,
            "namespace": redis_prefix,
        }
        made.append(RateLimits(metrics=Metrics(), monotonic=monotonic, **values))
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


async def test_on_each_form_of_redis_limits_are_shared_and_counted_in_order(make: Any, redis_url: str) -> None:
    one, other = make(redis_url), make(redis_url)
    # Counters of these are on different masters of a cluster.
    counted = ("login", ("192.0.2.1", "ada")), ("password_guesses", ("ada",)), ("login_ip", ("192.0.2.1",))
    for _ in range(5):
        assert (await one.count_all(*counted)).refusal is None
    assert (await other.count_all(*counted)).refusal is not None
    # Stopped at the first limit that was exceeded: the others have counted five.
    for name, identity in counted[1:]:
        assert await other._link.execute("GET", other.windows(name, *identity)[0].key) == b"5"
    with pytest.raises(RateLimited):
        await other.check_all(*reversed(counted))
    await one.reset("login", "192.0.2.1", "ada")
    assert (await other.count_all(*counted)).refusal is None
    # A network of an address is counted with it.
    assert await allowed(one, "2001:db8::1") == 5
    assert await allowed(other, "2001:db8:0:1::1", of=20) + await allowed(one, "2001:db8:0:2::1", of=20) == 10


async def test_identities_are_counted_apart(make: Any) -> None:
    limits = make()
    for identity in (("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("a/bc",)):
        assert await allowed(limits, *identity) == 5
    assert await allowed(limits, "abc", name="mail") == 5


async def test_an_ipv6_customer_is_one_identity(make: Any) -> None:
    limits = make()
    assert sum([await allowed(limits, f"2001:db8::{n:x}", of=1) for n in range(10)]) == 5


async def test_the_networks_of_an_ipv6_address_allow_four_and_sixteen_times_as_much(make: Any) -> None:
    limits = make()
    in_56 = [await allowed(limits, f"2001:db8:0:{n:x}::1", "ada") for n in range(16)]
    assert sum(in_56) == 4 * 5
    in_48 = [await allowed(limits, f"2001:db8:0:{n:x}00::1", "ada") for n in range(1, 32)]
    assert sum(in_56 + in_48) == 16 * 5
    assert await allowed(limits, "2001:db8:1::1", "ada") == 5
    # Another account is counted apart, also in a network that is used up.
    assert await allowed(limits, "2001:db8::1", "bob") == 5


async def test_neighbours_by_ipv4_are_counted_apart(make: Any) -> None:
    limits = make()
    assert [await allowed(limits, f"192.0.2.{n}", of=5) for n in range(1, 20)] == [5] * 19


async def test_what_a_right_proof_forgets_is_forgotten_for_every_network_of_the_address(make: Any) -> None:
    limits = make()
    for n in range(4):
        await allowed(limits, f"2001:db8:0:{n:x}::1", "ada")
    await limits.reset("login", "2001:db8::1", "ada")
    assert await allowed(limits, "2001:db8::1", "ada") == 5


async def test_one_event_is_counted_by_several_limits_in_one_round_trip(make: Any, redis_client: Any) -> None:
    limits = make(limit_login="2/minute", limit_password_guesses="3/day")
    both = (("login", ("2001:db8::1", "ada")), ("password_guesses", ("ada",)))
    first, second, third = [await limits.count_all(*both) for _ in range(3)]
    assert (first.used_up, first.refusal) == (frozenset(), None)
    assert (second.used_up, second.refusal) == ({"login"}, None)
    assert third.refusal is not None
    # What one refuses, the next does not count.
    assert (await limits.count_all(both[1])).used_up == {"password_guesses"}
    with pytest.raises(RateLimited) as refused:
        await limits.check_all(*both)
    # As long as the longest of those that are used up.
    assert (refused.value.retry_after_seconds or 0) > 86_000


async def test_who_is_beyond_the_limit_of_an_address_uses_up_nothing_of_the_networks_around_it(
    make: Any, cuttable_redis: Any
) -> None:
    limits = make(cuttable_redis.url)
    for _ in ("shared", "alone"):
        assert await allowed(limits, "2001:db8::1", of=100) == 5
        assert await allowed(limits, "2001:db8:0:1::1") == 5
        await cuttable_redis.cut()


async def test_a_refusal_says_when_to_come_back_and_is_counted(make: Any) -> None:
    limits = make(limit_login="1/2 seconds")
    await limits.hit("login", "ada")
    with pytest.raises(RateLimited) as refused:
        await limits.hit("login", "ada")
    assert 1 <= (refused.value.retry_after_seconds or 0) <= 2
    assert limits._refused.labels("login")._value.get() == 1
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


async def test_how_long_a_limit_stays_used_up_is_known_without_counting(make: Any) -> None:
    limits = make(limit_login="2/minute")
    for _ in range(3):
        assert await limits.blocked_for("login", "ada") is None
    assert await allowed(limits, "ada") == 2
    assert 0 < await limits.blocked_for("login", "ada") <= 60


async def test_mails_are_counted_by_purpose_and_those_not_sent_take_nothing_from_the_others(make: Any) -> None:
    limits = make(limit_mail="1/hour")
    assert await limits.allows_mail("resend", "ada", is_sent=False)
    for purpose, to in (("resend", "ada"), ("resend", "bob"), ("registration", "ada")):
        assert await limits.allows_mail(purpose, to)
        assert not await limits.allows_mail(purpose, to)
    assert not await limits.allows_mail("resend", "ada", is_sent=False)


async def test_a_sockets_events_are_limited_by_the_setting(make: Any) -> None:
    budget = make(limit_socket_events="2/minute").event_budgets({}).begin(now=0)
    assert [budget.take("chat:send", now=second) for second in (0, 1, 2)] == [None, None, 58]


async def test_an_event_with_a_limit_of_its_own_takes_nothing_from_the_others(make: Any) -> None:
    limits = make(limit_socket_events="1/minute", event_limits=(("chat:move", "2/second"),))
    budget = limits.event_budgets({"chat:typing": "3/minute", "chat:move": "9/hour"}).begin(now=0)
    assert [budget.take("chat:typing", now=0) for _ in range(4)] == [None, None, None, 60]
    assert [budget.take("chat:move", now=1) for _ in range(3)] == [None, None, 1]
    assert budget.take("chat:move", now=2) is None
    assert [budget.take(event, now=3) for event in ("chat:send", "refresh")] == [None, 57]


async def test_switched_off_nothing_is_limited(make: Any) -> None:
    limits = make(rate_limits=False)
    assert await allowed(limits, "ada", of=50) == 50
    await limits.check("login", "ada")
    assert limits.event_budgets({"a:b": "1/day"}).begin(now=0).take("a:b", now=0) is None
    assert not limits.enabled


async def test_a_script_that_counts_by_itself_counts_the_same_window(make: Any, redis_client: Any) -> None:
    limits = make(limit_socket_connects="5/10 seconds")
    [window] = limits.windows("socket_connects", "192.0.2.1")
    assert (window.amount, window.seconds) == (5, 10)
    await allowed(limits, "192.0.2.1", of=2, name="socket_connects")
    assert int(await redis_client.get(window.key)) == 2
    assert 0 < await redis_client.ttl(window.key) <= 10
    await redis_client.incrby(window.key, 3)
    assert await allowed(limits, "192.0.2.1", name="socket_connects") == 0


async def test_a_key_names_nobody(make: Any) -> None:
    [window] = make().windows("login", "192.0.2.1", "ada@example.org")
    assert "192.0.2.1" not in window.key
    assert "example" not in window.key


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
    monkeypatch.setattr("auth.platform.rate_limits.CIRCUIT_SECONDS", 0.2)
    limits, other = make(cuttable_redis.url), make()
    await cuttable_redis.cut()
    assert await allowed(limits, "ada") == 5
    await cuttable_redis.mend()

    async def is_reached() -> bool:
        try:
            await limits._link.execute("PING")
        except Unavailable:
            return False
        return True

    await eventually(is_reached, "its connection is used again", timeout=30)
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


async def test_what_a_node_counted_by_itself_holds_while_redis_can_be_read_and_not_written(
    make: Any, services: Any, redis_client: Any, redis_prefix: str
) -> None:
    await redis_client.execute_command(
        "ACL", "SETUSER", redis_prefix, "on", ">reads", "~*", "+@read", "+@connection"
    )
    where = urlsplit(services.redis)
    now = time.monotonic()
    limits = make(f"redis://{redis_prefix}:reads@{where.hostname}:{where.port}{where.path}", monotonic=lambda: now)
    for _ in range(5):
        await limits.count_all(("login", ("ada",)))
        now += CIRCUIT_SECONDS
    with pytest.raises(RateLimited):
        await limits.check_all(("login", ("ada",)))
    await redis_client.execute_command("ACL", "DELUSER", redis_prefix)
