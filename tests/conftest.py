"""Real services for every test: private ones, or those that VIGIL_MONGO_URL and VIGIL_REDIS_URL name."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis
import pytest
import redis.asyncio
from support.clients import Api, Live
from support.nodes import QUICK_SERVER, Installation, Node, ServiceUrls, drop

from auth.stores.mongo import Mongo

# How long an example takes says something about the machine, not about the rule.
hypothesis.settings.register_profile("vigil", deadline=None)
hypothesis.settings.load_profile("vigil")


@pytest.fixture(scope="session")
def services() -> Iterator[ServiceUrls]:
    """A real MongoDB and a real Valkey for the whole run."""
    mongo, valkey = os.environ.get("VIGIL_MONGO_URL"), os.environ.get("VIGIL_REDIS_URL")
    if mongo and valkey:
        yield ServiceUrls(mongo, valkey)
        return
    from embedded import EmbeddedServices

    with tempfile.TemporaryDirectory(prefix="vigil-tests-") as folder, asyncio.Runner() as runner:
        embedded = EmbeddedServices(Path(folder))
        started = runner.run(embedded.start())
        yield ServiceUrls(started.mongo_url, started.redis_url)
        runner.run(embedded.stop())


@pytest.fixture
def database_name(services: ServiceUrls) -> Iterator[str]:
    """A database of the test's own, dropped behind it."""
    name = f"test_{secrets.token_hex(6)}"
    yield name
    drop(services, name)


@pytest.fixture(params=["motor", "pymongo"])
async def mongo(request: pytest.FixtureRequest, services: ServiceUrls, database_name: str) -> AsyncIterator[Mongo]:
    """The database through either driver: a store test runs on both."""
    connection = Mongo(services.mongo, database_name, request.param)
    yield connection
    await connection.close()


@pytest.fixture
def redis_prefix() -> str:
    """A key prefix of the test's own, so that tests share one Redis without meeting."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
async def redis_client(services: ServiceUrls) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the real Redis."""
    client = redis.asyncio.Redis.from_url(services.redis)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def shared_installation(services: ServiceUrls) -> Installation:
    """What the shared nodes share."""
    return Installation(services, QUICK_SERVER)


@pytest.fixture(scope="session")
def shared_nodes(services: ServiceUrls, shared_installation: Installation) -> Iterator[tuple[Node, Node]]:
    """Two nodes on one MongoDB and Redis: the normal set-up. Shared: tests make accounts of their own."""
    installation = shared_installation
    with ThreadPoolExecutor() as both:
        first, second = both.map(lambda _: installation.start(), range(2))
    yield first, second
    assert [first.stop(), second.stop()] == [0, 0]
    drop(services, installation.name)


@pytest.fixture(scope="session")
def node(shared_nodes: tuple[Node, Node]) -> Node:
    """One of the two."""
    return shared_nodes[0]


@pytest.fixture
def installation(services: ServiceUrls) -> Iterator[Installation]:
    """An installation of the test's own, without nodes yet; `start` those it needs by `start_node`."""
    own = Installation(services, QUICK_SERVER)
    yield own
    drop(services, own.name)


@pytest.fixture
def start_node(installation: Installation) -> Iterator[Callable[..., Node]]:
    """Starts nodes of the test's own installation, with settings of its own; ends them behind it."""
    started: list[Node] = []

    def start(*arguments: str, **settings: str) -> Node:
        started.append(installation.start(*arguments, **settings))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client without a cookie jar: tests keep cookies themselves."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
def api(node: Node, http: aiohttp.ClientSession) -> Api:
    """The HTTP API of the first shared node."""
    return Api(node.url, http)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Live]]]:
    """Opens live sockets and closes them behind the test."""
    opened: list[Live] = []

    async def open_one(where: Node | str, token: str | None, **options: Any) -> Live:
        live = await Live.connect(where if isinstance(where, str) else where.url, token, **options)
        opened.append(live)
        return live

    yield open_one
    for live in opened:
        await live.close()
