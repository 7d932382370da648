"""A node crashes, freezes or stops: its devices go offline once, nothing it knew is lost, and it may come back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from support.breakable import Stores
from support.clients import Api, Live, Login
from support.nodes import Installation, Node
from support.waiting import Stopwatch, eventually

from auth.core.clock import utc_now
from auth.core.models import Actor, RevocationReason
from auth.stores.mongo import Mongo
from auth.stores.sessions.store import SessionStore

On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]

ANNOUNCED_SECONDS = 15
SOCKETS = 200


@pytest.fixture
def start_several(own_installation: Installation) -> Iterator[Callable[[int], list[Node]]]:
    """Starts nodes, after the first side by side, and stops what is left of them."""
    started: list[Node] = []

    def start(count: int) -> list[Node]:
        def start_one(_: int) -> Node:
            node = own_installation.start()
            started.append(node)
            return node

        # The first alone: it creates the indexes.
        first = start_one(0)
        with ThreadPoolExecutor(count) as starters:
            return [first, *starters.map(start_one, range(1, count))]

    yield start
    for node in started:
        node.stop()


def statuses(live: Live, session_id: str) -> list[bool]:
    return [event["online"] for event in live.all("device-status") if event["sessionId"] == session_id]


async def offline(live: Live, session_id: str, timeout: float) -> Any:
    return await live.wait(
        "device-status", lambda e: e["sessionId"] == session_id and not e["online"], timeout=timeout
    )


async def online_in_list(login: Login) -> set[str]:
    listed = (await login.call("GET", "/sessions")).data["sessions"]
    return {session["sessionId"] for session in listed if session["online"]}


async def test_killed_or_frozen_its_devices_go_offline_once_and_a_thawed_nodes_come_back(
    start_several: Callable[[int], list[Node]], on: On, connect: Connect
) -> None:
    killed, frozen, third, fourth, fifth = await asyncio.to_thread(start_several, 5)
    email = await on(third).register()
    watcher, lost, cold, both = [await on(third).login(email) for _ in range(4)]
    watching = [await connect(node, watcher.access_token) for node in (third, fourth, fifth)]
    await connect(killed, lost.access_token)
    icy = await connect(frozen, cold.access_token)
    # A device with one tab on the node that dies and one on another never was offline.
    await connect(killed, both.access_token)
    await connect(fourth, both.access_token)
    for live in watching:
        await live.wait("device-status", lambda e: e["sessionId"] == both.session_id)
    watch = Stopwatch()
    killed.kill()
    frozen.freeze()
    for live in watching:
        await offline(live, lost.session_id, ANNOUNCED_SECONDS)
        await offline(live, cold.session_id, ANNOUNCED_SECONDS)
    assert watch.seconds < ANNOUNCED_SECONDS
    assert await online_in_list(watcher) == {watcher.session_id, both.session_id}
    frozen.thaw()
    for live in watching:
        await live.wait(
            "device-status",
            lambda e: e["sessionId"] == cold.session_id and e["online"] and not is_first(e, watching[0]),
            timeout=ANNOUNCED_SECONDS,
        )
    assert await online_in_list(watcher) == {watcher.session_id, both.session_id, cold.session_id}
    assert not icy.gone.is_set()
    assert (await icy.ask("sessions-list"))["ok"]
    # Each once, although three nodes saw the others' leases run out; and both tabs of `both` count as one.
    for live in watching:
        assert statuses(live, lost.session_id) == [True, False]
        assert statuses(live, cold.session_id) == [True, False, True]
        assert statuses(live, both.session_id) == [True]


def is_first(event: Any, live: Live) -> bool:
    ids = [each["eventId"] for each in live.all("device-status") if each["sessionId"] == event["sessionId"]]
    return bool(event["eventId"] == ids[0])


async def test_a_revocation_that_its_node_never_published_is_told_by_another(
    stores: Stores, pair: tuple[Node, Node], own_installation: Installation, on: On, connect: Connect
) -> None:
    """The node died between its commit to MongoDB and its word to Redis."""
    email = await on(pair[0]).register()
    laptop, phone = await on(pair[0]).login(email), await on(pair[0]).login(email)
    seeing, ended = await connect(pair[0], laptop.access_token), await connect(pair[1], phone.access_token)
    mongo = Mongo(stores.mongo.url, own_installation.name, "pymongo")
    revoked = await SessionStore(mongo.database, revoked_kept=timedelta(days=90)).revoke(
        phone.session_id,
        user_id=phone.data["user"]["userId"],
        reason=RevocationReason.REVOKED,
        by=Actor("user", laptop.session_id),
        ip="192.0.2.1",
        now=utc_now(),
    )
    await mongo.close()
    assert revoked is not None
    told = await ended.wait("session-revoked", timeout=30)
    assert (told["reason"], told["by"]["sessionId"]) == ("revoked", laptop.session_id)
    await ended.until_gone()
    await seeing.wait("sessions-changed", lambda e: e["change"] == "removed")
    for node in pair:
        assert (await on(node).call("GET", "/me", token=phone.access_token)).code == "session_revoked"
    assert len(ended.all("session-revoked")) == 1


async def test_killed_with_redis_down_its_unpublished_news_are_told_when_redis_is_back(
    whole: Stores, pair: tuple[Node, Node], own_installation: Installation, on: On, connect: Connect
) -> None:
    doomed = await asyncio.to_thread(own_installation.start)
    email = await on(pair[0]).register()
    laptop, phone = await on(pair[0]).login(email), await on(pair[0]).login(email)
    seeing = await connect(pair[0], laptop.access_token)
    whole.redis.kill()
    tablet = await on(doomed).login(email)
    path = f"/sessions/{phone.session_id}"
    assert (await on(doomed).call("DELETE", path, token=laptop.access_token)).status == 200
    doomed.kill()
    await asyncio.to_thread(whole.redis.start)
    for change, login in (("created", tablet), ("removed", phone)):
        await seeing.wait(
            "sessions-changed",
            lambda e, c=change, x=login: e["change"] == c and e["session"]["sessionId"] == x.session_id,
            timeout=15,
        )


async def test_a_reloaded_page_does_not_flicker_and_tabs_count_as_one_device(
    pair: tuple[Node, Node], on: On, connect: Connect
) -> None:
    email = await on(pair[0]).register()
    watcher, page = await on(pair[0]).login(email), await on(pair[0]).login(email)
    watching = await connect(pair[0], watcher.access_token)
    first, second = [await connect(node, page.access_token) for node in pair]
    await watching.wait("device-status", lambda e: e["sessionId"] == page.session_id)
    await second.close()
    await first.close()
    reloaded = await connect(pair[1], page.access_token)
    await asyncio.sleep(3)  # longer than a device has to return
    assert statuses(watching, page.session_id) == [True]
    left = Stopwatch()
    await reloaded.close()
    await offline(watching, page.session_id, 10)
    assert left.seconds > 1.5
    assert statuses(watching, page.session_id) == [True, False]


async def test_told_to_stop_it_says_so_closes_every_socket_and_is_out_in_ten_seconds(
    pair: tuple[Node, Node],
    own_installation: Installation,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
) -> None:
    leaving = await asyncio.to_thread(own_installation.start)
    email = await on(pair[0]).register()
    watcher, moving, *others = [await on(pair[0]).login(email) for _ in range(5)]
    watching = await connect(pair[0], watcher.access_token)
    devices = [moving, *others]
    lives: list[Live] = []
    for start in range(0, SOCKETS, 20):
        lives += await asyncio.gather(
            *(connect(leaving, devices[n % 4].access_token) for n in range(start, start + 20))
        )
    watch = Stopwatch()
    stopping = asyncio.create_task(asyncio.to_thread(leaving.stop, 15))
    notice = await lives[0].wait("draining", timeout=30)
    assert 0 < notice["reconnectAfterMs"] <= 6000
    # One device does as it is told and goes to another node.
    await connect(pair[1], moving.access_token)
    assert await stopping == 0
    assert watch.seconds < 10
    for live in lives:
        await live.until_gone()
        assert len(live.all("draining")) == 1
        assert not live.all("session-revoked")
    for device in others:
        await offline(watching, device.session_id, 10)
    assert statuses(watching, moving.session_id) == [True]
    assert await online_in_list(watcher) == {watcher.session_id, moving.session_id}
    assert (await others[0].refresh()).status == 200  # nobody was logged out


async def test_a_session_that_expires_is_ended_live_as_expired(
    own_installation: Installation, on: On, connect: Connect, start_with: Callable[..., list[Node]]
) -> None:
    here, there = await asyncio.to_thread(start_with, 2, VIGIL_REFRESH_TOKEN_SECONDS="4")
    email = await on(here).register()
    phone = await on(here).login(email)
    idle = await connect(there, phone.access_token)
    laptop = await on(here).login(email)
    seeing = await connect(here, laptop.access_token)

    async def gone() -> bool:
        assert (await laptop.refresh()).status == 200  # its week slides, the phone's does not
        assert (await seeing.ask("reauthenticate", {"token": laptop.access_token}))["ok"]
        return any(event["change"] == "removed" for event in seeing.all("sessions-changed"))

    await eventually(gone, "the other device hears of it", timeout=30, every=1)
    [removed] = [event for event in seeing.all("sessions-changed") if event["change"] == "removed"]
    assert removed["session"]["sessionId"] == phone.session_id
    told = await idle.wait("session-revoked", timeout=30)
    assert (told["reason"], told["by"]) == ("expired", {"kind": "system"})
    await idle.until_gone()
    assert (await phone.refresh()).code == "session_expired"
    listed = (await laptop.call("GET", "/sessions")).data["sessions"]
    assert [session["sessionId"] for session in listed] == [laptop.session_id]
    assert len(idle.all("session-revoked")) == 1


@pytest.fixture
def start_with(stores: Stores) -> Iterator[Callable[..., list[Node]]]:
    """Starts nodes of an installation with settings of its own."""
    started: list[Node] = []

    def start(count: int, **settings: str) -> list[Node]:
        installation = stores.installation()
        with ThreadPoolExecutor(count) as starters:
            started.extend(starters.map(lambda _: installation.start(**settings), range(count)))
        return started

    yield start
    for node in started:
        node.stop()


async def test_a_node_lets_the_first_in_as_soon_as_it_says_that_it_listens(
    start_several: Callable[[int], list[Node]], on: On, connect: Connect
) -> None:
    [first] = start_several(1)
    api = on(first)
    login = await api.login(await api.register())
    for _ in range(4):
        [fresh] = await asyncio.to_thread(start_several, 1)
        live = await connect(fresh, login.access_token)
        await live.wait("ready")
