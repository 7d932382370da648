"""Pending revocations in an account's document."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from support.plans import watched_plans
from support.session_world import make_user

from auth.core.clock import utc_now
from auth.core.models import Actor, RevocationReason, SessionsToEnd, User
from auth.stores.mongo import Mongo
from auth.stores.users.directory import Directory
from auth.stores.users.pending_revocations import SETTLED, PendingRevocation, PendingRevocationStore
from auth.stores.users.store import Users

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
def endings(mongo: Mongo) -> PendingRevocationStore:
    return PendingRevocationStore(mongo.database)


@pytest.fixture
async def user(users: Users) -> User:
    made = make_user(NOW)
    await users.create(made)
    return made


@pytest.fixture
def users(mongo: Mongo) -> Users:
    return Users(mongo.database)


async def pending(users: Users, user: User) -> SessionsToEnd | None:
    found = await users.by_id(user.user_id)
    assert found is not None
    return found.sessions_to_end


async def test_it_round_trips_and_counts_as_new_credentials(
    endings: PendingRevocationStore, users: Users, user: User
) -> None:
    for version in (1, 2):
        await endings.begin(user.user_id, an_ending())
        found = await users.by_id(user.user_id)
        assert found is not None
        assert (found.sessions_to_end, found.credentials_version) == (an_ending(), version)
        await endings.done(user.user_id, an_ending())
    assert await pending(users, user) is None


async def test_it_is_claimed_once_and_only_when_due(endings: PendingRevocationStore, user: User) -> None:
    await endings.begin(user.user_id, an_ending())
    assert await endings.claim(now=DUE - timedelta(milliseconds=1), until=LATER) is None
    claims = await asyncio.gather(*(endings.claim(now=DUE, until=LATER) for _ in range(8)))
    assert [claim for claim in claims if claim] == [PendingRevocation(user.user_id, an_ending())]
    assert await endings.claim(now=LATER, until=LATER) == PendingRevocation(user.user_id, an_ending())


async def test_completing_an_earlier_one_keeps_a_later_one(
    endings: PendingRevocationStore, users: Users, user: User
) -> None:
    await endings.begin(user.user_id, an_ending("one"))
    await endings.begin(user.user_id, an_ending("two"))
    await endings.done(user.user_id, an_ending("one"))
    assert await pending(users, user) == an_ending("two")


async def test_a_later_one_includes_the_sessions_of_an_earlier_one(
    endings: PendingRevocationStore, users: Users, user: User
) -> None:
    """Two changes from two devices, each ending the other device, with the first node dead."""
    await endings.begin(user.user_id, an_ending("one", keep="laptop"))
    await endings.begin(user.user_id, an_ending("two", keep="phone"))
    assert await pending(users, user) == an_ending("two", keep=None)
    await endings.begin(user.user_id, an_ending("three", keep="phone"))
    assert await pending(users, user) == an_ending("three", keep=None)


async def test_a_lock_and_a_deletion_add_theirs_in_the_same_update(mongo: Mongo, users: Users, user: User) -> None:
    locks = an_ending("lock", reason=RevocationReason.ADMIN, by=Actor("admin", "elsewhere"), keep=None)
    locked = await Directory(mongo.database).lock(user.user_id, ends=locks, now=NOW)
    assert locked is not None
    assert locked.sessions_to_end == locks
    deletes = an_ending("deletion", reason=RevocationReason.ACCOUNT_DELETED, keep=None)
    await users.schedule_deletion(user.user_id, at=LATER, ends=deletes)
    assert await pending(users, user) == deletes


async def test_the_claim_uses_an_index(mongo: Mongo, endings: PendingRevocationStore, user: User) -> None:
    await endings.begin(user.user_id, an_ending())
    async with watched_plans(mongo) as plans:
        assert await endings.claim(now=DUE, until=LATER) is not None
        assert await endings.claim(now=NOW, until=LATER) is None
    assert len(plans) >= 2
    assert [plan for plan in plans if "COLLSCAN" in plan] == []
