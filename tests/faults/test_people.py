"""Users who are watched go offline with their node, and what was asked while Redis was down is told afterwards."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
from support.backends import Backend, create_key
from support.breakable import Stores
from support.clients import Api, Live
from support.health import both_ready
from support.nodes import Installation, Node
from support.waiting import Stopwatch

Pair = tuple[Node, Node]
ANNOUNCED_SECONDS = 15


async def test_a_watched_user_goes_offline_once_after_the_node_was_killed_and_comes_back_after_an_outage(
    whole: Stores,
    pair: Pair,
    own_installation: Installation,
    on: Callable[[Node], Api],
    connect: Callable[..., Awaitable[Live]],
    http: aiohttp.ClientSession,
) -> None:
    dying = await asyncio.to_thread(own_installation.start)
    await both_ready(http, dying)
    watcher, lost = [await on(node).login(await on(node).register()) for node in (pair[0], dying)]
    await connect(dying, lost.access_token)
    live = await connect(pair[0], watcher.access_token)
    backend = Backend(pair[1].url, create_key(own_installation, "presence"), http)
    body = {"userId": watcher.user_id, "userIds": [lost.user_id]}
    assert (await backend.call("POST", "/watches", body)).data["delivery"]["notified"] == 1
    await live.wait("presence", lambda e: e["online"])
    watch = Stopwatch()
    dying.kill()
    await live.wait("presence", lambda e: not e["online"])
    assert watch.seconds < ANNOUNCED_SECONDS
    whole.redis.kill()
    assert (await live.ask("presence-set", {"state": "away"}))["code"] == "unavailable"
    # What cannot be read yet is told when Redis is back.
    body = {"socketId": live.ready["socketId"], "userIds": [watcher.user_id]}
    delivery = (await backend.at(pair[0].url).call("POST", "/watches", body)).data["delivery"]
    assert (delivery["notified"], delivery["incomplete"]) == (1, True)
    whole.redis.start()
    await both_ready(http, *pair)
    back = await connect(pair[1], lost.access_token)

    def of_lost() -> list[bool]:
        return [event["online"] for event in live.all("presence") if event["userId"] == lost.user_id]

    await live.wait("presence", lambda e: e["userId"] == watcher.user_id and e["online"])
    await live.wait("presence", lambda _: len(of_lost()) == 3)
    assert of_lost() == [True, False, True]
    assert (await back.ask("presence-set", {"state": "busy"}))["ok"]
    await live.wait("presence", lambda e: e.get("state") == "busy")
