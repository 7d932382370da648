"""A node that does not hear the bus: it notices, catches up, asks MongoDB, and rather closes than be wrong."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from support.administration import first_administrator
from support.breakable import Stores, Way
from support.clients import Api, Live
from support.health import both_ready, readiness
from support.nodes import Installation, Node
from support.sockets import SEAL, Sockets, connection, delivering
from support.waiting import Stopwatch, eventually

from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.core.models import HeldRoles, Session
from auth.platform.metrics import Metrics
from auth.platform.redis.link import RedisLink
from realtime.broker.bus import Bus
from realtime.broker.redis_keys import Keys
from realtime.broker.seal import Message
from realtime.delivery.watchdog import Watchdog
from realtime.hub import Connections

DEAF_SECONDS = 0.6

RECEIPT = SEAL.seal({"t": "receipt"})


@dataclass
class Ear:
    """A bus that writes down what it hears, on a way to Redis that can be cut."""

    bus: Bus
    link: RedisLink
    keys: Keys
    way: Way
    heard: list[Message] = field(default_factory=list)
    hearings: int = 0
    fails: bool = False

    async def take(self, message: Message) -> None:
        if self.fails:
            raise Unavailable
        self.heard.append(message)

    async def hearing(self, _: object = ()) -> None:
        self.hearings += 1

    async def deaf(self) -> bool:
        return self.bus.silent_seconds > 0

    async def hears(self) -> bool:
        return self.bus.silent_seconds == 0


@pytest.fixture
async def ear(stores: Stores) -> AsyncIterator[Ear]:
    way = stores.way_to(stores.redis.url)
    link, keys = RedisLink(way.url, prefix=secrets.token_hex(4)), Keys(secrets.token_hex(4))
    bus = Bus(
        link,
        keys,
        node_id="ear",
        metrics=Metrics(),
        seal=SEAL,
        heartbeat_seconds=0.1,
        silent_after_seconds=DEAF_SECONDS,
    )
    ear = Ear(bus, link, keys, way)
    yield ear
    way.let_through()
    await bus.close()
    await link.close()


async def started(ear: Ear) -> None:
    await ear.bus.start(ear.take, ear.hearing)

    async def hearing() -> bool:
        return ear.hearings > 0

    await eventually(hearing, "it hears", timeout=30)


async def test_a_subscription_that_falls_silent_is_noticed(ear: Ear) -> None:
    await started(ear)
    ear.way.hold()
    await eventually(ear.deaf, "it knows that it is deaf", timeout=30)
    ear.way.let_through()
    await eventually(ear.hears, "it hears again", timeout=30)


async def test_a_node_that_hears_ever_later_is_deaf(ear: Ear) -> None:
    await started(ear)
    ear.way.lag(growth=2)
    await eventually(ear.deaf, "it knows that what it hears is old", timeout=20)
    assert not ear.bus.is_receiving
    ear.way.let_through()
    await eventually(ear.hears, "it hears in time again", timeout=20)


async def test_what_is_never_silent_and_always_old_is_not_heard(ear: Ear, stores: Stores) -> None:
    """It is not that something comes, but when that was sent."""
    await started(ear)
    old = SEAL.seal({"t": "heartbeat", "node": "ear", "at": time.monotonic() - DEAF_SECONDS})
    with stores.redis_client() as client:
        client.config_set("min-replicas-to-write", 1)  # so that none of its own comes
        try:

            async def deaf_to_it() -> bool:
                client.spublish(ear.keys.channel("ear", 7), old)
                return ear.bus.silent_seconds > 0

            await eventually(deaf_to_it, "it is deaf", timeout=30, every=0.02)
        finally:
            client.config_set("min-replicas-to-write", 0)


async def test_where_redis_takes_no_writes_it_is_deaf_though_everything_published_arrives(
    ear: Ear, stores: Stores
) -> None:
    """What is published with a revocation is written first: where that fails, nothing is to be heard."""
    await started(ear)
    with stores.redis_client() as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            await eventually(ear.deaf, "it knows that it is deaf", timeout=30)

            async def arrives() -> bool:
                # Not while it subscribes anew, which it does when nothing comes.
                return client.spublish(ear.keys.channel("ear", 7), RECEIPT) == 1 and bool(ear.heard)

            await eventually(arrives, "what is published arrives", timeout=30)
            assert await ear.deaf()
        finally:
            client.config_set("min-replicas-to-write", 0)
    await eventually(ear.hears, "it hears again", timeout=30)


async def test_a_node_that_has_just_come_is_sent_to_whatever_the_leases_said_before(
    ear: Ear, stores: Stores
) -> None:
    """The answer that nobody else held a lease may arrive after the newcomer's greeting."""
    await started(ear)
    with stores.redis_client() as client, client.pubsub(ignore_subscribe_messages=True) as newcomer:
        newcomer.ssubscribe(ear.link.rooms_channel)
        newcomer.get_message(timeout=30)
        client.spublish(ear.link.rooms_channel, SEAL.seal({"t": "hello", "from": "newcomer"}))
        # What follows the greeting on the channel shows that it was heard.
        client.spublish(ear.link.rooms_channel, SEAL.seal({"t": "noted", "from": "newcomer"}))

        async def noted() -> bool:
            return any(message["t"] == "noted" for message in ear.heard)

        await eventually(noted, "the greeting is heard", timeout=30)
        ear.bus.note_peers(has_peers=False)
        await ear.bus.send_to_others({"t": "room", "number": 1})
        heard = [SEAL.read(newcomer.get_message(timeout=30)["data"]) or {} for _ in range(3)]
    assert [message.get("number") for message in heard] == [None, None, 1]


