"""A node for forgery tests, with a valid token and its signing key, read from the node's database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from pymongo import MongoClient

from auth.core.clock import utc_now
from auth.crypto.signing_keys import KeyRing
from auth.stores.mongo import Mongo
from auth.stores.signing_keys import SigningKeys
from support.clients import Api
from support.forgeries import Genuine, genuine_of
from support.keys import TOKEN_LIFE, sealing_key
from support.nodes import SECRET, Installation, Node, ServiceUrls


@dataclass(frozen=True)
class Forging:
    """The node, and the valid token that forgeries are made from."""

    node: Node
    genuine: Genuine


@contextmanager
def forging(services: ServiceUrls) -> Iterator[Forging]:
    """Start the node and log in. Afterwards assert that the node logged no errors or failures."""
    installation = Installation(services)
    node = installation.start(VIGIL_LOG_LEVEL="debug")
    try:
        yield Forging(node, asyncio.run(_genuine(installation, node)))
        assert node.stop() == 0
        for sign in ("Traceback", "_failed", '"level":"error"'):
            assert sign not in node.text(), node.text()
    finally:
        node.stop()
        with MongoClient[Any](services.mongo) as client:
            client.drop_database(installation.name)


async def _genuine(installation: Installation, node: Node) -> Genuine:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        api = Api(node.url, http)
        login = await api.login(await api.register())
    mongo = Mongo(installation.services.mongo, installation.name, "pymongo")
    ring = KeyRing(SigningKeys(mongo.database), sealing_key(SECRET.encode()), token_life=TOKEN_LIFE, clock=utc_now)
    await ring.reload()
    await mongo.close()
    return genuine_of(login.access_token, ring)
