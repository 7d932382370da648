"""MongoDB dies or freezes: requests are told to come again, nobody is logged out, sockets stay."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from support.backends import Backend, create_key
from support.breakable import Stores
from support.clients import Answer, Api, Live, Login, Refused
from support.health import both_ready, readiness
from support.nodes import Installation, Node
from support.waiting import Stopwatch, eventually

Pair = tuple[Node, Node]
On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]


async def refused(answer: Awaitable[Answer], *, within: float) -> None:
    watch = Stopwatch()
    refusal = await answer
    assert (refusal.status, refusal.code) == (503, "unavailable")
    assert int(refusal.headers["Retry-After"]) >= 1
    assert "not logged out" in refusal.body["message"]
    assert watch.seconds < within


async def goes_on(login: Login, live: Live) -> None:
    """The client does what clients do after an outage: it repeats its refresh, and is not logged out."""

    async def answered() -> Answer | None:
        answer = await login.api.call("POST", "/refresh", {"refreshToken": login.refresh_token})
        return answer if answer.status != 503 else None

    answer = await eventually(answered, "the refresh is answered", timeout=20)
    assert answer.data["outcome"] in {"rotated", "replayed"}
    assert not live.gone.is_set()
    ack = await live.ask("reauthenticate", {"token": answer.data["accessToken"]})
    assert ack["ok"], ack
    assert (await login.api.call("GET", "/me", token=answer.data["accessToken"])).status == 200


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_asvs_16_5_2_requests_are_told_to_repeat_sockets_stay_and_nobody_is_logged_out(
    whole: Stores, pair: Pair, on: On, connect: Connect, http: aiohttp.ClientSession, how: str
) -> None:
    logins = [await on(node).login(await on(node).register()) for node in pair]
    ended = await on(pair[0]).login(logins[0].data["user"]["email"])
    lives = [await connect(node, login.access_token) for node, login in zip(pair, logins, strict=True)]
    for login in logins:  # each node has the token's generation confirmed
        assert (await login.call("GET", "/me")).status == 200
    if how == "killed":
        whole.mongo.kill()
    else:
        whole.mongo.freeze()
    within = 7.5  # two waits of 3 s
    there = on(pair[1])
    email = logins[0].data["user"]["email"]
    body = {"email": email, "password": "a quiet harbour at dusk"}
    await asyncio.gather(
        *(refused(login.call("GET", "/sessions"), within=within) for login in logins),
        *(
            refused(login.api.call("POST", "/refresh", {"refreshToken": login.refresh_token}), within=within)
            for login in logins
        ),
        refused(logins[0].call("DELETE", f"/sessions/{ended.session_id}"), within=within),
        refused(there.call("POST", "/login", body), within=within),
    )
    ready = await readiness(http, pair[0])
    assert ready.status == 503
    if how == "killed":
        assert [error["field"] for error in ready.body["errors"]] == ["mongo"]
    assert (await lives[0].ask("refresh", {"refreshToken": logins[0].refresh_token}, timeout=30))["code"] == (
        "unavailable"
    )
    assert not any(live.gone.is_set() for live in lives)
    if how == "killed":
        whole.mongo.start()
    else:
        whole.mongo.thaw()
    await asyncio.gather(*(goes_on(login, live) for login, live in zip(logins, lives, strict=True)))
    await both_ready(http, *pair)


async def test_a_socket_connects_unless_its_user_is_in_rooms_that_cannot_be_read(
    whole: Stores,
    pair: Pair,
    on: On,
    own_installation: Installation,
    connect: Connect,
    http: aiohttp.ClientSession,
) -> None:
    login, member = [await on(node).login(await on(node).register()) for node in pair]
    backend = Backend(pair[0].url, create_key(own_installation, "emit"), http)
    body = {"userId": member.data["user"]["userId"]}
    assert (await backend.call("POST", "/rooms/chat:lobby/members", body)).status == 200
    whole.mongo.freeze()
    await connect(pair[1], login.access_token)
    with pytest.raises(Refused) as refusal:
        await Live.connect(pair[1].url, member.access_token)
    assert (refusal.value.data["code"], refusal.value.data["retryable"]) == ("unavailable", True)
    whole.mongo.thaw()
    await connect(pair[1], member.access_token)


async def test_a_refresh_whose_answer_was_cut_off_is_repeated_and_replayed(
    whole: Stores, pair: Pair, on: On
) -> None:
    """The client's connection breaks after the rotation and before the answer, at a moment of our choosing."""
    login = await on(pair[0]).login(await on(pair[0]).register())
    whole.mongo.freeze()
    asking = asyncio.create_task(login.api.call("POST", "/refresh", {"refreshToken": login.refresh_token}))
    await asyncio.sleep(0.3)  # it stands before MongoDB now
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    whole.mongo.thaw()

    with whole.mongo_client() as client:

        async def rotated() -> bool:
            return any(
                (client[name]["sessions"].find_one({"_id": login.session_id}) or {}).get("generation") == 1
                for name in client.list_database_names()
            )

        await eventually(rotated, "the rotation is done all the same", timeout=30)
    again = await on(pair[1]).call("POST", "/refresh", {"refreshToken": login.refresh_token})
    assert again.data["outcome"] == "replayed"
    assert (await on(pair[0]).call("GET", "/me", token=again.data["accessToken"])).status == 200


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_with_both_gone_a_node_still_stops_in_time(
    stores: Stores, driver: str, on: On, connect: Connect
) -> None:
    installation = Installation(stores.urls, is_as_shipped=True)
    nodes = await asyncio.gather(
        *(asyncio.to_thread(installation.start, VIGIL_MONGO_DRIVER=driver) for _ in range(2))
    )
    logins = [await on(node).login(await on(node).register()) for node in nodes]
    for node, login in zip(nodes, logins, strict=True):
        await connect(node, login.access_token)
    try:
        stores.redis.freeze()
        stores.mongo.freeze()
        statuses: list[Any] = await asyncio.gather(*(asyncio.to_thread(node.stop, 20) for node in nodes))
    finally:
        stores.mend()
    assert statuses == [0, 0]
