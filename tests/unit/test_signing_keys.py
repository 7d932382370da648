"""The signing keys: current, next, those still in use; how nodes agree on them and who can open them.

On the real store and both drivers: what is promised here is promised across nodes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson.binary import Binary
from structlog.testing import capture_logs
from support.keys import TOKEN_LIFE, sealing_key
from support.session_world import Time, make_session

from auth.core.clock import Clock
from auth.core.errors import InvalidToken, Unavailable
from auth.crypto import signing_keys as keys
from auth.crypto.signing_keys import RELOAD_SECONDS, KeyRing, KeySecretChanged, SigningKey, choose_current
from auth.crypto.tokens import AccessTokens
from auth.stores.mongo import Mongo
from auth.stores.signing_keys import SigningKeys

OTHER_SECRET = b"another-root-secret-0123456789abcdef"


class WatchedKeys(SigningKeys):
    """The real store; counts how often it is read, and is down when told to be."""

    reads = 0
    down = False

    async def all(self) -> list[SigningKey]:
        self.reads += 1
        if self.down:
            raise Unavailable
        return await super().all()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store(mongo: Mongo) -> WatchedKeys:
    return WatchedKeys(mongo.database)


def ring_of(store: SigningKeys, clock: Clock, secret: bytes | None = None) -> KeyRing:
    sealing = sealing_key() if secret is None else sealing_key(secret)
    return KeyRing(store, sealing, token_life=TOKEN_LIFE, clock=clock)


@pytest.fixture
async def start(store: WatchedKeys, time: Time) -> AsyncIterator[Any]:
    """Starts rings on the test's database, one a node, and closes them behind it."""
    started: list[KeyRing] = []

    async def start_one(secret: bytes | None = None) -> KeyRing:
        ring = ring_of(store, time, secret)
        started.append(ring)
        return await ring.start()

    yield start_one
    for ring in started:
        await ring.close()


Start = Callable[..., Any]


def served(ring: KeyRing) -> list[int]:
    """The sequence numbers of the keys in the JWKS."""
    return [int(jwk["kid"].partition("-")[0]) for jwk in ring.jwks()["keys"]]


def tokens_of(ring: KeyRing) -> AccessTokens:
    return AccessTokens(ring, issuer="vigil", audience="vigil", lifetime=timedelta(minutes=15))


async def test_the_first_node_makes_a_current_and_a_next_key(start: Start, store: WatchedKeys, time: Time) -> None:
    ring = await start()
    current, upcoming = await store.all()
    assert (current.activated_at, upcoming.activated_at) == (time.now, None)
    assert ring.current.key_id == current.key_id
    assert served(ring) == [1, 2]


async def test_a_restart_changes_nothing(start: Start, store: WatchedKeys) -> None:
    first = await start()
    kept = await store.all()
    again = await start()
    assert await store.all() == kept
    assert again.current.key_id == first.current.key_id
    assert again.jwks() == first.jwks()


async def test_nodes_that_start_together_agree(start: Start) -> None:
    rings = await asyncio.gather(*(start() for _ in range(8)))
    for ring in rings:
        await ring.reload()
    assert len({ring.current.key_id for ring in rings}) == 1
    assert {tuple(jwk["kid"] for jwk in ring.jwks()["keys"]) for ring in rings} == {
        tuple(jwk["kid"] for jwk in rings[0].jwks()["keys"])
    }
    assert served(rings[0]) == [1, 2]


async def test_rotating_signs_with_the_next_key_and_draws_another(start: Start, time: Time) -> None:
    ring = await start()
    old, upcoming = [jwk["kid"] for jwk in ring.jwks()["keys"]]
    assert ring.current.key_id == old
    time.go(minutes=1)
    assert await ring.rotate() == upcoming == ring.current.key_id
    assert served(ring) == [1, 2, 3]


async def test_the_next_key_is_known_everywhere_before_it_signs(start: Start, time: Time) -> None:
    """A token under the new key verifies on a node that has heard nothing of the rotation."""
    here, there = await start(), await start()
    await here.rotate()
    token, _ = tokens_of(here).mint(make_session(time.now), now=time.now)
    assert there.current.key_id != here.current.key_id
    assert await tokens_of(there).verify(token, now=time.now)


async def test_a_token_of_the_old_key_outlives_the_rotation(start: Start, time: Time) -> None:
    here, there = await start(), await start()
    token, _ = tokens_of(here).mint(make_session(time.now), now=time.now)
    await there.rotate()
    await here.reload()
    assert await tokens_of(here).verify(token, now=time.now)
    assert await tokens_of(there).verify(token, now=time.now)


