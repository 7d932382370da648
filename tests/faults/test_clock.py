"""A node whose machine's clock is wrong at its start, or is set wrong while it runs (libfaketime)."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import jwt
import pytest
from support.clients import Api, Login
from support.health import readiness
from support.machine_clock import MachineClock
from support.nodes import Installation, Node, ServiceUrls, drop
from support.waiting import eventually

FIVE_MINUTES = 300


@pytest.fixture(scope="module")
def shipped(services: ServiceUrls) -> Iterator[Installation]:
    """Nodes that are started by the command line, so that libfaketime can be loaded before them."""
    installation = Installation(services, is_as_shipped=True)
    yield installation
    drop(services, installation.name)


async def test_a_start_with_a_wrong_clock_is_refused_with_one_line(shipped: Installation, tmp_path: Path) -> None:
    clock = MachineClock(tmp_path)
    clock.set(-FIVE_MINUTES)
    with pytest.raises(AssertionError, match="the node did not start") as refused:
        await asyncio.to_thread(shipped.start, **clock.environ)
    [_, line] = str(refused.value).splitlines()
    assert "the clock of this machine differs: -300.0 s from MongoDB's, -300.0 s from Redis's" in line


async def test_a_running_node_ignores_that_its_clock_is_set_wrong_and_is_not_ready_until_it_is_right(
    shipped: Installation, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    clock = MachineClock(tmp_path)
    node: Node = await asyncio.to_thread(shipped.start, **clock.environ)
    try:
        api = Api(node.url, http)
        login = await api.login(await api.register())
        for ahead in (FIVE_MINUTES, -FIVE_MINUTES):
            clock.set(ahead)
            await eventually(
                lambda: is_unready_by_its_clock(http, node), "it says that its clock is wrong", timeout=30
            )
            old = login.refresh_token
            # A step ahead looks like a pause at first, after which clients are asked to repeat.
            await eventually(lambda: is_refreshed(login), "it refreshes", timeout=30)
            issued = jwt.decode(login.access_token, options={"verify_signature": False})["iat"]
            assert abs(issued - time.time()) < FIVE_MINUTES / 2
            assert (await login.call("GET", "/me")).status == 200
            # A second tab: by a clock that had gone five minutes on, this would be a theft.
            assert (await api.call("POST", "/refresh", {"refreshToken": old})).status == 200
        clock.set(0)
        await eventually(lambda: is_ready(http, node), "the node is ready again", timeout=30)
        assert len(await node.logged("clock_is_wrong", "+300.0 s from MongoDB's")) == 1
    finally:
        assert await asyncio.to_thread(node.stop) == 0


async def is_unready_by_its_clock(http: aiohttp.ClientSession, node: Node) -> bool:
    answer = await readiness(http, node)
    messages = {each["field"]: each["message"] for each in answer.body.get("errors", [])}
    return answer.status == 503 and "synchronise" in messages.get("clock", "")


async def is_refreshed(login: Login) -> bool:
    answer = await login.refresh()
    assert answer.status in {200, 503}, answer.body
    return answer.status == 200


async def is_ready(http: aiohttp.ClientSession, node: Node) -> bool:
    return (await readiness(http, node)).status == 200
