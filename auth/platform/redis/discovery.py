"""Finds the masters: asks the sentinels for one, or a cluster for all of them."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from auth.platform.redis.address import Endpoint, RedisAddress
from auth.platform.redis.slots import slot_of
from auth.platform.redis.wire import Argument, Wire, connect

# Reply of a node to which the asker's own address for it applies.
UNKNOWN_HOSTS = {"", "?"}

W = TypeVar("W", bound=Wire)


@dataclass(frozen=True, slots=True)
class Shard:
    """A master of a cluster and the first and last slot of each of its ranges."""

    endpoint: Endpoint
    ranges: tuple[tuple[int, int], ...]


async def connect_to_master(address: RedisAddress, wire: W, *, name: str, seconds: float) -> W:
    """Connect `wire` to the one server, or to the server that the sentinels call the master and that agrees.

    Raises `OSError`, `redis.RedisError`, or `TimeoutError` after `seconds`.
    """
    async with asyncio.timeout(seconds):
        if address.kind != "sentinel":
            return await connect(address.pool, wire, name=name)
        endpoint = await find_master(address, seconds=seconds / 2)
        return await connect(address.at(endpoint).pool, wire, name=name, demands_master=True)


async def find_master(address: RedisAddress, *, seconds: float) -> Endpoint:
    """The master according to most sentinels, so that one that is cut off does not name its predecessor.

    Raises `redis.ConnectionError` if no sentinel answers within `seconds`, or none knows the name.
    """

    async def ask(sentinel: Endpoint) -> Endpoint | None:
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
        answer = await _ask(address.sentinel(sentinel), command, seconds)
        return (answer[0].decode(), int(answer[1])) if answer else None

    votes: Counter[Endpoint | None] = Counter()
    refused: Exception | None = None
    asked = [asyncio.create_task(ask(each)) for each in address.endpoints]
    try:
        for answer in asyncio.as_completed(asked):
            try:
                master = await answer
            except (RedisError, OSError, TimeoutError) as error:
                refused = error
                continue
            votes[master] += 1
            if votes[master] > len(asked) // 2:
                break
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    if not votes:
        raise RedisConnectionError(f"no sentinel answers: {refused}")
    master = votes.most_common(1)[0][0]
    if master is None:
        raise RedisConnectionError(f"the sentinels know no master {address.service!r}")
    return master


async def find_shards(address: RedisAddress, known: Iterable[Endpoint], *, seconds: float) -> list[Shard]:
    """The masters of the cluster, according to the first node that answers.

    Raises `redis.ConnectionError` if none does within `seconds` each.
    """
    others = [each for each in address.endpoints if each not in known]
    # In a random order, so that one node with an outdated view is not asked always.
    asked = random.sample(list(known), len(list(known))) + others
    refused: Exception | None = None
    for endpoint in asked:
        try:
            answer = await _ask(address.at(endpoint).pool, ("CLUSTER", "SHARDS"), seconds)
        except (RedisError, OSError, TimeoutError) as error:
            refused = error
            continue
        return _read_shards(answer, endpoint[0], uses_tls="ssl" in address.pool.connection_class.__name__.lower())
    raise RedisConnectionError(f"no node of the cluster answers: {refused}")


def pool_to_master(address: RedisAddress, *, key: str, seconds: float, **options: Any) -> ConnectionPool:
    """A pool of redis-py whose connections are to the master that holds `key`, looked up whenever one is opened.

    `seconds` limits the look-up; `options` are those of redis-py's connections.
    """
    pool = address.pool
    if address.kind == "server":
        return ConnectionPool(pool.connection_class, **pool.connection_kwargs | options)

    async def locate() -> Endpoint:
        if address.kind == "sentinel":
            return await find_master(address, seconds=seconds)
        slot = slot_of(key)
        for shard in await find_shards(address, (), seconds=seconds):
            if any(first <= slot <= last for first, last in shard.ranges):
                return shard.endpoint
        raise RedisConnectionError("no master has the slot")

    class Located(pool.connection_class):  # type: ignore[misc,name-defined] # plain or TLS, by the URL
        async def connect_check_health(self, *arguments: Any, **options: Any) -> None:
            if not self.is_connected:
                self.host, self.port = await locate()
            await super().connect_check_health(*arguments, **options)

    return ConnectionPool(Located, **pool.connection_kwargs | options)


async def _ask(pool: ConnectionPool, command: tuple[Argument, ...], seconds: float) -> Any:
    async with asyncio.timeout(seconds):
        wire = await connect(pool, Wire(seconds), name="vigil-discovery")
        try:
            answer = await wire.send(command)
        finally:
            wire.fail(RedisConnectionError, "closed")
    if isinstance(answer, Exception):
        raise answer
    return answer


def _read_shards(answer: Sequence[Any], asked_host: str, *, uses_tls: bool) -> list[Shard]:
    shards = []
    for shard in map(_as_dict, answer):
        slots = [int(slot) for slot in shard["slots"]]
        masters = [node for node in map(_as_dict, shard["nodes"]) if node["role"] == b"master"]
        # While a master fails over there may be the old one beside the new one.
        masters.sort(key=lambda node: node.get("health") != b"online")
        if slots and masters:
            host = (masters[0].get("endpoint") or b"").decode()
            port = masters[0].get("tls-port" if uses_tls else "port", 0)
            endpoint = (asked_host if host in UNKNOWN_HOSTS else host), int(port)
            shards.append(Shard(endpoint, tuple(zip(slots[::2], slots[1::2], strict=True))))
    return shards


def _as_dict(flat: Sequence[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
