"""What an account's document says of the sessions that are to end with a change of it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from support.plans import watched_plans
from support.session_world import make_user

from auth.clock import utc_now
from auth.models import Actor, RevocationReason, SessionsToEnd, User
from auth.stores.directory import Directory
from auth.stores.mongo import Mongo
from auth.stores.session_endings import SETTLED, DueEnding, SessionEndings
from auth.stores.users import Users

NOW = utc_now()
DUE = NOW + SETTLED
LATER = DUE + timedelta(seconds=30)


def an_ending(ending_id: str = "one", **changes: Any) -> SessionsToEnd:
    values: dict[str, Any] = {
        "at": NOW,
        "reason": RevocationReason.REVOKED_OTHERS,
        "by": Actor("user", "laptop"),
        "keep": "laptop",
    }
    return SessionsToEnd(ending_id, **values | changes)


@pytest.fixture
async def endings(mongo: Mongo) -> SessionEndings:
    made = SessionEndings(mongo.database)
    await made.ensure_indexes()
    return made


@pytest.fixture
async def user(users: Users) -> User:
    made = make_user(NOW)
    await users.create(made)
    return made


@pytest.fixture
async def users(mongo: Mongo) -> Users:
    made = Users(mongo.database)
    await made.ensure_indexes()
    return made


async def pending(users: Users, user: User) -> SessionsToEnd | None:
    found = await users.by_id(user.user_id)
    assert found is not None
    return found.sessions_to_end


async def test_it_comes_back_as_it_was_begun_and_counts_as_new_credentials(
    endings: SessionEndings, users: Users, user: User
) -> None:
    for version in (1, 2):
        await endings.begin(user.user_id, an_ending())
        found = await users.by_id(user.user_id)
        assert found is not None
        assert (found.sessions_to_end, found.credentials_version) == (an_ending(), version)
        await endings.done(user.user_id, an_ending())
    assert await pending(users, user) is None


async def test_nobody_claims_it_before_it_is_due_and_then_one_does(endings: SessionEndings, user: User) -> None:
    await endings.begin(user.user_id, an_ending())
    assert await endings.claim(now=DUE - timedelta(milliseconds=1), until=LATER) is None
    claims = await asyncio.gather(*(endings.claim(now=DUE, until=LATER) for _ in range(8)))
    assert [claim for claim in claims if claim] == [DueEnding(user.user_id, an_ending())]
    assert await endings.claim(now=LATER, until=LATER) == DueEnding(user.user_id, an_ending())


async def test_a_later_one_stays_when_an_earlier_one_is_done(
    endings: SessionEndings, users: Users, user: User
) -> None:
    await endings.begin(user.user_id, an_ending("one"))
    await endings.begin(user.user_id, an_ending("two"))
    await endings.done(user.user_id, an_ending("one"))
    assert await pending(users, user) == an_ending("two")


async def test_a_later_one_keeps_no_session_that_an_earlier_one_was_to_end(
    endings: SessionEndings, users: Users, user: User
) -> None:
    """Two changes on two devices, the node of the first dead: each device was to go for the other."""
    await endings.begin(user.user_id, an_ending("one", keep="laptop"))
    await endings.begin(user.user_id, an_ending("two", keep="phone"))
    assert await pending(users, user) == an_ending("two", keep=None)
    await endings.begin(user.user_id, an_ending("three", keep="phone"))
    assert await pending(users, user) == an_ending("three", keep=None)


async def test_a_lock_and_a_deletion_bring_theirs_in_the_same_update(
    mongo: Mongo, users: Users, user: User
) -> None:
    locks = an_ending("lock", reason=RevocationReason.ADMIN, by=Actor("admin", "elsewhere"), keep=None)
    locked = await Directory(mongo.database).lock(user.user_id, ends=locks, now=NOW)
    assert locked is not None
    assert locked.sessions_to_end == locks
    deletes = an_ending("deletion", reason=RevocationReason.ACCOUNT_DELETED, keep=None)
    await users.schedule_deletion(user.user_id, at=LATER, ends=deletes)
    assert await pending(users, user) == deletes


async def test_the_search_walks_an_index(mongo: Mongo, endings: SessionEndings, user: User) -> None:
    await endings.begin(user.user_id, an_ending())
    async with watched_plans(mongo) as plans:
        assert await endings.claim(now=DUE, until=LATER) is not None
        assert await endings.claim(now=NOW, until=LATER) is None
    assert len(plans) >= 2
    assert [plan for plan in plans if "COLLSCAN" in plan] == []
