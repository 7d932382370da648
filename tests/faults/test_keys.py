"""Signing keys: nodes that start together agree on them, and they rotate under running nodes."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import aiohttp
import orjson
import pytest
from pymongo import MongoClient
from support.clients import Api
from support.commands import run_command
from support.nodes import SECRET, Installation, Node, ServiceUrls
from support.waiting import eventually

from auth.core.clock import utc_now
from auth.crypto.signing_keys import KeyRing
from auth.stores.mongo import Mongo
from auth.stores.signing_keys import SigningKeys

Nodes = list[Node]
On = Callable[[Node], Api]


@pytest.fixture(scope="module")
def keyed_installation(services: ServiceUrls) -> Iterator[Installation]:
    installation = Installation(services)
    yield installation
    with MongoClient[Any](services.mongo) as client:
        client.drop_database(installation.name)


@pytest.fixture(scope="module")
def started_together(keyed_installation: Installation) -> Iterator[Nodes]:
    """Three nodes that found the database empty at the same moment."""
    with ThreadPoolExecutor(3) as starters:
        nodes = list(starters.map(lambda _: keyed_installation.start(), range(3)))
    yield nodes
    assert [node.stop() for node in nodes] == [0, 0, 0]


@pytest.fixture
async def empty_database(services: ServiceUrls, database_name: str) -> AsyncIterator[Mongo]:
    mongo = Mongo(services.patient_mongo, database_name, "pymongo")
    yield mongo
    await mongo.close()


async def key_ids(http: aiohttp.ClientSession, node: Node) -> list[str]:
    async with http.get(f"{node.url}/.well-known/jwks.json") as answer:
        return [key["kid"] for key in (await answer.json())["keys"]]


def key_of(token: str) -> str:
    header = token.partition(".")[0]
    return str(orjson.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


async def test_nodes_that_start_at_the_same_moment_agree(
    started_together: Nodes, http: aiohttp.ClientSession, on: On
) -> None:
    published = [await key_ids(http, node) for node in started_together]
    assert published[0] == published[1] == published[2]
    assert len(published[0]) == 2  # the current one and the next
    email = await on(started_together[0]).register()
    for issuer in started_together:
        login = await on(issuer).login(email)
        for verifier in started_together:
            assert (await on(verifier).call("GET", "/me", token=login.access_token)).status == 200


async def test_of_twenty_that_draw_the_first_keys_at_once_all_sign_with_the_same(empty_database: Mongo) -> None:
    store = SigningKeys(empty_database.database)

    async def start() -> KeyRing:
        await store.ensure_indexes()
        ring = KeyRing(store, bytes(32), token_life=timedelta(minutes=15), clock=utc_now)
        return await ring.start()

    rings = await asyncio.gather(*(start() for _ in range(20)))
    for ring in rings:
        await ring.reload()
        await ring.close()
    assert len({ring.current.key_id for ring in rings}) == 1
    assert len({str(ring.jwks()) for ring in rings}) == 1


async def test_keys_rotate_under_running_nodes_and_no_token_is_lost(
    started_together: Nodes, keyed_installation: Installation, http: aiohttp.ClientSession, on: On
) -> None:
    email = await on(started_together[0]).register()
    before = await on(started_together[0]).login(email)
    old, following = await key_ids(http, started_together[0])
    assert key_of(before.access_token) == old
    done = await asyncio.to_thread(run_command, "keys", "rotate", environ=keyed_installation.environ())
    assert (done.status, done.out) == (0, f"signing with {following}\n"), done

    async def signs_with_it(node: Node) -> Any:
        login = await on(node).login(email)
        # Whoever signs with which key meanwhile: every node takes it.
        for verifier in started_together:
            assert (await on(verifier).call("GET", "/me", token=login.access_token)).status == 200
            assert (await on(verifier).call("GET", "/me", token=before.access_token)).status == 200
        return key_of(login.access_token) == following

    await asyncio.gather(
        *(
            eventually(lambda n=node: signs_with_it(n), "the new key signs", timeout=30, every=0.5)
            for node in started_together
        )
    )
    for node in started_together:
        now = await key_ids(http, node)
        assert now[:2] == [old, following]  # the one in use by old tokens, the current one,
        assert len(now) == 3  # and a new next
    assert (await before.refresh()).data["outcome"] == "rotated"
    assert key_of(before.access_token) == following


async def test_asvs_7_4_5_a_reset_ends_every_session_at_once_and_lets_another_secret_in(
    services: ServiceUrls, on: On, connect: Any
) -> None:
    installation = Installation(services)
    node = await asyncio.to_thread(installation.start)
    emails = [await on(node).register() for _ in range(3)]
    logins = [await on(node).login(email) for email in emails for _ in range(2)]
    live = await connect(node.url, logins[0].access_token)
    done = await asyncio.to_thread(run_command, "keys", "reset", environ=installation.environ())
    assert (done.status, done.out.partition(";")[0]) == (0, "ended 6 sessions of 3 accounts"), done
    told = await live.wait("session-revoked")
    assert (told["reason"], told["by"]["kind"]) == ("admin", "system")
    await live.until_gone()
    for login in logins:
        assert (await login.refresh()).code == "session_revoked"
    # The node goes on with the new keys, and a session begun under them is lost with the old secret.
    later = await on(node).login(emails[0])
    assert (await later.call("GET", "/me")).status == 200
    assert await asyncio.to_thread(node.stop) == 0

    another = {"VIGIL_SECRET_KEY": SECRET[::-1]}
    refused = await asyncio.to_thread(run_command, environ=installation.environ(**another))
    assert refused.status == 2
    assert "keys reset" in refused.err
    done = await asyncio.to_thread(run_command, "keys", "reset", environ=installation.environ(**another))
    assert (done.status, done.out.partition(";")[0]) == (0, "ended 1 sessions of 1 accounts"), done
    node = await asyncio.to_thread(lambda: installation.start(**another))
    assert (await on(node).call("GET", "/me", token=later.access_token)).status == 401
    body = {"refreshToken": later.refresh_token}
    assert (
        await on(node).call("POST", "/refresh", body)
    ).code == "invalid_token"  # nothing of it is ours any more
    login = await on(node).login(emails[0])
    (own,) = (await login.call("GET", "/sessions")).data["sessions"]
    assert own["sessionId"] == login.session_id
    assert await asyncio.to_thread(node.stop) == 0
    with MongoClient[Any](services.mongo) as client:
        trail = list(client[installation.name]["audit_events"].find({"kind": "keys_reset"}).sort("at", 1))
        assert [event["details"]["sessions"] for event in trail] == ["6", "1"]
        client.drop_database(installation.name)
