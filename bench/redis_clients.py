"""Compares clients of a Redis cluster by CPU per command: Vigil's own, redis-py's and valkey-glide.

Run: `python -m bench.redis_clients URL [--commands N] [--at-once N]`, with a URL such as
`redis+cluster://:password@host:port`. valkey-glide is measured if it is installed (`pip install valkey-glide`);
its threads count. Each command is a script on two keys of one of 1,024 shards, as Vigil's are.
"""

import argparse
import asyncio
import importlib.util
import sys
import time
from collections.abc import Awaitable, Callable

import redis.asyncio
import uvloop

from auth.platform.redis.address import RedisAddress, read_address
from auth.platform.redis.link import RedisLink
from auth.platform.redis.pipe import Script

TEXT = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[2])"
ROUNDS = 3

Call = Callable[[list[str], str], Awaitable[object]]


async def measure(name: str, call: Call, *, commands: int, at_once: int) -> None:
    """Print the CPU and the elapsed time of a command; the best of some rounds."""

    async def caller(first: int) -> None:
        for number in range(first, commands, at_once):
            tag = f"bench:{{v{number % 1024}}}"
            await call([f"{tag}:a", f"{tag}:b"], str(number))

    async def everything() -> tuple[float, float]:
        cpu, clock = time.process_time(), time.monotonic()
        await asyncio.gather(*map(caller, range(at_once)))
        return (time.process_time() - cpu) / commands * 1e6, (time.monotonic() - clock) / commands * 1e6

    await everything()
    best = min([await everything() for _ in range(ROUNDS)])
    sys.stdout.write(f"{name:14} {best[0]:6.1f} µs of CPU, {best[1]:6.1f} µs a command\n")


async def own(url: str, **options: int) -> None:
    """Vigil's pipe for each master."""
    link = RedisLink(url, prefix="bench")
    script = Script(link.execute, TEXT)
    await measure("Vigil", lambda keys, argument: script(keys=keys, args=[argument]), **options)
    await link.close()


async def redis_py(address: RedisAddress, **options: int) -> None:
    """redis-py's `RedisCluster`."""
    host, port = address.endpoints[0]
    client = redis.asyncio.RedisCluster(host=host, port=port, password=_password(address))
    await client.initialize()
    sha = await client.script_load(TEXT)

    async def call(keys: list[str], argument: str) -> object:
        return await client.evalsha(sha, 2, *keys, argument)  # type: ignore[misc] # it is asynchronous

    await measure("redis-py", call, **options)
    await client.aclose()


async def valkey_glide(address: RedisAddress, **options: int) -> None:
    """valkey-glide, whose core is written in Rust."""
    import glide  # type: ignore[import-not-found] # no dependency

    host, port = address.endpoints[0]
    client = await glide.GlideClusterClient.create(
        glide.GlideClusterClientConfiguration(
            [glide.NodeAddress(host, port)],
            credentials=glide.ServerCredentials(_password(address) or ""),
            request_timeout=5000,
        )
    )
    script = glide.Script(TEXT)
    await measure("valkey-glide", lambda keys, argument: client.invoke_script(script, keys, [argument]), **options)
    await client.close()


def _password(address: RedisAddress) -> str | None:
    return address.pool.connection_kwargs.get("password")


async def main() -> None:
    """Measure every client that is installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.redis_clients")
    parser.add_argument("url")
    parser.add_argument("--commands", type=int, default=50_000)
    parser.add_argument("--at-once", type=int, default=32)
    given = parser.parse_args()
    options, address = {"commands": given.commands, "at_once": given.at_once}, read_address(given.url)
    await own(given.url, **options)
    await redis_py(address, **options)
    if importlib.util.find_spec("glide"):
        await valkey_glide(address, **options)


if __name__ == "__main__":
    uvloop.run(main())