async def test_a_subscription_that_redis_refuses_for_a_while_is_made_anew(ear: Ear, stores: Stores) -> None:
    await started(ear)
    with stores.redis_client() as client:
        # Redis ends the subscription, and refuses it and the heartbeats: no outage, and no reason to give up.
        client.acl_setuser("default", enabled=True, reset_channels=True)
        try:
            await eventually(ear.deaf, "it knows that it is deaf", timeout=30)
        finally:
            client.acl_setuser("default", enabled=True, channels=["*"])
    await eventually(ear.hears, "it hears again", timeout=30)
    assert ear.hearings > 1


async def test_it_does_not_say_that_it_hears_before_its_subscription_stands(ear: Ear, stores: Stores) -> None:
    """Else what is published between the reading of the logs and the subscription is lost."""
    ear.way.hold_back(b"SUBSCRIBE")
    await ear.bus.start(ear.take, ear.hearing)
    assert await asyncio.to_thread(ear.way.held.wait, 5)
    await asyncio.sleep(0.2)
    assert ear.hearings == 0
    ear.way.let_through()

    async def hearing() -> bool:
        return ear.hearings > 0

    await eventually(hearing, "it hears", timeout=30)
    with stores.redis_client() as client:
        assert client.spublish(ear.keys.channel("ear", 7), RECEIPT) == 1

    async def heard() -> bool:
        return ear.heard == [{"t": "receipt"}]

    await eventually(heard, "the message is heard", timeout=30)


async def test_nonsense_on_its_channel_does_not_make_it_deaf(ear: Ear, stores: Stores) -> None:
    await started(ear)
    with stores.redis_client() as client:
        for nonsense in (b"\xff", b"", b"[]", b"7", SEAL.seal({"t": "heartbeat"})):
            client.spublish(ear.keys.channel("ear", 7), nonsense)
        client.spublish(ear.keys.channel("ear", 7), RECEIPT)

    async def heard() -> bool:
        return {"t": "receipt"} in ear.heard

    await eventually(heard, "what came behind the nonsense is heard", timeout=30)
    assert ear.hearings == 1


async def test_what_could_not_be_delivered_makes_it_catch_up(ear: Ear, stores: Stores) -> None:
    await started(ear)

    ear.fails = True
    with stores.redis_client() as client:
        client.spublish(ear.keys.channel("ear", 7), RECEIPT)

    async def hearing() -> bool:
        return ear.hearings == 2

    await eventually(hearing, "it catches up", timeout=30)


