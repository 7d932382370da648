"""Services per module that tests may break, with two nodes; repaired after each test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pymongo import MongoClient
from support.breakable import Stores
from support.clients import Api, Live, Refused
from support.health import both_ready
from support.nodes import Installation, Node, ServiceUrls, drop
from support.waiting import eventually


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """A MongoDB and a Redis used only by this module."""
    folder: Path = tmp_path_factory.mktemp("stores")
    with Stores(folder) as own:
        yield own


@pytest.fixture(scope="module")
def own_installation(stores: Stores) -> Installation:
    """The installation on the module's services."""
    return stores.installation()


@pytest.fixture(scope="module")
def pair(own_installation: Installation) -> Iterator[tuple[Node, Node]]:
    """Two nodes of the module's installation. Afterwards asserts that both stop cleanly."""
    with ThreadPoolExecutor(2) as starters:
        nodes = tuple(starters.map(lambda _: own_installation.start(), range(2)))
    yield nodes[0], nodes[1]
    assert [node.stop() for node in nodes] == [0, 0]


@pytest.fixture
async def whole(stores: Stores, pair: tuple[Node, Node], http: aiohttp.ClientSession) -> AsyncIterator[Stores]:
    """The services, to be broken by one test: ready before it, repaired after it."""
    await both_ready(http, *pair)
    yield stores
    await asyncio.to_thread(stores.mend)


@pytest.fixture
def connect(connect: Callable[..., Awaitable[Live]]) -> Callable[..., Awaitable[Live]]:
    """Opens live sockets, as clients do: again while a node says that it is to be tried again."""

    async def open_one(where: Node | str, token: str | None, **options: Any) -> Live:
        async def attempt() -> Live | None:
            try:
                return await connect(where, token, **options)
            except Refused as refusal:
                if refusal.data["code"] != "unavailable":
                    raise
                return None

        return await eventually(attempt, "a handshake is let in", timeout=30, every=0.02)

    return open_one


@pytest.fixture
def on(http: aiohttp.ClientSession) -> Callable[[Node], Api]:
    """Returns the HTTP API of a node."""
    return lambda node: Api(node.url, http)


@pytest.fixture
def installed(services: ServiceUrls) -> Iterator[Installation]:
    """An installation of one test on the shared services."""
    installation = Installation(services)
    yield installation
    drop(services, installation.name)


@pytest.fixture
def database(installed: Installation) -> Iterator[Any]:
    """The database of `installed`."""
    with MongoClient[Any](installed.services.mongo, tz_aware=True) as client:
        yield client[installed.name]
