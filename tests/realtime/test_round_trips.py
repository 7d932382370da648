"""What a handshake and a look at presence cost Redis, as Redis itself sees it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import redis.asyncio
from support.backends import Backend, create_key
from support.clients import Api
from support.nodes import Installation, Node, ServiceUrls
from support.waiting import eventually


@asynccontextmanager
async def commands_at(services: ServiceUrls, redis_client: redis.asyncio.Redis) -> AsyncIterator[list[str]]:
    """The commands that Redis serves meanwhile, in order, also those of scripts; complete afterwards."""
    seen: list[str] = []
    done = secrets.token_hex(8)
    watching = redis.asyncio.Redis.from_url(services.redis)
    async with watching.monitor() as monitor:

        async def watch() -> None:
            async for command in monitor.listen():
                seen.append(command["command"])

        watcher = asyncio.create_task(watch())
        yield seen
        await redis_client.echo(done)
        while not any(done in command for command in seen):
            await asyncio.sleep(0.01)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    await watching.aclose()


async def test_a_handshake_is_one_round_trip(
    api: Api, node: Node, connect: Any, redis_client: redis.asyncio.Redis, services: ServiceUrls
) -> None:
    login = await api.login(await api.register())
    # Redis knows the script from here on.
    await connect(node, (await api.login(await api.register())).access_token)
    async with commands_at(services, redis_client) as seen:
        live = await connect(node, login.access_token)
        await live.ask("reauthenticate", {"token": "not a token"})
    # MONITOR also shows what a script does inside Redis; a round trip is what a client sent.
    sent = [command for command in seen if login.session_id in command and command.startswith("EVALSHA")]
    others = [
        command
        for command in seen
        if login.session_id in command and command.split()[0] in {"ZSCORE", "GET", "SET", "EVAL", "SUBSCRIBE"}
    ]
    assert len(sent) == 1
    # The script's own look at the deny-list is the only other command that names the session.
    assert [command.split()[0] for command in others] == ["ZSCORE"]


async def test_presence_of_many_users_is_one_round_trip(
    shared_installation: Installation,
    node: Node,
    http: aiohttp.ClientSession,
    redis_client: redis.asyncio.Redis,
    services: ServiceUrls,
) -> None:
    backend = Backend(node.url, create_key(shared_installation, "presence"), http)

    async def disturb() -> None:
        while True:
            await redis_client.echo("between")

    async def measured() -> tuple[list[str], list[str]] | None:
        asked = [secrets.token_hex(8) for _ in range(50)]
        async with commands_at(services, redis_client) as seen:
            disturbing = asyncio.create_task(disturb())
            answer = await backend.call("GET", "/presence?userIds=" + ",".join(asked))
            disturbing.cancel()
            await asyncio.gather(disturbing, return_exceptions=True)
        disturbed = sum("between" in command for command in seen) > 1
        return (asked, seen) if answer.status == 200 and disturbed else None

    # A busy machine may take Redis for silent, or run nobody else meanwhile.
    asked, seen = await eventually(measured, "presence is known", timeout=60)
    places = [place for place, command in enumerate(seen) if any(f":user:{each}:" in command for each in asked)]
    commands = sorted(seen[place].split()[0] for place in places)
    assert commands == ["GET"] * len(asked) + ["HVALS"] * 2 * len(asked)
    # Redis serves a write at once. If the node had waited for a reply, somebody else would have been served first.
    assert places == list(range(places[0], places[0] + len(places)))
