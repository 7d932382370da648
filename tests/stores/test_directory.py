"""Accounts for administrators: search, roles, locks."""

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from auth.core.clock import utc_now
from auth.core.models import SYSTEM, RevocationReason, SessionsToEnd, User
from auth.stores.mongo import Mongo
from auth.stores.users.directory import Directory, _matches
from auth.stores.users.pending_revocations import SETTLED
from auth.stores.users.store import Users

NOW = utc_now()
ENDS = SessionsToEnd("lock", NOW, RevocationReason.ADMIN, SYSTEM)


@pytest.fixture
def users(mongo: Mongo) -> Users:
    return Users(mongo.database)


@pytest.fixture
def directory(mongo: Mongo, users: Users) -> Directory:
    return Directory(mongo.database)


async def make(users: Users, email: str | None = None, **changes: Any) -> User:
    user_id = secrets.token_hex(16)
    user = User(user_id, email or f"{user_id}@example.org", None, None, (), NOW, email_verified_at=NOW)
    await users.create(replace(user, **changes))
    return replace(user, **changes)


async def found(directory: Directory, query: str = "", **filters: Any) -> list[User]:
    values: dict[str, Any] = {"role": None, "locked": None, "before": None, "limit": 50}
    return list((await directory.search(query=query, **values | filters)).rows)


async def test_a_prefix_is_literal_text_and_never_a_regular_expression(users: Users, directory: Directory) -> None:
    dotted = await make(users, "a.b@example.org")
    plus = await make(users, "a+b@example.org")
    await make(users, "axb@example.org")
    assert await found(directory, "A.B") == [dotted]
    assert await found(directory, "a+b") == [plus]
    for expression in (".*", "a|b", "^a", "(a+)+$", "[a-z]", "a{1,999}", "\\", "(?i)a", "$ne", "\u0000"):
        assert await found(directory, expression) == []


async def test_names_and_usernames_are_found_in_any_case_as_they_are_now(
    users: Users, directory: Directory
) -> None:
    ada = await make(users, name="Ada Lovelace", username="Countess")
    assert await found(directory, "ADA LOVE") == await found(directory, "count") == [ada]
    changed = await users.update_profile(ada.user_id, {"name": "Élodie", "username": None})
    assert await found(directory, "élo") == [changed]
    assert await found(directory, "ada") == await found(directory, "count") == []


async def test_any_word_of_a_name_finds_it(users: Users, directory: Directory) -> None:
    grace = await make(users, name="Grace  Brewster Hopper")
    ada = await make(users, name="Ada Hopewell")
    assert await found(directory, "hopp") == await found(directory, "brew grace") == [grace]
    assert {user.user_id for user in await found(directory, "HOP")} == {ada.user_id, grace.user_id}
    for query in ("race", "grace ada", "hopper x", "   "):
        assert await found(directory, query) == [], query


async def test_accounts_with_the_same_time_are_paged_once_each(users: Users, directory: Directory) -> None:
    made = {(await make(users)).user_id for _ in range(7)}
    seen, before = [], None
    while True:
        page = await directory.search(query="", role=None, locked=None, before=before, limit=3)
        seen += [user.user_id for user in page.rows]
        if page.next is None:
            break
        before = page.next
    assert seen == sorted(made, reverse=True)


async def test_searches_use_indexes(mongo: Mongo, directory: Directory) -> None:
    """A search among a million accounts must not scan them."""
    collection = mongo.database["users"]
    queries: list[dict[str, Any]] = [
        {},
        {"$and": [_matches("ada")]},
        {"$and": [_matches("ada love")]},
        {"$and": [{"roles": "admin"}]},
        {"$and": [{"lockedAt": {"$type": "date"}}]},
    ]
    for query in queries:
        plan = await collection.find(query).sort([("createdAt", -1), ("_id", -1)]).explain()
        assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"]), query


async def test_a_concurrent_role_change_is_refused(users: Users, directory: Directory) -> None:
    user = await make(users)
    outcomes = await asyncio.gather(
        *(directory.set_roles(user.user_id, [role], after=0, now=NOW) for role in ("a", "b", "c", "d"))
    )
    (done,) = [outcome for outcome in outcomes if outcome is not None]
    assert await users.by_id(user.user_id) == done
    assert done.roles_version == 1
    assert await directory.set_roles(user.user_id, ["x"], after=0, now=NOW) is None
    assert await directory.set_roles("nobody", [], after=0, now=NOW) is None


async def test_an_account_from_before_roles_had_versions_can_be_changed(
    mongo: Mongo, users: Users, directory: Directory
) -> None:
    user = await make(users)
    await mongo.database["users"].update_one({"_id": user.user_id}, {"$unset": {"rolesVersion": ""}})
    assert await directory.set_roles(user.user_id, ["admin"], after=0, now=NOW) == replace(
        user, roles=("admin",), roles_version=1
    )


async def test_an_unapplied_role_change_is_claimed_by_one_caller(users: Users, directory: Directory) -> None:
    user = await make(users, "Ada@example.org")
    await directory.set_roles(user.user_id, ["admin"], after=0, now=NOW)
    assert await directory.claim_roles(now=NOW, until=NOW) is None
    due, later = NOW + SETTLED, NOW + timedelta(minutes=1)
    claims = await asyncio.gather(*(directory.claim_roles(now=due, until=later) for _ in range(8)))
    [claimed] = [claim for claim in claims if claim]
    assert (claimed.roles, claimed.roles_version) == (("admin",), 1)
    # The claimer died too, and an administrator changed the roles again meanwhile.
    await directory.grant_role("ada@example.org", "moderator", now=later)
    await directory.roles_in_force(user.user_id, 1)
    again = await directory.claim_roles(now=later + SETTLED, until=later)
    assert again is not None
    assert again.roles_version == 2
    await directory.roles_in_force(user.user_id, 2)
    assert await directory.claim_roles(now=later + timedelta(days=1), until=later) is None


async def test_a_role_is_granted_once(users: Users, directory: Directory) -> None:
    await make(users, "Ada@example.org")
    for version in (1, 2):
        granted = await directory.grant_role(" ADA@Example.org ", "admin", now=NOW)
        assert granted is not None
        assert (granted.roles, granted.roles_version) == (("admin",), version)
    assert await directory.grant_role("nobody@example.org", "admin", now=NOW) is None
    assert await directory.grant_role("no address", "admin", now=NOW) is None


async def test_locking_again_keeps_the_first_time(users: Users, directory: Directory) -> None:
    user = await make(users)
    for now in (NOW, NOW + timedelta(hours=1)):
        locked = await directory.lock(user.user_id, ends=ENDS, now=now)
        assert locked == replace(user, locked_at=NOW, sessions_to_end=ENDS)
    assert await found(directory, locked=True) == [locked]
    assert await found(directory, locked=False) == []
    for _ in range(2):
        assert await directory.unlock(user.user_id) == replace(user, sessions_to_end=ENDS)
    assert await directory.lock("nobody", ends=ENDS, now=NOW) is await directory.unlock("nobody") is None


async def test_a_locked_administrator_does_not_count(users: Users, directory: Directory) -> None:
    assert not await directory.has_administrator()
    admin = await make(users, roles=("moderator", "admin"))
    assert await directory.has_administrator()
    await directory.lock(admin.user_id, ends=ENDS, now=NOW)
    assert not await directory.has_administrator()
