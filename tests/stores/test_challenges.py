"""Challenges in MongoDB: single use and few tries, under concurrency."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from auth.core.clock import utc_now
from auth.stores.challenges import ChallengePurpose, Challenges
from auth.stores.mongo import Mongo

# The TTL index uses the real clock: a day ahead, so that short-lived documents survive a long test run.
NOW = utc_now() + timedelta(days=1)
PURPOSE = ChallengePurpose.SECOND_FACTOR


@pytest.fixture
def challenges(mongo: Mongo) -> Challenges:
    return Challenges(mongo.database)


async def begin(challenges: Challenges, **values: Any) -> str:
    asked: dict[str, Any] = {"user_id": "ada", "data": {"amr": ["pwd"]}, "tries": 5}
    asked |= {"now": NOW, "expires_at": NOW + timedelta(minutes=5)}
    return await challenges.issue(PURPOSE, **asked | values)


async def test_a_challenge_is_found_by_its_secret_not_stored(challenges: Challenges, mongo: Mongo) -> None:
    secret = await begin(challenges)
    found = await challenges.find(secret, PURPOSE, now=NOW)
    assert found is not None
    assert (found.user_id, found.data, found.tries_left) == ("ada", {"amr": ["pwd"]}, 5)
    assert secret not in str(await mongo.database["challenges"].find_one({}))


@pytest.mark.parametrize("secret", ["", "guess", "x" * 100_000, "\ud800"])
async def test_an_unknown_secret_finds_nothing(challenges: Challenges, secret: str) -> None:
    await begin(challenges)
    assert await challenges.find(secret, PURPOSE, now=NOW) is None
    assert await challenges.take_try(secret, PURPOSE, now=NOW) is None
    assert await challenges.consume(secret, PURPOSE, now=NOW) is None


async def test_an_expired_challenge_is_not_found(challenges: Challenges) -> None:
    secret = await begin(challenges)
    late = NOW + timedelta(minutes=5)
    assert await challenges.find(secret, PURPOSE, now=late) is None
    assert await challenges.take_try(secret, PURPOSE, now=late) is None
    assert await challenges.consume(secret, PURPOSE, now=late) is None


async def test_concurrent_guesses_cannot_exceed_the_number_of_tries(challenges: Challenges) -> None:
    secret = await begin(challenges)
    taken = await asyncio.gather(*(challenges.take_try(secret, PURPOSE, now=NOW) for _ in range(40)))
    assert sorted(each.tries_left for each in taken if each is not None) == [0, 1, 2, 3, 4]


async def test_only_one_of_many_concurrent_callers_consumes_it(challenges: Challenges) -> None:
    secret = await begin(challenges)
    ended = await asyncio.gather(*(challenges.consume(secret, PURPOSE, now=NOW) for _ in range(20)))
    assert sum(each is not None for each in ended) == 1
    assert await challenges.take_try(secret, PURPOSE, now=NOW) is None


async def test_the_secret_of_a_withdrawn_challenge_is_useless(challenges: Challenges) -> None:
    secret, other = await begin(challenges), await begin(challenges)
    found = await challenges.find(secret, PURPOSE, now=NOW)
    assert found is not None
    for _ in range(2):
        await challenges.withdraw(found.challenge_id, PURPOSE)
    assert await challenges.find(secret, PURPOSE, now=NOW) is None
    assert await challenges.take_try(secret, PURPOSE, now=NOW) is None
    assert await challenges.find(other, PURPOSE, now=NOW) is not None
