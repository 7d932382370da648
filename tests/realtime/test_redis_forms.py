"""What other tests show on one Redis server, on a master with sentinels and on a cluster: two nodes on each."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from support.backends import Backend, create_key
from support.clients import Api, Live, Login, Refused
from support.commands import run_command
from support.health import both_ready
from support.nodes import Installation, Node, ServiceUrls, drop, tracebacks
from support.valkeys import PASSWORD, ThreeMasters

Connect = Callable[..., Awaitable[Live]]
Pair = tuple[Node, Node]
CHAT_EVENTS = ("chat:message", "chat:members")
# Spread over the shards, and so over the masters of a cluster.
USERS = 12


@pytest.fixture(scope="module", params=["sentinel", "cluster"])
def on_redis(request: pytest.FixtureRequest, services: ServiceUrls) -> Iterator[Installation]:
    servers = request.getfixturevalue("watched_master" if request.param == "sentinel" else "three_masters")
    installation = Installation(ServiceUrls(services.mongo, servers.url))
    yield installation
    drop(services, installation.name)


def test_a_start_with_the_url_of_another_kind_of_redis_ends_with_one_line_that_says_what_to_write(
    services: ServiceUrls, three_masters: ThreeMasters
) -> None:
    place = services.redis.partition("://")[2].rpartition("/")[0]
    for url, words in (
        (f"redis+cluster://{place}", "this server is not part of a cluster: write redis://"),
        (
            f"redis://:{PASSWORD}@127.0.0.1:{three_masters.masters[0].port}",
            "this is a node of a cluster: write redis+cluster://",
        ),
    ):
        ended = run_command(environ=Installation(services).environ(VIGIL_REDIS_URL=url))
        assert (ended.status, ended.out) == (2, "")
        assert ended.err == f"vigil: VIGIL_REDIS_URL is wrong: {words}\n"


def test_the_doctor_examines_every_master(on_redis: Installation) -> None:
    ended = run_command("doctor", "--json", environ=on_redis.environ())
    found = {each["check"]: each["state"] for each in json.loads(ended.out)["checks"]}
    versions = [state for name, state in found.items() if name.startswith("redis") and name.endswith("version")]
    assert versions == ["ok"] * (3 if "cluster" in on_redis.services.redis else 1)


@pytest.fixture(scope="module")
def two(on_redis: Installation) -> Iterator[Pair]:
    with ThreadPoolExecutor(2) as starters:
        first, second = starters.map(lambda _: on_redis.start(), range(2))
    yield first, second
    assert [first.stop(), second.stop()] == [0, 0]
    assert tracebacks([*first.log, *second.log]) == []


@pytest.fixture
async def pair(two: Pair, http: aiohttp.ClientSession) -> Pair:
    await both_ready(http, *two)
    return two


async def two_devices(pair: Pair, http: aiohttp.ClientSession) -> tuple[Login, Login]:
    first, second = (Api(node.url, http) for node in pair)
    email = await first.register()
    return await first.login(email), await second.login(email)


async def came_and_went(live: Live, device: Login, *, online: bool) -> None:
    await live.wait(
        "device-status", lambda e: (e["sessionId"], e["online"]) == (device.session_id, online), timeout=30
    )


async def test_a_revocation_on_one_node_ends_the_sockets_on_the_other_and_every_token(
    pair: Pair, connect: Connect, http: aiohttp.ClientSession
) -> None:
    for laptop, phone in await asyncio.gather(*(two_devices(pair, http) for _ in range(USERS))):
        seeing, ended = await connect(pair[0], laptop.access_token), await connect(pair[1], phone.access_token)
        await came_and_went(seeing, phone, online=True)
        answer = await laptop.call("DELETE", f"/sessions/{phone.session_id}")
        assert answer.data["delivery"] == {
            "sockets": 1,
            "notified": 1,
            "acknowledged": 1,
            "closed": 1,
            "pending": 0,
        }
        await ended.until_gone()
        await seeing.wait("sessions-changed", lambda e: e["change"] == "removed")
        for node in pair:
            assert (
                await Api(node.url, http).call("GET", "/me", token=phone.access_token)
            ).code == "session_revoked"
            with pytest.raises(Refused) as refusal:
                await Live.connect(node.url, phone.access_token)
            assert refusal.value.data["code"] == "session_revoked"
        await seeing.close()


async def test_who_comes_back_reads_what_was_missed(
    pair: Pair, connect: Connect, http: aiohttp.ClientSession
) -> None:
    laptop, phone = await two_devices(pair, http)
    away = await connect(pair[1], laptop.access_token)
    cursor = away.ready["lastEventId"]
    await away.close()
    assert (await phone.call("POST", "/logout")).status == 200
    back = await connect(pair[0], laptop.access_token, last_event_id=cursor)
    assert back.ready["recovered"] is True
    await back.wait("sessions-changed", lambda e: e["change"] == "removed")


async def test_what_an_application_says_to_a_room_reaches_both_nodes(
    pair: Pair, connect: Connect, http: aiohttp.ClientSession
) -> None:
    login, _ = await two_devices(pair, http)
    lives = [await connect(node, login.access_token, also=CHAT_EVENTS) for node in pair]
    for live in lives:
        assert (await live.ask("chat:join"))["ok"] is True
    texts = [secrets.token_hex(4) for _ in range(20)]
    for text in texts:
        assert (await lives[0].ask("chat:send", {"text": text}))["ok"] is True
    for live in lives:
        await live.wait("chat:message", lambda m: m["text"] == texts[-1])
        assert [message["text"] for message in live.all("chat:message")] == texts


async def test_what_a_backend_sends_is_durable_wherever_its_log_is(
    on_redis: Installation, pair: Pair, connect: Connect, http: aiohttp.ClientSession
) -> None:
    key = create_key(on_redis, "emit")
    first, second = (Backend(node.url, key, http) for node in pair)
    event = {"event": "chat:news", "data": {}, "durable": True}
    for _ in range(USERS):
        login, _ = await two_devices(pair, http)
        user, room = {"userId": login.data["user"]["userId"]}, f"chat:{secrets.token_hex(6)}"
        live = await connect(pair[1], login.access_token, also=("chat:news",))
        await first.add_member(room, user["userId"])
        event_id = (await first.call("POST", "/emit", event | {"to": user})).data["eventId"]
        await live.wait("chat:news")
        history_id = (await first.call("POST", "/emit", event | {"to": {"room": room}})).data["historyId"]
        await live.wait("chat:news", lambda data: "historyId" in data)
        assert live.all("chat:news") == [{"eventId": event_id}, {"historyId": history_id}]
        read = (await second.call("GET", f"/rooms/{room}/history?after=0")).data
        assert [each["historyId"] for each in read["events"]] == [history_id]
        back = await connect(pair[0], login.access_token, last_event_id=event_id - 1, also=("chat:news",))
        await back.wait("chat:news")
        assert back.all("chat:news") == [{"eventId": event_id}]


async def test_limits_are_counted_for_all_nodes_together(
    on_redis: Installation, http: aiohttp.ClientSession, connect: Connect
) -> None:
    limits = {
        "VIGIL_RATE_LIMITS": "on",
        "VIGIL_LIMIT_SOCKET_CONNECTS": "4/minute",
        "VIGIL_LIMIT_LOGIN": "3/minute",
    }
    with ThreadPoolExecutor(2) as starters:
        nodes = list(starters.map(lambda _: on_redis.start(**limits), range(2)))
    try:
        await both_ready(http, *nodes)
        apis = [Api(node.url, http) for node in nodes]
        login = await apis[0].login(await apis[0].register())
        for turn in range(4):
            await connect(nodes[turn % 2], login.access_token)
        for node in nodes:
            with pytest.raises(Refused) as refusal:
                await Live.connect(node.url, login.access_token)
            assert refusal.value.data["code"] == "rate_limited"
        # Counted by address and account, and by account alone, which are not of one slot.
        wrong = {"email": login.data["user"]["email"], "password": "not the password", "delivery": "body"}
        strangers = [Api(node.url, http) for node in nodes]
        answers = [await strangers[turn % 2].call("POST", "/login", wrong) for turn in range(4)]
        assert [answer.code for answer in answers] == ["invalid_credentials"] * 3 + ["rate_limited"]
    finally:
        assert [node.stop() for node in nodes] == [0, 0]


async def test_the_devices_of_a_node_that_dies_go_offline(
    pair: Pair, on_redis: Installation, connect: Connect, http: aiohttp.ClientSession
) -> None:
    dying = await asyncio.to_thread(on_redis.start)
    await both_ready(http, dying)
    devices = [await two_devices(pair, http) for _ in range(4)]
    seeing = [await connect(pair[0], laptop.access_token) for laptop, _ in devices]
    for _, phone in devices:
        await connect(dying, phone.access_token)
    dying.kill()
    for (laptop, phone), live in zip(devices, seeing, strict=True):
        await came_and_went(live, phone, online=False)
        listed = (await laptop.call("GET", "/sessions")).data["sessions"]
        assert [session["sessionId"] for session in listed if session["online"]] == [laptop.session_id]
