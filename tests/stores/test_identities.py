"""Identities in MongoDB: ownership under concurrency."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import pytest

from auth.core.clock import utc_now
from auth.stores.identities import Identities, Identity, ProviderTaken
from auth.stores.mongo import Mongo

NOW = utc_now()


@pytest.fixture
def identities(mongo: Mongo) -> Identities:
    return Identities(mongo.database)


def identity(
    user_id: str = "ada", subject: str = "1", issuer: str = "https://one.example", **more: Any
) -> Identity:
    values: dict[str, Any] = {"provider_id": "one", "label": "Ada", "linked_at": NOW, "last_used_at": NOW}
    return Identity(secrets.token_hex(16), issuer, subject, user_id, **{**values, **more})


async def test_an_identity_is_its_issuer_and_its_subject(identities: Identities) -> None:
    one = await identities.claim(identity(registration_id="r"))
    assert await identities.find(one.issuer, one.subject) == one
    for issuer, subject in ((one.issuer, "2"), ("https://two.example", "1"), ("", ""), (one.issuer + "/", "1")):
        assert await identities.find(issuer, subject) is None


async def test_asvs_6_8_1_one_subject_at_two_providers_is_two_people(identities: Identities) -> None:
    await identities.claim(identity("ada"))
    other = await identities.claim(identity("bob", issuer="https://two.example"))
    assert other.user_id == "bob"


async def test_only_one_of_many_concurrent_claims_is_stored(identities: Identities) -> None:
    claimed = await asyncio.gather(*(identities.claim(identity(f"user {n}")) for n in range(20)))
    assert len({each.user_id for each in claimed}) == 1
    assert len({each.identity_id for each in claimed}) == 1


async def test_an_account_has_one_identity_of_a_provider(identities: Identities) -> None:
    await identities.claim(identity(subject="1"))
    with pytest.raises(ProviderTaken):
        await identities.claim(identity(subject="2"))
    results = await asyncio.gather(
        *(identities.claim(identity("bob", subject=f"b{n}")) for n in range(10)), return_exceptions=True
    )
    assert sum(isinstance(each, Identity) for each in results) == 1
    assert len(await identities.of_user("bob")) == 1


async def test_a_users_identities_are_listed_in_the_order_of_linking(identities: Identities) -> None:
    for number in (3, 1, 2):
        linked = NOW.replace(microsecond=number * 1000)
        await identities.claim(identity(issuer=f"https://{number}.example", linked_at=linked))
    assert [each.issuer[8] for each in await identities.of_user("ada")] == ["1", "2", "3"]
    assert await identities.of_user("bob") == []


async def test_only_one_of_many_concurrent_callers_removes_it(identities: Identities) -> None:
    one = await identities.claim(identity())
    assert await identities.remove("bob", one.identity_id) is None
    taken = await asyncio.gather(*(identities.remove("ada", one.identity_id) for _ in range(10)))
    assert [each for each in taken if each is not None] == [one]


async def test_a_use_is_noted_and_a_registration_confirmed(identities: Identities) -> None:
    one = await identities.claim(identity(registration_id="r"))
    later = NOW.replace(year=NOW.year + 1, day=1)
    await identities.note_use(one.identity_id, label="new name", now=later)
    await identities.confirm(one.identity_id)
    expected = replace(one, label="new name", last_used_at=later, registration_id=None)
    assert await identities.find(one.issuer, one.subject) == expected


async def test_concurrent_registrations_bind_it_once(identities: Identities) -> None:
    one = await identities.claim(identity())
    bound = set(await asyncio.gather(*(identities.bind(one, f"r{n}") for n in range(10))))
    found = await identities.find(one.issuer, one.subject)
    assert found is not None
    assert bound == {found.registration_id}


async def test_an_identity_of_another_user_is_not_bound(identities: Identities) -> None:
    one = await identities.claim(identity())
    await identities.move(one, identity("bob"))
    await identities.bind(one, "r")
    assert (await identities.of_user("bob"))[0].registration_id is None


async def test_only_one_of_many_concurrent_callers_moves_it(identities: Identities) -> None:
    one = await identities.claim(identity(registration_id="r"))
    takers = [identity(f"user {n}", label=f"label {n}") for n in range(10)]
    moved = await asyncio.gather(*(identities.move(one, taker) for taker in takers))
    assert moved.count(True) == 1
    expected = replace(takers[moved.index(True)], identity_id=one.identity_id)
    assert await identities.find(one.issuer, one.subject) == expected


async def test_it_does_not_move_to_an_account_linked_to_its_provider(
    identities: Identities,
) -> None:
    one = await identities.claim(identity())
    await identities.claim(identity("bob", subject="2"))
    with pytest.raises(ProviderTaken):
        await identities.move(one, identity("bob"))
    assert await identities.of_user("ada") == [one]