async def test_a_retired_key_stays_as_long_as_anything_it_signed(
    start: Start, store: WatchedKeys, mongo: Mongo, time: Time
) -> None:
    """The last token may be signed by a node that hears of the rotation two reloads later."""
    ring = await start()
    old = ring.current.key_id
    rotated_at = time.go(hours=1)
    await ring.rotate()
    document = await mongo.database["signing_keys"].find_one({"_id": old})
    assert document["purgeAt"] == rotated_at + TOKEN_LIFE + timedelta(seconds=2 * RELOAD_SECONDS)
    time.go(hours=1)
    await ring.rotate()
    again = await mongo.database["signing_keys"].find_one({"_id": old})
    assert again["purgeAt"] == document["purgeAt"], "a second rotation does not prolong it"
    current = await mongo.database["signing_keys"].find_one({"_id": ring.current.key_id})
    assert "purgeAt" not in current


async def test_mongodb_removes_a_retired_key_and_nodes_then_forget_it(
    start: Start, mongo: Mongo, time: Time
) -> None:
    time.go(days=-1)
    ring = await start()
    token, _ = tokens_of(ring).mint(make_session(time.now), now=time.now)
    old = ring.current.key_id
    await ring.rotate()
    async with asyncio.timeout(20):
        while await mongo.database["signing_keys"].find_one({"_id": old}):
            await asyncio.sleep(0.1)
    await ring.reload()
    assert served(ring) == [2, 3]
    with pytest.raises(InvalidToken):
        await tokens_of(ring).verify(token, now=time.now)


async def test_racing_rotations_leave_one_current_and_one_next_key(start: Start, store: WatchedKeys) -> None:
    rings = [await start() for _ in range(4)]
    await asyncio.gather(*(ring.rotate() for ring in rings))
    kept = await store.all()
    assert [key.sequence for key in kept] == list(range(1, len(kept) + 1))
    assert len(kept) >= 3, "at least one of them rotated"
    assert [key.activated_at is not None for key in kept] == [True] * (len(kept) - 1) + [False]
    for ring in rings:
        await ring.reload()
    assert {ring.current.key_id for ring in rings} == {kept[-2].key_id}


async def test_a_crash_between_two_writes_is_made_good_at_the_next_start(
    start: Start, store: WatchedKeys, mongo: Mongo
) -> None:
    """Without a next key a rotation would be a surprise to every service that caches the JWKS."""
    first = await start()
    await mongo.database["signing_keys"].delete_one({"sequence": 2})
    again = await start()
    assert served(again) == [1, 2]
    assert again.current.key_id == first.current.key_id
    assert (await again.rotate()).startswith("2-")


async def test_other_nodes_follow(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "RELOAD_SECONDS", 0.05)
    here, there = await start(), await start()
    await here.rotate()
    async with asyncio.timeout(30):
        while there.current.key_id != here.current.key_id:
            await asyncio.sleep(0.02)


async def test_following_survives_an_outage_and_whatever_else_goes_wrong(
    start: Start, store: WatchedKeys, monkeypatch: pytest.MonkeyPatch, mongo: Mongo
) -> None:
    """A node keeps the keys it knows; it must hear of a rotation after any trouble."""
    monkeypatch.setattr(keys, "RELOAD_SECONDS", 0.05)
    here, there = await start(), await start()
    known = there.jwks()
    with capture_logs() as logs:
        store.down = True
        await asyncio.sleep(0.2)
        assert there.jwks() == known
        store.down = False
        await store.add(replace((await store.all())[-1], key_id="3-bad", sequence=3, sealed=b"x" * 60))
        await asyncio.sleep(0.2)
        assert there.jwks() == known
        await mongo.database["signing_keys"].delete_one({"_id": "3-bad"})
        await here.rotate()
        async with asyncio.timeout(30):
            while there.current.key_id != here.current.key_id:
                await asyncio.sleep(0.02)
    assert {entry["event"] for entry in logs} == {"signing_keys_not_reloaded"}


async def test_an_unknown_key_id_costs_a_query_every_two_seconds_at_most(
    start: Start, store: WatchedKeys, time: Time
) -> None:
    ring = await start()
    time.go(seconds=10)
    before = store.reads
    for number in range(500):
        assert await ring.find(f"9-{number}") is None
    assert store.reads == before + 1
    time.go(seconds=1.999)
    assert await ring.find("9-x") is None
    assert store.reads == before + 1
    time.go(seconds=0.001)
    assert await ring.find("9-x") is None
    assert store.reads == before + 2


