"""Redis dies, freezes, or loses its memory: nobody is logged out, and nothing that was said is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from support.administration import first_administrator
from support.breakable import Stores
from support.clients import Answer, Api, Live, Login, Refused
from support.health import both_ready, readiness
from support.nodes import Installation, Node
from support.waiting import Stopwatch, eventually

Pair = tuple[Node, Node]
On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]

# Reconnecting, then the relay's turn: a fact is two seconds old before somebody else publishes it.
RELAYED_SECONDS = 12
KINDS = ("login before", "login", "refresh", "list", "revoke")


async def two_devices(api: Api) -> tuple[Login, Login]:
    email = await api.register()
    return await api.login(email, device="Laptop"), await api.login(email, device="Phone")


def is_in_order(live: Live) -> bool:
    ids = [data["eventId"] for _, data in live.heard if data and "eventId" in data]
    return ids == sorted(set(ids))


async def test_asvs_16_5_2_killed_the_api_goes_on_from_mongodb_and_no_request_waits_for_redis(
    whole: Stores, pair: Pair, on: On, connect: Connect, http: aiohttp.ClientSession
) -> None:
    api = on(pair[0])
    email = await api.register()
    laptop = await api.login(email)
    live = await connect(pair[1], laptop.access_token)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}

    async def timed(kind: str, work: Awaitable[Any]) -> Any:
        watch = Stopwatch()
        done = await work
        seconds[kind].append(watch.seconds)
        return done

    for _ in range(4):
        phone = await timed("login before", api.login(email))
        assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    whole.redis.kill()
    for turn in range(8):
        here, there = on(pair[turn % 2]), on(pair[1 - turn % 2])
        phone = await timed("login", here.login(email))
        assert (await timed("refresh", phone.refresh())).data["outcome"] == "rotated"
        listed = await timed("list", there.call("GET", "/sessions", token=phone.access_token))
        assert listed.data["count"] == 2
        path = f"/sessions/{phone.session_id}"
        assert (await timed("revoke", there.call("DELETE", path, token=laptop.access_token))).status == 200
        for node in pair:
            assert (await on(node).call("GET", "/me", token=phone.access_token)).code == "session_revoked"
            assert (await on(node).call("GET", "/me", token=laptop.access_token)).status == 200
        assert (await phone.refresh()).code == "session_revoked"
    # Hashing a password takes its time on a busy machine, with Redis or without; a wait for Redis is 1 s each.
    usual = max(seconds.pop("login before"))
    for kind, each in seconds.items():
        assert sorted(each)[-2] < 1.0 + usual, (kind, each, usual)
    # What needs Redis says so, and that it is worth another try.
    with pytest.raises(Refused) as refusal:
        await Live.connect(pair[0].url, laptop.access_token)
    assert (refusal.value.data["code"], refusal.value.data["retryable"]) == ("unavailable", True)

    async def redis_is_named() -> Answer | None:
        ready = await readiness(http, pair[0])
        return ready if "redis" in [error["field"] for error in ready.body.get("errors", [])] else None

    ready = await eventually(redis_is_named, "readiness names Redis", timeout=10)
    assert (ready.status, ready.code) == (503, "unavailable")
    assert int(ready.headers["Retry-After"]) >= 1
    assert not live.gone.is_set()
    assert (await live.ask("sessions-list"))["ok"]


async def test_a_revocation_reaches_the_other_nodes_sockets_while_redis_is_dead(
    whole: Stores, pair: Pair, on: On, connect: Connect
) -> None:
    laptop, phone = await two_devices(on(pair[0]))
    seeing, ended = await connect(pair[1], laptop.access_token), await connect(pair[1], phone.access_token)
    whole.redis.kill()
    watch = Stopwatch()
    answer = await laptop.call("DELETE", f"/sessions/{phone.session_id}")
    # Nobody could be asked who holds the phone's socket: no count says that there was none.
    nobody = {"sockets": 0, "notified": 0, "acknowledged": 0, "closed": 0, "pending": 0}
    assert answer.data == {"delivery": {**nobody, "incomplete": True}}
    revoked = await ended.wait("session-revoked", timeout=10)  # deaf after 5 s, then MongoDB every 2 s
    assert watch.seconds < 9
    assert revoked["reason"] == "revoked"
    assert revoked["by"] == {"kind": "user", "sessionId": laptop.session_id}
    await ended.until_gone()
    assert not seeing.gone.is_set()
    # And what the survivor should have been told it is told when Redis is back.
    whole.redis.start()
    removed = await seeing.wait("sessions-changed", lambda e: e["change"] == "removed", timeout=RELAYED_SECONDS)
    assert removed["session"]["sessionId"] == phone.session_id


async def test_what_happened_meanwhile_is_told_in_order_when_redis_is_back(
    whole: Stores, pair: Pair, on: On, connect: Connect
) -> None:
    laptop, phone = await two_devices(on(pair[0]))
    email = laptop.data["user"]["email"]
    seeing = await connect(pair[1], laptop.access_token)
    before = (await seeing.ask("sessions-list"))["version"]
    whole.redis.kill()
    tablet = await on(pair[0]).login(email, device="Tablet")
    assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    assert (await laptop.call("DELETE", f"/sessions/{tablet.session_id}")).status == 200
    kept = await on(pair[1]).login(email, device="CachedDocument")
    whole.redis.start()

    async def all_told() -> bool:
        told = {(e["change"], e["session"]["sessionId"]) for e in seeing.all("sessions-changed")}
        return told >= {
            ("removed", phone.session_id),
            ("created", tablet.session_id),
            ("removed", tablet.session_id),
            ("created", kept.session_id),
        }

    await eventually(all_told, "everything is told", timeout=RELAYED_SECONDS)
    changes = seeing.all("sessions-changed")
    assert is_in_order(seeing)
    # No gap: nobody has to list again, and nobody would miss it if they did.
    assert [change["version"] for change in changes] == [before + n for n in range(1, len(changes) + 1)]
    of_tablet = [e["change"] for e in changes if e["session"]["sessionId"] == tablet.session_id]
    assert of_tablet == ["created", "removed"]
    assert not seeing.gone.is_set()


async def test_asvs_16_5_3_a_token_revoked_meanwhile_is_never_good_again_not_even_for_a_moment(
    whole: Stores, pair: Pair, on: On
) -> None:
    laptop, phone = await two_devices(on(pair[0]))
    whole.redis.kill()
    assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    stop = asyncio.Event()

    async def keep_trying(node: Node) -> list[str]:
        codes = []
        while not stop.is_set():
            answer = await on(node).call("GET", "/me", token=phone.access_token)
            codes.append("let in" if answer.status == 200 else answer.code)
            await asyncio.sleep(0.01)
        return codes

    async def keep_knocking(node: Node) -> list[str]:
        codes = []
        while not stop.is_set():
            try:
                live = await Live.connect(node.url, phone.access_token)
            except Refused as refusal:
                codes.append(refusal.data["code"])
            else:
                await live.close()
                codes.append("let in")
            await asyncio.sleep(0.05)
        return codes

    trying = [asyncio.create_task(work(node)) for work in (keep_trying, keep_knocking) for node in pair]
    await asyncio.to_thread(whole.redis.start)
    await asyncio.sleep(4)
    stop.set()
    for codes in await asyncio.gather(*trying):
        assert set(codes) <= {"session_revoked", "unavailable"}, codes
        assert codes[-1] == "session_revoked"


@pytest.mark.parametrize("how", ["flushed", "emptied by a restart"])
async def test_memory_lost_it_is_told_again_who_is_there_and_who_is_denied(
    whole: Stores, pair: Pair, on: On, connect: Connect, http: aiohttp.ClientSession, how: str
) -> None:
    laptop, phone = await two_devices(on(pair[0]))
    email = laptop.data["user"]["email"]
    gone = await on(pair[0]).login(email)
    seeing, other = await connect(pair[0], laptop.access_token), await connect(pair[1], phone.access_token)
    assert (await laptop.call("DELETE", f"/sessions/{gone.session_id}")).status == 200
    last = (await seeing.wait("sessions-changed", lambda e: e["change"] == "removed"))["eventId"]
    before = (await seeing.ask("sessions-list"))["version"]
    if how == "flushed":
        with whole.redis_client() as client:
            client.flushall()
    else:
        whole.redis.kill()
        whole.redis.empty()
        whole.redis.start()
    # At once, not when somebody has noticed:
    refusals = [await on(node).call("GET", "/me", token=gone.access_token) for node in pair]
    assert [answer.code for answer in refusals] == ["session_revoked"] * 2
    with pytest.raises(Refused):
        await Live.connect(pair[1].url, gone.access_token)

    async def both_online() -> bool:
        listed = (await laptop.call("GET", "/sessions")).data["sessions"]
        return {s["sessionId"] for s in listed if s["online"]} == {laptop.session_id, phone.session_id}

    await eventually(both_online, "presence is restored", timeout=30)
    await both_ready(http, *pair)

    async def denied() -> bool:
        with pytest.raises(Refused) as refusal:
            await Live.connect(pair[1].url, gone.access_token)
        return bool(refusal.value.data["code"] == "session_revoked")

    await eventually(denied, "the deny-list is restored", timeout=30)
    await on(pair[1]).login(email)
    created = await seeing.wait("sessions-changed", lambda e: e["eventId"] > last, timeout=RELAYED_SECONDS)
    assert created["version"] > before + 1  # a gap: list again
    assert is_in_order(seeing)
    assert not seeing.gone.is_set()
    assert not other.gone.is_set()


# For how long it is asked: in this time a node also finds that its lease was lost.
@pytest.mark.parametrize(("how", "seconds"), [("emptied by a restart", 4.0), ("its subscriptions cut", 1.5)])
async def test_a_node_that_says_it_is_ready_again_lets_the_next_handshake_in(
    whole: Stores, pair: Pair, on: On, connect: Connect, http: aiohttp.ClientSession, how: str, seconds: float
) -> None:
    login = await on(pair[0]).login(await on(pair[0]).register())
    await connect(pair[1], login.access_token)

    def break_and_mend() -> None:
        if how == "emptied by a restart":
            whole.redis.kill()
            whole.redis.empty()
            whole.redis.start()
        else:
            with whole.redis_client() as client:
                client.client_kill_filter(_type="pubsub")

    async def knock(node: Node) -> list[str]:
        """What it was and what it did, asked all the time until it was ready again and let somebody in."""
        met: list[str] = []
        while not (done.is_set() and "let in" in met):
            if (await readiness(http, node)).status != 200:
                met.append("not ready")
                await asyncio.sleep(0.01)
                continue
            try:
                live = await Live.connect(node.url, login.access_token)
            except Refused:
                met.append("refused")
            else:
                met.append("let in")
                await live.close()
                # A socket counts for two seconds more: no faster than a user may have sockets.
                await asyncio.sleep(0.02)
        return met

    done = asyncio.Event()
    knocking = [asyncio.create_task(knock(node)) for node in pair]
    await asyncio.to_thread(break_and_mend)
    await asyncio.sleep(seconds)
    done.set()
    async with asyncio.timeout(30):
        for met in await asyncio.gather(*knocking):
            # The first to meet an outage may be a handshake. From then on the node knows.
            assert "not ready" in met
            assert "refused" not in met[met.index("not ready") :]
            assert ("refused", "refused") not in pairwise(met)


async def test_only_its_subscriptions_cut_nothing_is_skipped(
    whole: Stores, pair: Pair, on: On, connect: Connect
) -> None:
    laptop, _ = await two_devices(on(pair[0]))
    email = laptop.data["user"]["email"]
    seeing = await connect(pair[1], laptop.access_token)
    before = (await seeing.ask("sessions-list"))["version"]
    published = asyncio.Event()

    async def cut() -> None:
        with whole.redis_client() as client:
            while not published.is_set():
                client.client_kill_filter(_type="pubsub")
                await asyncio.sleep(0.15)

    cutting = asyncio.create_task(cut())
    phones = [await on(pair[n % 2]).login(email) for n in range(12)]
    published.set()
    await cutting
    await seeing.wait(
        "sessions-changed", lambda e: e["session"]["sessionId"] == phones[-1].session_id, timeout=RELAYED_SECONDS
    )
    changes = seeing.all("sessions-changed")
    assert [change["session"]["sessionId"] for change in changes] == [phone.session_id for phone in phones]
    assert [change["version"] for change in changes] == [before + n for n in range(1, 13)]
    assert is_in_order(seeing)


async def test_frozen_the_nodes_call_themselves_deaf_and_answer_from_mongodb_within_a_second_or_two(
    whole: Stores, pair: Pair, on: On, connect: Connect, http: aiohttp.ClientSession
) -> None:
    laptop, phone = await two_devices(on(pair[0]))
    seeing, ended = await connect(pair[0], laptop.access_token), await connect(pair[1], phone.access_token)
    whole.redis.freeze()
    assert (await laptop.call("DELETE", f"/sessions/{phone.session_id}")).status == 200
    assert (await phone.call("GET", "/me")).code == "session_revoked"
    seconds: list[float] = []

    async def deaf() -> Answer | None:
        one = Stopwatch()
        assert (await on(pair[1]).call("GET", "/sessions", token=laptop.access_token)).status == 200
        seconds.append(one.seconds)
        answer = await readiness(http, pair[1])
        failed = [error["field"] for error in answer.body.get("errors", [])]
        return answer if "bus" in failed else None

    answer = await eventually(deaf, "readiness names the bus", timeout=12)
    assert answer.status == 503
    assert max(seconds) < 8
    await ended.wait("session-revoked", timeout=30)
    whole.redis.thaw()
    await both_ready(http, *pair)
    await seeing.wait("sessions-changed", lambda e: e["change"] == "removed", timeout=RELAYED_SECONDS)
    assert not seeing.gone.is_set()


async def test_frozen_too_shortly_for_anyone_to_be_deaf_a_device_that_left_meanwhile_still_goes_offline(
    whole: Stores, pair: Pair, on: On, connect: Connect
) -> None:
    laptop, phone = await two_devices(on(pair[0]))
    seeing, leaving = await connect(pair[0], laptop.access_token), await connect(pair[1], phone.access_token)
    await leaving.close()
    await asyncio.sleep(1.2)
    whole.redis.freeze()  # two seconds after it left it was to be taken off the list
    await asyncio.sleep(2.5)
    whole.redis.thaw()
    await seeing.wait(
        "device-status", lambda e: e["sessionId"] == phone.session_id and not e["online"], timeout=10
    )

    async def only_the_laptop_is_online() -> bool:
        listed = (await laptop.call("GET", "/sessions")).data["sessions"]
        return {session["sessionId"] for session in listed if session["online"]} == {laptop.session_id}

    # A node that has just met a silent Redis does not ask it for half a second.
    await eventually(only_the_laptop_is_online, "the list says so, too", timeout=30)


async def test_asvs_16_5_3_roles_taken_away_while_redis_is_down_are_gone_from_sockets_when_it_is_back(
    whole: Stores,
    pair: Pair,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
    own_installation: Installation,
) -> None:
    """On HTTP they are gone at once: MongoDB is asked."""
    api = on(pair[0])
    boss = await api.login(await asyncio.to_thread(first_administrator, own_installation, pair[0].url))
    login = await api.login(await api.register())
    path = f"/admin/users/{login.data['user']['userId']}/roles"
    assert (await boss.call("PUT", path, {"roles": ["moderator"]})).status == 200
    live = await connect(pair[1], login.access_token)
    whole.redis.kill()
    assert (await boss.call("PUT", path, {"roles": []})).status == 200
    assert (await login.call("GET", "/admin/users")).code == "forbidden"
    whole.redis.start()
    told = await live.wait("roles-changed", lambda event: event["roles"] == [], timeout=RELAYED_SECONDS)
    assert told["version"] == 2
    await both_ready(http, *pair)