class NoTruth:
    """A MongoDB that does not answer."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def live_among(self, session_ids: Any, *, user_ids: Any, now: Any) -> set[str]:
        self.asked.append(time.monotonic())
        raise Unavailable

    async def get(self, session_id: str, *, user_id: str) -> Session | None:
        raise Unavailable

    async def changed_among(self, session_ids: Any, *, user_ids: Any) -> dict[str, HeldRoles]:
        raise Unavailable


async def test_asvs_16_5_3_deaf_and_without_mongodb_too_long_it_closes_its_sockets(ear: Ear) -> None:
    await started(ear)
    connections, sockets, truth = Connections(), Sockets(), NoTruth()
    connections.add(connection("socket"))
    _, push, endings = delivering(sockets, connections)
    stores: Any = SimpleNamespace(sessions=truth, session_roles=truth)
    watchdog = Watchdog(
        stores,
        connections,
        push,
        endings,
        ear.bus,
        asked=asyncio.Event(),
        clock=utc_now,
        check_seconds=0.1,
        isolated_seconds=1.0,
    )
    await watchdog.start()
    try:
        # Blind alone it waits, and so it does deaf alone: see the tests of nodes.
        watchdog.ask()
        await asyncio.sleep(1.5)
        assert truth.asked
        assert not sockets.dropped
        ear.way.hold()
        await eventually(ear.deaf, "it is deaf", timeout=30)
        before = Stopwatch()

        async def closed() -> bool:
            return sockets.dropped[:1] == ["socket"]

        await eventually(closed, "it closes the socket", timeout=30)
        assert before.seconds > 0.7
        assert not sockets.told  # it knows of no revocation: the client comes back and asks
    finally:
        await watchdog.close()


@pytest.fixture(scope="module")
def partial(stores: Stores, own_installation: Installation) -> Any:
    """Two nodes, the second of which can be cut off from Redis while the first is not."""
    way = stores.way_to(stores.redis.url)
    nodes = own_installation.start(), own_installation.start(VIGIL_REDIS_URL=way.url)
    yield nodes, way
    way.let_through()
    assert [node.stop() for node in nodes] == [0, 0]


async def test_asvs_16_5_3_cut_off_alone_it_fails_readiness_and_ends_revoked_sessions_by_asking_mongodb(
    partial: tuple[tuple[Node, Node], Way],
    connect: Callable[..., Awaitable[Live]],
    http: aiohttp.ClientSession,
) -> None:
    (well, cut), way = partial
    await both_ready(http, well, cut)
    api = Api(well.url, http)
    email = await api.register()
    laptop, phone = await api.login(email), await api.login(email)
    seeing, ended = await connect(cut, laptop.access_token), await connect(cut, phone.access_token)
    way.hold()
    watch = Stopwatch()

    async def not_ready() -> bool:
        answer = await readiness(http, cut)
        return answer.status == 503 and "bus" in [error["field"] for error in answer.body["errors"]]

    not_ready_soon = asyncio.create_task(eventually(not_ready, "readiness fails", timeout=12))
    revoked = await laptop.call("DELETE", f"/sessions/{phone.session_id}")
    assert revoked.data["delivery"]["pending"] == 1  # known to be there, and not to be gone
    assert (await Api(cut.url, http).call("GET", "/me", token=phone.access_token)).code == "session_revoked"
    told = await ended.wait("session-revoked", timeout=12)
    assert watch.seconds < 10
    assert told["by"]["sessionId"] == laptop.session_id
    await ended.until_gone()
    await not_ready_soon
    assert (await readiness(http, well)).status == 200
    assert not seeing.gone.is_set()
    way.let_through()
    await both_ready(http, cut)
    removed = await seeing.wait("sessions-changed", lambda e: e["change"] == "removed", timeout=10)
    assert removed["session"]["sessionId"] == phone.session_id


async def test_cut_off_alone_it_learns_of_roles_that_were_taken_away_by_asking_mongodb(
    partial: tuple[tuple[Node, Node], Way],
    connect: Callable[..., Awaitable[Live]],
    http: aiohttp.ClientSession,
    own_installation: Installation,
) -> None:
    (well, cut), way = partial
    await both_ready(http, well, cut)
    api = Api(well.url, http)
    boss = await api.login(await asyncio.to_thread(first_administrator, own_installation, well.url))
    login = await api.login(await api.register())
    path = f"/admin/users/{login.data['user']['userId']}/roles"
    assert (await boss.call("PUT", path, {"roles": ["moderator"]})).status == 200
    live = await connect(cut, login.access_token)
    way.hold()
    assert (await boss.call("PUT", path, {"roles": []})).status == 200
    told = await live.wait("roles-changed", lambda event: event["version"] == 2, timeout=12)
    assert told["roles"] == []
    way.let_through()
    await both_ready(http, cut)