async def test_a_known_key_id_costs_no_query(start: Start, store: WatchedKeys, time: Time) -> None:
    ring = await start()
    time.go(hours=1)
    before = store.reads
    for jwk in ring.jwks()["keys"]:
        assert await ring.find(jwk["kid"])
    assert store.reads == before


async def test_a_key_drawn_elsewhere_is_found_when_its_first_token_comes(start: Start, time: Time) -> None:
    here, there = await start(), await start()
    await here.rotate()
    await here.rotate()
    time.go(seconds=2)
    token, _ = tokens_of(here).mint(make_session(time.now), now=time.now)
    assert await tokens_of(there).verify(token, now=time.now)


async def test_with_the_store_down_known_keys_verify_and_unknown_ones_are_not_judged(
    start: Start, store: WatchedKeys, time: Time
) -> None:
    """`unavailable` and not `invalid_token`: nobody may be logged out by an outage."""
    ring = await start()
    token, _ = tokens_of(ring).mint(make_session(time.now), now=time.now)
    store.down = True
    time.go(seconds=10)
    assert await tokens_of(ring).verify(token, now=time.now)
    with pytest.raises(Unavailable):
        await ring.find("9-unknown")


async def test_another_secret_does_not_open_the_keys(start: Start) -> None:
    await start()
    with pytest.raises(KeySecretChanged, match="VIGIL_SECRET_KEY"):
        await start(OTHER_SECRET)


async def test_rotating_with_another_secret_changes_nothing(start: Start, store: WatchedKeys, time: Time) -> None:
    """A key sealed with it would keep every node from starting."""
    await start()
    kept = await store.all()
    with pytest.raises(KeySecretChanged):
        await ring_of(store, time, OTHER_SECRET).rotate()
    assert await store.all() == kept
    await start()


async def test_of_two_first_nodes_with_different_secrets_one_wins_and_can_start_again(
    start: Start, store: WatchedKeys
) -> None:
    outcomes = await asyncio.gather(start(), start(OTHER_SECRET), return_exceptions=True)
    lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in lost] == [KeySecretChanged]
    winner = None if isinstance(outcomes[0], KeyRing) else OTHER_SECRET
    assert served(await start(winner)) == [1, 2]


async def test_a_running_node_does_not_fail_requests_for_a_key_it_cannot_open(
    start: Start, store: WatchedKeys, time: Time
) -> None:
    ring = await start()
    await store.add(replace((await store.all())[-1], key_id="3-bad", sequence=3, sealed=b"x" * 60))
    time.go(seconds=10)
    with capture_logs() as logs:
        assert await ring.find("3-bad") is None
    assert logs[0]["log_level"] == "error"
    assert served(ring) == [1, 2]


async def test_a_sealed_key_is_bound_to_its_id(start: Start, store: WatchedKeys, mongo: Mongo) -> None:
    """Whoever can write to the database cannot put a retired private key under the current id."""
    await start()
    first, second = await store.all()
    await mongo.database["signing_keys"].update_one(
        {"_id": first.key_id}, {"$set": {"sealed": Binary(second.sealed)}}
    )
    with pytest.raises(KeySecretChanged):
        await start()


async def test_a_public_key_put_into_the_database_is_not_published(
    start: Start, store: WatchedKeys, mongo: Mongo
) -> None:
    """The JWKS is derived from the sealed halves: other services trust it."""
    honest = (await start()).jwks()
    await mongo.database["signing_keys"].update_many({}, {"$set": {"public": Binary(bytes(32))}})
    assert (await start()).jwks() == honest


async def test_the_private_half_is_nowhere_in_the_database(start: Start, mongo: Mongo) -> None:
    ring = await start()
    private = ring.current.private.private_bytes_raw()
    async for document in mongo.database["signing_keys"].find():
        for value in document.values():
            assert private not in (value if isinstance(value, bytes) else str(value).encode())


async def test_no_key_signs_before_there_is_one(store: WatchedKeys, time: Time) -> None:
    with pytest.raises(Unavailable):
        _ = ring_of(store, time).current
    assert ring_of(store, time).jwks() == {"keys": []}


def test_the_newest_activated_key_signs() -> None:
    now = Time().now
    made = [
        SigningKey(f"{number}-x", number, b"", b"", now, now if active else None)
        for number, active in [(1, True), (2, True), (3, False)]
    ]
    chosen = choose_current(made)
    assert chosen is not None
    assert chosen.key_id == "2-x"
    assert choose_current(made[2:]) is None
    assert choose_current([]) is None
