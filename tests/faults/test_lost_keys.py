"""Redis loses single keys and serves on, as one does that evicts: a revoked session is over all the same."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from support.breakable import Stores
from support.clients import Api, Live, Login, Refused
from support.health import both_ready
from support.nodes import Installation, Node
from support.waiting import eventually

from auth.core.shards import shard_of
from realtime.broker.redis_keys import Keys

Pair = tuple[Node, Node]
On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]

# A loss is found in 5 s, MongoDB is asked at once; the rest is for a busy machine. Unnoticed, it would stay.
# Generous, for a busy machine; `make faults` measures the promises.
TOLD_SECONDS = 45
# What may be lost, as patterns of keys.
LOST = {
    "the deny-list": "{prefix}:*:denied",
    "a user's sockets": "{prefix}:*:user:{user}:sockets",
    "a user's log": "{prefix}:*:user:{user}:log",
    "the states of devices": "{prefix}:*:user:{user}:states",
    "what stands beside the log": "{prefix}:*:user:{user}:meta",
    "the nodes' own sockets": "{prefix}:*:node:*:sockets",
    "the leases of nodes": "{prefix}:*:leases",
    "everything of a user": "{prefix}:*:user:{user}:*",
    "heartbeats": "{prefix}:*:node:*:heartbeat",
}


async def is_over(node: Node, http: aiohttp.ClientSession, login: Login) -> None:
    assert (await Api(node.url, http).call("GET", "/me", token=login.access_token)).code == "session_revoked"
    with pytest.raises(Refused) as refusal:
        await Live.connect(node.url, login.access_token)
    assert refusal.value.data["code"] in {"session_revoked", "unavailable"}


async def lose(stores: Stores, pattern: str) -> None:
    """Delete the keys of a pattern once there are some: a node starved of CPU has no heartbeat for a while."""
    with stores.redis_client() as client:

        async def deleted() -> int:
            keys = client.keys(pattern)
            return client.delete(*keys) if keys else 0

        await eventually(deleted, f"there is a key {pattern}", timeout=TOLD_SECONDS)


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_asvs_7_4_1_lost_before_or_after_a_revocation_no_socket_and_no_token_outlives_it(
    whole: Stores,
    pair: Pair,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
    own_installation: Installation,
    lost: str,
    when: str,
) -> None:
    laptop = await on(pair[0]).login(await on(pair[0]).register())
    phone = await on(pair[0]).login(laptop.data["user"]["email"])
    ended = await connect(pair[1], phone.access_token)
    pattern = LOST[lost].format(prefix=own_installation.name, user=laptop.data["user"]["userId"])
    if when == "before":
        await lose(whole, pattern)
    assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    if when == "after":
        await lose(whole, pattern)
    for node in pair:
        await is_over(node, http, phone)
    await ended.wait("session-revoked", timeout=TOLD_SECONDS)
    await ended.until_gone()


async def test_a_list_begun_anew_by_somebody_else_is_not_believed_to_have_everybody(
    whole: Stores, pair: Pair, on: On, connect: Connect, own_installation: Installation
) -> None:
    """The user's next socket makes a list of its own, and the earlier one is not on it."""
    laptop = await on(pair[0]).login(await on(pair[0]).register())
    phone = await on(pair[0]).login(laptop.data["user"]["email"])
    ended = await connect(pair[1], phone.access_token)
    await lose(whole, f"{own_installation.name}:*:user:{laptop.data['user']['userId']}:sockets")
    await connect(pair[0], laptop.access_token)
    assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    await ended.wait("session-revoked", timeout=TOLD_SECONDS)
    await ended.until_gone()


async def test_a_redis_that_evicts_is_warned_of_and_no_revoked_session_goes_on(
    whole: Stores, on: On, connect: Connect, http: aiohttp.ClientSession, own_installation: Installation
) -> None:
    with whole.redis_client() as client:
        client.config_set("maxmemory-policy", "allkeys-random")
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 4_000_000)
        node = await asyncio.to_thread(own_installation.start)
        try:
            assert await node.logged("redis_may_evict", "allkeys-random")
            await both_ready(http, node)
            laptop = await on(node).login(await on(node).register())
            email = laptop.data["user"]["email"]
            phones = [await on(node).login(email) for _ in range(6)]
            sockets = [await connect(node, phone.access_token) for phone in phones]
            evicted = client.info("stats")["evicted_keys"]
            for _ in range(200):
                client.mset({f"junk:{secrets.token_hex(8)}": "x" * 2000 for _ in range(25)})
            assert client.info("stats")["evicted_keys"] > evicted
            assert (await laptop.call("POST", "/sessions/revoke-others")).data["revoked"] == len(phones)
            for phone in phones:
                await is_over(node, http, phone)
            for socket in sockets:
                await socket.until_gone(timeout=TOLD_SECONDS)
        finally:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
            assert node.stop() == 0


async def test_entries_whose_time_is_over_leave_the_deny_list_with_the_next(
    stores: Stores, pair: Pair, on: On, whole: Stores, own_installation: Installation
) -> None:
    laptop = await on(pair[0]).login(await on(pair[0]).register())
    phone = await on(pair[0]).login(laptop.data["user"]["email"])
    denied = Keys(own_installation.name).denied(shard_of(laptop.data["user"]["userId"]))
    with stores.redis_client() as client:
        client.zadd(denied, {"long ago": 1})
        assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200

        async def gone() -> bool:
            return client.zscore(denied, "long ago") is None

        await eventually(gone, "it is gone", timeout=30)
        assert client.zscore(denied, phone.session_id) is not None
