"""What a handshake costs Redis, as Redis itself sees it."""

import asyncio
from typing import Any

import redis.asyncio
from support.clients import Api
from support.nodes import Node, ServiceUrls


async def test_a_handshake_is_one_round_trip(
    api: Api, node: Node, connect: Any, redis_client: redis.asyncio.Redis, services: ServiceUrls
) -> None:
    login = await api.login(await api.register())
    # Redis knows the script from here on.
    await connect(node, (await api.login(await api.register())).access_token)
    seen: list[str] = []
    watching = redis.asyncio.Redis.from_url(services.redis)
    async with watching.monitor() as monitor:

        async def watch() -> None:
            async for command in monitor.listen():
                seen.append(command["command"])

        watcher = asyncio.create_task(watch())
        live = await connect(node, login.access_token)
        await live.ask("reauthenticate", {"token": "not a token"})
        await redis_client.echo("done")
        while not any("done" in command for command in seen):
            await asyncio.sleep(0.01)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    await watching.aclose()
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
