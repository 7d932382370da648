"""Common fixtures. Tests use real services: embedded ones, or those of VIGIL_MONGO_URL and VIGIL_REDIS_URL."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis
import pytest
import redis.asyncio
from support.clients import Api, Live
from support.databases import empty, make_indexes, memory
from support.nodes import Installation, Node, ServiceUrls, drop
from support.redis_forms import FORMS
from support.valkeys import ThreeMasters, WatchedMaster

from auth.stores.mongo import Mongo

# No deadline: an example's duration depends on the machine.
hypothesis.settings.register_profile("vigil", deadline=None)
hypothesis.settings.load_profile("vigil")


# The session-scoped fixtures of the tests run so far that have not ended.
_shared: set[pytest.FixtureDef[Any]] = set()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the session-scoped fixtures of a folder after its last test.

    An idle node takes 2 % of a core, with what it asks of the stores. (Fixtures of scope `package` need
    `__init__.py`, which would make a second package `realtime`.)
    """
    if not isinstance(item, pytest.Function) or nextitem is None:
        return
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        _shared.update(each for each in definitions if each.scope == "session")
    for fixture in [each for each in _shared if not nextitem.nodeid.startswith(each.baseid)]:
        fixture.finish(item._request)  # type: ignore[arg-type] # it only asks for the node
        _shared.remove(fixture)


@pytest.fixture(scope="session")
def services() -> Iterator[ServiceUrls]:
    """A real MongoDB and Valkey for the whole run."""
    mongo, valkey = os.environ.get("VIGIL_MONGO_URL"), os.environ.get("VIGIL_REDIS_URL")
    if mongo and valkey:
        yield ServiceUrls(mongo, valkey)
        return
    from runtime.embedded.services import EmbeddedServices

    data_folder = tempfile.TemporaryDirectory(prefix="vigil-tests-", dir=memory())
    with data_folder as folder, asyncio.Runner() as runner:
        embedded = EmbeddedServices(Path(folder))
        started = runner.run(embedded.start())
        yield ServiceUrls(started.mongo_url, started.redis_url)
        runner.run(embedded.stop())


@pytest.fixture(scope="session")
def watched_master() -> Iterator[WatchedMaster]:
    """A master, two replicas and three sentinels for the whole run; tests do not break them."""
    data_folder = tempfile.TemporaryDirectory(prefix="vigil-tests-", dir=memory())
    with data_folder as folder, WatchedMaster(Path(folder)) as servers:
        yield servers.begin()


@pytest.fixture(scope="session")
def three_masters() -> Iterator[ThreeMasters]:
    """A cluster of three masters for the whole run; tests do not break it."""
    data_folder = tempfile.TemporaryDirectory(prefix="vigil-tests-", dir=memory())
    with data_folder as folder, ThreeMasters(Path(folder)) as servers:
        yield servers.begin(replicas=False)


@pytest.fixture(params=FORMS)
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of a Redis of each form."""
    match request.param:
        case "server":
            return str(request.getfixturevalue("services").redis)
        case "sentinel":
            return str(request.getfixturevalue("watched_master").url)
        case _:
            return str(request.getfixturevalue("three_masters").url)


@pytest.fixture
def database_name(services: ServiceUrls) -> Iterator[str]:
    """The name of a separate database, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    yield name
    drop(services, name)


@pytest.fixture(scope="session")
def indexed_database(services: ServiceUrls) -> Iterator[str]:
    """A shared database with all indexes: creating them takes longer than most tests."""
    name = f"test_{secrets.token_hex(6)}"
    asyncio.run(make_indexes(services, name))
    yield name
    drop(services, name)


@pytest.fixture
async def mongo(services: ServiceUrls, indexed_database: str) -> AsyncIterator[Mongo]:
    """An empty database through the default driver; tests/stores tests both drivers."""
    empty(services, indexed_database)
    connection = Mongo(services.patient_mongo, indexed_database, "pymongo")
    yield connection
    await connection.close()


@pytest.fixture
def redis_prefix() -> str:
    """A unique key prefix, so that tests can share one Redis."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
async def redis_client(services: ServiceUrls) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the real Redis."""
    client = redis.asyncio.Redis.from_url(services.redis)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def shared_installation(services: ServiceUrls) -> Installation:
    """The installation of the shared nodes."""
    return Installation(services)


@pytest.fixture(scope="session")
def node(services: ServiceUrls, shared_installation: Installation) -> Iterator[Node]:
    """A node for the whole run. Shared between tests, which create their own accounts."""
    node = shared_installation.start()
    yield node
    assert node.stop() == 0
    drop(services, shared_installation.name)


@pytest.fixture(scope="module")
def shared_nodes(shared_installation: Installation, node: Node) -> Iterator[tuple[Node, Node]]:
    """The shared node, and another one beside it, which ends with the module: most have no use for it."""
    second = shared_installation.start()
    yield node, second
    assert second.stop() == 0


@pytest.fixture
def installation(services: ServiceUrls) -> Iterator[Installation]:
    """A separate installation without nodes; start them with `start_node`."""
    own = Installation(services)
    yield own
    drop(services, own.name)


@pytest.fixture
def start_node(installation: Installation) -> Iterator[Callable[..., Node]]:
    """Starts nodes of the test's own installation with given settings; stops them after the test."""
    started: list[Node] = []

    def start(*arguments: str, **settings: str) -> Node:
        started.append(installation.start(*arguments, **settings))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client without a cookie jar: tests handle cookies themselves."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
def api(node: Node, http: aiohttp.ClientSession) -> Api:
    """The HTTP API of the first shared node."""
    return Api(node.url, http)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Live]]]:
    """Opens live sockets; closes them after the test."""
    opened: list[Live] = []

    async def open_one(where: Node | str, token: str | None, **options: Any) -> Live:
        live = await Live.connect(where if isinstance(where, str) else where.url, token, **options)
        opened.append(live)
        return live

    yield open_one
    for live in opened:
        await live.close()
