"""The three forms of Redis: clients of redis-py, and whether a URL can be used."""

from typing import Any

import redis.asyncio

from auth.platform.redis.address import read_address
from auth.platform.redis.discovery import find_master
from auth.platform.redis.link import RedisLink

# For an answer of Redis, in tests of other things than an outage: a busy machine may give it no CPU for seconds.
ANSWER_SECONDS = 20.0
FORMS = ("server", "sentinel", "cluster")


async def client_of(url: str) -> Any:
    """A client of the server, of the master that the sentinels name, or of the cluster."""
    address = read_address(url)
    if address.kind == "server":
        return redis.asyncio.Redis.from_url(url)
    password = address.pool.connection_kwargs.get("password")
    if address.kind == "sentinel":
        host, port = await find_master(address, seconds=30)
        return redis.asyncio.Redis(host=host, port=port, password=password)
    host, port = address.endpoints[0]
    return redis.asyncio.RedisCluster(host=host, port=port, password=password)


async def problem_of(url: str) -> str | None:
    """What is wrong with the URL of a Redis, or with the server; None if it can be used."""
    link = RedisLink(url, prefix="t")
    try:
        return await link.problem()
    finally:
        await link.close()
