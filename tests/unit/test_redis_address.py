"""The URL of Redis says what Redis is: one server, a master that sentinels know, or a cluster."""

from typing import Any

import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from support.nodes import ServiceUrls
from support.redis_forms import problem_of
from support.valkeys import PASSWORD, ThreeMasters, WatchedMaster

from auth.platform.redis.address import read_address
from auth.platform.redis.slots import SLOTS, slot_of
from auth.platform.redis.wire import Wire, connect

GIVEN: list[tuple[str, str, type, dict[str, Any], list[tuple[str, int]], str]] = [
    ("redis://cache", "server", Connection, {"host": "cache"}, [], ""),
    ("redis://:secret@cache:6380/3", "server", Connection, {"port": 6380, "db": 3, "password": "secret"}, [], ""),
    ("rediss://u:p@cache?ssl_cert_reqs=none", "server", SSLConnection, {"username": "u"}, [], ""),
    ("unix:///run/valkey.sock?db=2", "server", UnixDomainSocketConnection, {"db": 2}, [], ""),
    (
        "redis+sentinel://u:p%40s@a,b:1,[::1]:2/main/4?socket_timeout=3",
        "sentinel",
        Connection,
        {"username": "u", "password": "p@s", "db": 4, "socket_timeout": 3.0},
        [("a", 26379), ("b", 1), ("::1", 2)],
        "main",
    ),
    ("rediss+sentinel://a/main", "sentinel", SSLConnection, {}, [("a", 26379)], "main"),
    (
        "redis+cluster://:secret@a:7000,b",
        "cluster",
        Connection,
        {"password": "secret"},
        [("a", 7000), ("b", 6379)],
        "",
    ),
    ("rediss+cluster://a,b/0?ssl_cert_reqs=none", "cluster", SSLConnection, {}, [("a", 6379), ("b", 6379)], ""),
]


@pytest.mark.parametrize(("url", "kind", "connection", "options", "endpoints", "service"), GIVEN)
def test_every_form_is_read_with_its_credentials_and_options(
    url: str, kind: str, connection: type, options: dict[str, Any], endpoints: list[tuple[str, int]], service: str
) -> None:
    address = read_address(url)
    assert (address.kind, list(address.endpoints), address.service) == (kind, endpoints, service)
    assert address.pool.connection_class is connection
    assert options.items() <= address.pool.connection_kwargs.items()
    # The servers behind the sentinels, and the nodes of a cluster, are reached in the same way.
    if kind != "server":
        kept = {name: value for name, value in options.items() if name not in {"host", "port"}}
        there = address.at(("there", 9)).pool
        assert kept.items() <= there.connection_kwargs.items()
        assert (there.connection_kwargs["host"], there.connection_kwargs["port"]) == ("there", 9)
        assert there.connection_class is connection


def test_sentinels_have_credentials_of_their_own() -> None:
    address = read_address("redis+sentinel://u:p@a/main/4?sentinel_username=s&sentinel_password=t")
    asked = address.sentinel(address.endpoints[0]).connection_kwargs
    assert (asked["username"], asked["password"], asked["db"]) == ("s", "t", 0)
    asked = read_address("redis+sentinel://u:p@a/main/4").sentinel(("a", 1)).connection_kwargs
    assert (asked["username"], asked["password"]) == (None, None)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:6379", "must begin with redis://"),
        ("mongodb://sesame@db", "must begin with redis://"),
        ("redis+proxy://sesame@h", "must begin with redis://"),
        ("redis://", "must begin with redis://"),
        ("redis://:sesame@h:port/", "invalid port"),
        ("redis+cluster://:sesame@a:1,b:port", "invalid port"),
        ("redis+cluster://:sesame@", "must list hosts"),
        ("redis+cluster://:sesame@a,,b", "must list hosts"),
        ("redis+cluster://:sesame@a,b/1", "only database 0"),
        ("redis+sentinel://:sesame@a,b", "must name the master"),
        ("redis+sentinel://:sesame@a,b/main/first", "invalid database"),
        ("redis://:sesame@h?colour=sesame", "an option"),
        ("redis+cluster://:sesame@h?socket_timeout=sesame", "an option"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_without_the_password(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        read_address(url)
    assert "sesame" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_slot_is_that_of_the_tag() -> None:
    # From the specification of Redis Cluster: CRC16 of "123456789" is 0x31C3.
    assert slot_of("123456789") == 0x31C3 % SLOTS
    assert slot_of("{user1000}.following") == slot_of(b"{user1000}.followers") == slot_of("user1000")
    assert slot_of("foo{{bar}}zap") == slot_of("{bar")
    assert slot_of("foo{}{bar}") != slot_of("bar")
    assert slot_of("foo{bar}{zap}") == slot_of("bar")


async def test_slots_are_those_of_the_cluster_itself(three_masters: ThreeMasters) -> None:
    for key in ("{v17}", "vigil:{v1023}:user:x:log", "foo{}{bar}", "ä{ö}", "{nodes}"):
        assert slot_of(key) == three_masters.masters[0].ask("CLUSTER", "KEYSLOT", key)


async def test_a_redis_that_is_what_the_url_says_is_no_problem(redis_url: str) -> None:
    assert await problem_of(redis_url) is None


async def test_a_wrong_password_is_one_in_every_form(redis_url: str) -> None:
    scheme, _, rest = redis_url.partition("://:")
    assert await problem_of(f"{scheme}://:not-{rest}") == "Redis refuses its user or password"


async def test_a_url_that_asks_for_what_the_server_is_not_is_told_what_to_write(
    services: ServiceUrls, watched_master: WatchedMaster, three_masters: ThreeMasters
) -> None:
    place = services.redis.partition("://")[2].rpartition("/")[0]
    assert await problem_of(f"redis+cluster://{place}") == "this server is not part of a cluster: write redis://"
    asked = f"redis+sentinel://127.0.0.1:{watched_master.master.port}/vigil?sentinel_password={PASSWORD}"
    assert await problem_of(asked) == "this is not a sentinel: write redis://"
    node = f"redis://:{PASSWORD}@127.0.0.1:{three_masters.masters[0].port}"
    assert await problem_of(node) == "this is a node of a cluster: write redis+cluster://"
    sentinel = f"redis://127.0.0.1:{watched_master.sentinels[0].port}"
    assert await problem_of(sentinel) == "this is a sentinel: write redis+sentinel://host,host/NAME/0"
    other = watched_master.url.replace("/vigil/", "/another/")
    assert await problem_of(other) == "the sentinels know no master 'another'"


async def test_a_redis_that_does_not_answer_is_no_problem_of_the_url(unused_tcp_port: int) -> None:
    """It may come back; a node starts without it."""
    for scheme, path in (("redis", ""), ("redis+sentinel", "/main"), ("redis+cluster", "")):
        assert await problem_of(f"{scheme}://127.0.0.1:{unused_tcp_port}{path}") is None


async def test_a_replica_is_refused_as_the_master(watched_master: WatchedMaster) -> None:
    """A sentinel that has not heard of the failover yet still names a demoted master."""
    replica = next(each for each in watched_master.servers if each.role == "slave")
    address = read_address(watched_master.url)
    with pytest.raises(RedisConnectionError, match="not the master"):
        await connect(address.at(("127.0.0.1", replica.port)).pool, Wire(5), name="a-test", demands_master=True)
    master = watched_master.master
    wire = await connect(address.at(("127.0.0.1", master.port)).pool, Wire(5), name="a-test", demands_master=True)
    wire.fail(RedisConnectionError, "closed")
