"""Tokens of mailed links: stored as hashes, bound to a purpose, used once."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from auth.core.clock import utc_now
from auth.stores.mongo import Mongo
from auth.stores.one_time_tokens import OneTimeTokens, Purpose

# The TTL index uses the real clock: documents with a fixed date would be removed one day.
NOW = utc_now()


@pytest.fixture
def tokens(mongo: Mongo) -> OneTimeTokens:
    return OneTimeTokens(mongo.database)


async def issue(tokens: OneTimeTokens, now: datetime = NOW, **changes: Any) -> str:
    values: dict[str, Any] = {
        "user_id": "u",
        "email_key": "ada@example.org",
        "now": now,
        "expires_at": now + timedelta(hours=1),
        "remove_at": utc_now() + timedelta(days=1),
        "data": {"a": "1", "b": None},
    }
    return await tokens.issue(Purpose.VERIFY_EMAIL, **values | changes)


async def test_a_token_carries_what_it_was_issued_with(tokens: OneTimeTokens) -> None:
    token = await tokens.consume(await issue(tokens), Purpose.VERIFY_EMAIL, now=NOW)
    assert token is not None
    assert (token.user_id, token.email_key, token.issued_at) == ("u", "ada@example.org", NOW)
    assert token.data == {"a": "1", "b": None}
    assert "'a'" not in repr(token)


async def test_the_database_does_not_contain_the_secret(tokens: OneTimeTokens, mongo: Mongo) -> None:
    secrets = [await issue(tokens) for _ in range(3)]
    assert len(set(secrets)) == 3
    assert {len(secret) for secret in secrets} == {43}
    stored = repr(await mongo.database["one_time_tokens"].find({}).to_list(None))
    assert not any(secret in stored for secret in secrets)


async def test_only_one_of_many_concurrent_uses_is_fresh(tokens: OneTimeTokens) -> None:
    secret = await issue(tokens)
    uses = [tokens.consume(secret, Purpose.VERIFY_EMAIL, now=NOW) for _ in range(20)]
    assert sorted(use.fresh for use in await asyncio.gather(*uses) if use) == [False] * 19 + [True]


async def test_a_token_is_invalid_when_expired_or_for_another_purpose(tokens: OneTimeTokens) -> None:
    secret = await issue(tokens)
    assert await tokens.consume(secret, Purpose.NOTHING, now=NOW) is None
    assert await tokens.consume(secret, Purpose.VERIFY_EMAIL, now=NOW + timedelta(hours=1)) is None
    assert await tokens.consume(secret, Purpose.VERIFY_EMAIL, now=NOW) is not None
    assert await tokens.consume(secret, Purpose.VERIFY_EMAIL, now=NOW + timedelta(hours=1)) is None


@pytest.mark.parametrize("secret", ["", "x", "A" * 43, "A" * 100_000, "\x00" * 43, "é" * 43, "\ud800" * 43])
async def test_any_other_text_is_not_a_token(tokens: OneTimeTokens, secret: str) -> None:
    assert await tokens.consume(secret, Purpose.VERIFY_EMAIL, now=NOW) is None


async def test_a_users_tokens_are_listed_newest_first_and_discarded_but_some(tokens: OneTimeTokens) -> None:
    for number in range(4):
        await issue(tokens, NOW + timedelta(seconds=number), data={"group": str(number % 2), "n": str(number)})
    await issue(tokens, user_id="other")
    listed = await tokens.of_user("u", Purpose.VERIFY_EMAIL)
    assert [token.data["n"] for token in listed] == ["3", "2", "1", "0"]
    assert await tokens.discard("u", Purpose.VERIFY_EMAIL, keep_where={"group": "1"}) == 2
    listed = await tokens.of_user("u", Purpose.VERIFY_EMAIL)
    assert [token.data["n"] for token in listed] == ["3", "1"]
    assert len(await tokens.of_user("other", Purpose.VERIFY_EMAIL)) == 1


async def test_mongodb_removes_tokens_by_itself(tokens: OneTimeTokens, mongo: Mongo) -> None:
    indexes = await mongo.database["one_time_tokens"].index_information()
    assert indexes["removal"]["expireAfterSeconds"] == 0
    assert indexes["removal"]["key"] == [("removeAt", 1)]
