"""Second factor secrets in MongoDB: each code is accepted once, under concurrency, on either driver."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from auth.core.clock import utc_now
from auth.stores.factor_secrets import FactorSecrets
from auth.stores.mongo import Mongo

NOW = utc_now() + timedelta(days=1)
LATER = NOW + timedelta(minutes=10)
SEALED = b"sealed secret"
CODES = [secrets.token_bytes(32) for _ in range(10)]


@pytest.fixture
def store(mongo: Mongo) -> FactorSecrets:
    return FactorSecrets(mongo.database)


@pytest.fixture
async def two_nodes(
    services: Any, indexed_database: str, store: FactorSecrets
) -> AsyncIterator[list[FactorSecrets]]:
    """The same collection accessed by two nodes, one on each driver."""
    both = [Mongo(services.patient_mongo, indexed_database, driver) for driver in ("motor", "pymongo")]
    yield [FactorSecrets(each.database) for each in both]
    for each in both:
        await each.close()


async def enable(store: FactorSecrets, *, sealed: bytes = SEALED, step: int = 100) -> None:
    await store.begin_totp("ada", sealed_secret=sealed, expires_at=LATER)
    assert await store.enable_totp("ada", sealed_secret=sealed, used_step=step, code_digests=CODES, now=NOW)


async def test_a_user_without_factors_has_none(store: FactorSecrets) -> None:
    kept = await store.of_user("ada")
    assert (kept.totp, kept.codes_left) == (None, None)
    assert not await store.use_step("ada", sealed_secret=SEALED, step=1)
    assert await store.use_code("ada", CODES[0]) is None
    assert not await store.disable_totp("ada")
    await store.forget_codes("ada")


async def test_a_pending_secret_is_not_enabled(store: FactorSecrets) -> None:
    await store.begin_totp("ada", sealed_secret=SEALED, expires_at=LATER)
    assert await store.waiting_totp("ada", now=NOW) == SEALED
    assert (await store.of_user("ada")).totp is None
    assert not await store.use_step("ada", sealed_secret=SEALED, step=1)


async def test_a_pending_secret_expires(store: FactorSecrets) -> None:
    await store.begin_totp("ada", sealed_secret=SEALED, expires_at=LATER)
    assert await store.waiting_totp("ada", now=LATER) is None
    assert not await store.enable_totp("ada", sealed_secret=SEALED, used_step=1, code_digests=CODES, now=LATER)


async def test_an_unfinished_setup_is_removed(store: FactorSecrets, mongo: Mongo) -> None:
    await store.begin_totp("ada", sealed_secret=SEALED, expires_at=LATER)
    assert (await mongo.database["factor_secrets"].find_one({"_id": "ada"}))["removeAt"] == LATER
    await enable(store)
    assert "removeAt" not in await mongo.database["factor_secrets"].find_one({"_id": "ada"})
    await store.begin_totp("ada", sealed_secret=b"another", expires_at=LATER)
    assert "removeAt" not in await mongo.database["factor_secrets"].find_one({"_id": "ada"})


async def test_the_ttl_index_exists(store: FactorSecrets, mongo: Mongo) -> None:
    indexes = await mongo.database["factor_secrets"].index_information()
    assert indexes["removal"]["expireAfterSeconds"] == 60


async def test_a_later_secret_replaces_the_pending_one(store: FactorSecrets) -> None:
    await store.begin_totp("ada", sealed_secret=SEALED, expires_at=LATER)
    await store.begin_totp("ada", sealed_secret=b"another", expires_at=LATER)
    assert not await store.enable_totp("ada", sealed_secret=SEALED, used_step=1, code_digests=CODES, now=NOW)
    assert await store.enable_totp("ada", sealed_secret=b"another", used_step=1, code_digests=CODES, now=NOW)


async def test_after_concurrent_setups_one_secret_is_pending(two_nodes: list[FactorSecrets]) -> None:
    begun = [b"%d" % number for number in range(20)]
    await asyncio.gather(
        *(two_nodes[i % 2].begin_totp("ada", sealed_secret=each, expires_at=LATER) for i, each in enumerate(begun))
    )
    assert await two_nodes[0].waiting_totp("ada", now=NOW) in begun


async def test_concurrent_calls_enable_a_secret_once(two_nodes: list[FactorSecrets]) -> None:
    """Otherwise the ten codes shown to one caller would be void already."""
    await two_nodes[0].begin_totp("ada", sealed_secret=SEALED, expires_at=LATER)
    sets = [[secrets.token_bytes(32)] for _ in range(20)]
    done = await asyncio.gather(
        *(
            two_nodes[i % 2].enable_totp("ada", sealed_secret=SEALED, used_step=1, code_digests=each, now=NOW)
            for i, each in enumerate(sets)
        )
    )
    assert sum(done) == 1
    assert await two_nodes[0].use_code("ada", sets[done.index(True)][0]) == 0


async def test_asvs_6_5_1_of_fifty_that_bring_one_code_on_two_nodes_one_is_let_in(
    two_nodes: list[FactorSecrets],
) -> None:
    await enable(two_nodes[0])
    taken = await asyncio.gather(
        *(two_nodes[i % 2].use_step("ada", sealed_secret=SEALED, step=101) for i in range(50))
    )
    assert sum(taken) == 1


async def test_asvs_6_5_1_the_code_that_enabled_it_is_used_up(store: FactorSecrets) -> None:
    await enable(store, step=100)
    assert not await store.use_step("ada", sealed_secret=SEALED, step=100)
    assert await store.use_step("ada", sealed_secret=SEALED, step=101)


async def test_an_earlier_step_is_not_accepted(store: FactorSecrets) -> None:
    await enable(store, step=100)
    assert await store.use_step("ada", sealed_secret=SEALED, step=102)
    assert not await store.use_step("ada", sealed_secret=SEALED, step=101)


async def test_codes_of_a_replaced_secret_are_rejected(store: FactorSecrets) -> None:
    await enable(store)
    await enable(store, sealed=b"another")
    assert not await store.use_step("ada", sealed_secret=SEALED, step=500)
    assert await store.use_step("ada", sealed_secret=b"another", step=500)


async def test_asvs_6_5_1_of_fifty_that_bring_one_recovery_code_one_is_let_in(
    two_nodes: list[FactorSecrets],
) -> None:
    await enable(two_nodes[0])
    left = await asyncio.gather(*(two_nodes[i % 2].use_code("ada", CODES[3]) for i in range(50)))
    assert [each for each in left if each is not None] == [9]


async def test_ten_concurrent_codes_each_report_how_many_are_left(
    two_nodes: list[FactorSecrets],
) -> None:
    await enable(two_nodes[0])
    left = await asyncio.gather(*(two_nodes[i % 2].use_code("ada", code) for i, code in enumerate(CODES)))
    assert sorted(each for each in left if each is not None) == list(range(10))
    assert (await two_nodes[0].of_user("ada")).codes_left == 0


async def test_another_users_code_is_rejected(store: FactorSecrets) -> None:
    await enable(store)
    assert await store.use_code("bob", CODES[0]) is None


async def test_new_codes_make_the_old_ones_void(store: FactorSecrets) -> None:
    await enable(store)
    await store.replace_codes("ada", [b"new"])
    assert await store.use_code("ada", CODES[0]) is None
    assert await store.use_code("ada", b"new") == 0


async def test_without_the_app_the_codes_stay_until_they_are_forgotten(store: FactorSecrets) -> None:
    await enable(store)
    await store.forget_codes("ada")
    assert (await store.of_user("ada")).codes_left == 10
    assert await store.disable_totp("ada")
    assert not await store.disable_totp("ada")
    kept = await store.of_user("ada")
    assert (kept.totp, kept.codes_left) == (None, 10)
    await store.forget_codes("ada")
    assert (await store.of_user("ada")).codes_left is None


async def test_the_repr_contains_no_secret(store: FactorSecrets) -> None:
    await enable(store)
    assert "sealed" not in repr(await store.of_user("ada"))
