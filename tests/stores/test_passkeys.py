"""Passkeys in MongoDB: one owner each, and a sign count that only increases."""

import asyncio
from dataclasses import replace

import pytest

from auth.core.clock import utc_now
from auth.core.models import Passkey
from auth.stores.mongo import Mongo
from auth.stores.passkeys import Passkeys, PasskeyTaken

NOW = utc_now()
LAPTOP = Passkey(b"laptop", "ada", b"key", 5, "Laptop", ("internal",), False, NOW)


@pytest.fixture
async def passkeys(mongo: Mongo) -> Passkeys:
    store = Passkeys(mongo.database)
    await store.add(LAPTOP)
    return store


async def test_only_one_of_several_with_the_same_id_is_stored(passkeys: Passkeys) -> None:
    phone = replace(LAPTOP, credential_id=b"phone")
    added = await asyncio.gather(
        *(passkeys.add(replace(phone, user_id=f"user {n}")) for n in range(10)), return_exceptions=True
    )
    assert added.count(None) == 1
    assert sum(isinstance(each, PasskeyTaken) for each in added) == 9


async def test_only_one_of_many_uses_with_the_same_count_is_recorded(passkeys: Passkeys) -> None:
    used = await asyncio.gather(
        *(passkeys.use(b"laptop", sign_count=6, backed_up=True, now=NOW) for _ in range(20))
    )
    assert used.count(True) == 1
    assert await passkeys.get(b"laptop") == replace(LAPTOP, sign_count=6, backed_up=True, last_used_at=NOW)


@pytest.mark.parametrize("count", [0, 4, 5])
async def test_a_count_that_does_not_increase_is_rejected(passkeys: Passkeys, count: int) -> None:
    assert not await passkeys.use(b"laptop", sign_count=count, backed_up=False, now=NOW)
    assert await passkeys.get(b"laptop") == LAPTOP


async def test_another_users_passkey_cannot_be_renamed_or_removed(passkeys: Passkeys) -> None:
    assert await passkeys.rename("bob", b"laptop", name="Mine") is None
    assert await passkeys.remove("bob", b"laptop") is None
    assert await passkeys.of_user("ada", limit=5) == [LAPTOP]
    assert (await passkeys.count("ada"), await passkeys.has_any("bob")) == (1, False)
