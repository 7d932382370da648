"""A killed node, a killed receiver and a lost Redis lose no fact."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from support.backends import Backend, create_key
from support.breakable import Stores
from support.clients import Api, Live
from support.commands import run_command
from support.health import both_ready
from support.nodes import Installation, Node
from support.receiver import Receiver, receiver
from support.waiting import eventually

Pair = tuple[Node, Node]
On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]
# Leases run out, other nodes take over, pauses between repeats: all on a busy machine.
LONG = 90


@pytest.fixture(scope="module")
def key(own_installation: Installation, pair: Pair) -> str:
    """A key that may read facts."""
    return create_key(own_installation, "events")


@pytest.fixture
def backend(key: str, pair: Pair, http: aiohttp.ClientSession) -> Backend:
    """A backend at the first node."""
    return Backend(pair[0].url, key, http)


@pytest.fixture(scope="module")
def endpoint(
    own_installation: Installation, pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Receiver]:
    """A receiver that gets every fact."""
    with receiver(tmp_path_factory.mktemp("receiver")) as started:
        done = run_command("webhooks", "create", started.url + "/", environ=own_installation.environ())
        assert done.status == 0, done
        yield started


async def until(backend: Backend, after: str, user_id: str, *types: str) -> list[Any]:
    """Wait until there are facts of these types about a user; return them all. No number is missing."""

    async def found() -> list[Any] | None:
        answer = await backend.call("GET", f"/events?after={after}&limit=500")
        if answer.status == 503:
            return None
        numbers = [int(each["id"]) for each in answer.data["events"]]
        assert numbers == list(range(int(after) + 1, int(after) + 1 + len(numbers)))
        facts = [each for each in answer.data["events"] if each["data"].get("userId") == user_id]
        return facts if set(types) <= {each["type"] for each in facts} else None

    return await eventually(found, f"{types} of {user_id}", timeout=LONG, every=0.3)


async def newest(backend: Backend) -> str:
    return str((await backend.call("GET", "/events?after=now")).data["next"])


async def test_while_a_receiver_is_dead_its_facts_wait_and_then_arrive_in_order(
    whole: Stores, pair: Pair, own_installation: Installation, endpoint: Receiver, backend: Backend, on: On
) -> None:
    email = await on(pair[1]).register()
    login = await on(pair[1]).login(email)
    await endpoint.until(login.user_id, "session.created")
    endpoint.kill()
    cursor = await newest(backend)
    await login.call("POST", "/logout")
    again = await on(pair[0]).login(email)
    await again.call("POST", "/logout")
    # The other readers do not wait for it.
    await until(backend, cursor, login.user_id, "session.ended", "session.created")
    await asyncio.to_thread(endpoint.start)

    async def arrived() -> list[str] | None:
        facts = [each for each in endpoint.accepted(login.user_id) if each["type"].startswith("session.")]
        types = list({each["id"]: each["type"] for each in facts}.values())
        return types if len(types) == 4 else None

    types = await eventually(arrived, "all four facts", timeout=LONG, every=0.3)
    assert types == ["session.created", "session.ended"] * 2


async def test_a_killed_node_loses_no_fact_and_its_devices_go_offline(
    whole: Stores,
    pair: Pair,
    own_installation: Installation,
    endpoint: Receiver,
    backend: Backend,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
) -> None:
    """The node that dies is the one that numbers facts and sends webhooks: the others are frozen until it does."""
    dying = await asyncio.to_thread(own_installation.start)
    await both_ready(http, dying)
    cursor = await newest(backend)
    for node in pair:
        node.freeze()
    await dying.logged("facts_relay_began", timeout=LONG)
    for node in pair:
        node.thaw()
    await both_ready(http, *pair)
    login = await on(dying).login(await on(dying).register())
    await connect(dying, login.access_token)
    await until(backend, cursor, login.user_id, "presence.online")
    assert (await login.call("POST", "/logout-all")).status == 200
    dying.kill()
    facts = await until(backend, cursor, login.user_id, "session.ended", "presence.offline")
    ids = [each["id"] for each in facts]
    assert len(ids) == len(set(ids))
    await endpoint.until(login.user_id, "session.created", "session.ended", "presence.offline")


async def test_a_redis_that_lost_its_data_loses_no_fact(
    whole: Stores,
    pair: Pair,
    own_installation: Installation,
    backend: Backend,
    on: On,
    connect: Connect,
    http: aiohttp.ClientSession,
) -> None:
    """Not even that a device is offline whose node died together with all that Redis knew of it."""
    dying = await asyncio.to_thread(own_installation.start)
    await both_ready(http, dying)
    cursor = await newest(backend)
    login, other = [await on(node).login(await on(node).register()) for node in (dying, pair[1])]
    await connect(dying, login.access_token)
    stays = await connect(pair[1], other.access_token)
    await until(backend, cursor, login.user_id, "presence.online")
    await until(backend, cursor, other.user_id, "presence.online")
    whole.redis.kill()
    dying.kill()
    ending = await other.call("PATCH", "/me", {"name": "Another name"})
    assert ending.status == 200
    whole.redis.empty()
    whole.redis.start()
    assert [each["type"] for each in await until(backend, cursor, login.user_id, "presence.offline")][-1] == (
        "presence.offline"
    )
    facts = await until(backend, cursor, other.user_id, "user.changed")
    assert "presence.offline" not in [each["type"] for each in facts]
    await stays.close()
    await until(backend, cursor, other.user_id, "presence.offline")
