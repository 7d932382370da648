"""Accounts in MongoDB: uniqueness, and changes that happen at most once."""

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.plans import watched_plans

from auth.core.clock import utc_now
from auth.core.models import SYSTEM, RevocationReason, SessionsToEnd, User
from auth.stores.mongo import Mongo
from auth.stores.users.login_methods import AccountLoginMethods
from auth.stores.users.pending_revocations import PendingRevocationStore
from auth.stores.users.store import EmailTaken, UsernameTaken, Users

# The TTL index uses the real clock: documents with a fixed date would be removed one day.
NOW = utc_now()
LATER = NOW.replace(hour=10)
ENDS = SessionsToEnd("change", NOW, RevocationReason.PASSWORD_CHANGED, SYSTEM)


@pytest.fixture
def users(mongo: Mongo) -> Users:
    return Users(mongo.database)


def a_user(**changes: Any) -> User:
    user = User(
        user_id=secrets.token_hex(16),
        email="Ada@example.org",
        name="Ada",
        username=None,
        roles=(),
        created_at=NOW,
        password_hash="hash",
    )
    return replace(user, **changes)


def verification(user: User, **changes: Any) -> dict[str, Any]:
    values = {
        "key": user.email.casefold(),
        "registration_id": "r1",
        "password_hash": user.password_hash,
        "name": user.name,
        "username": user.username,
        "ends": ENDS,
        "now": LATER,
    }
    return values | changes


async def test_batched_reads_return_the_right_users(users: Users) -> None:
    made = [a_user(email=f"{n}@example.org") for n in range(5)]
    for user in made:
        await users.create(user)
    asked = [*(user.user_id for user in made), made[0].user_id, "unknown"]
    assert await asyncio.gather(*map(users.by_id, asked)) == [*made, made[0], None]


async def test_a_user_round_trips(users: Users) -> None:
    user = a_user(username="Ada", roles=("admin",))
    await users.create(user)
    assert await users.by_id(user.user_id) == user
    assert await users.by_email("ada@example.org") == user
    assert await users.by_id("nobody") is None
    assert await users.by_email("nobody@example.org") is None


async def test_addresses_and_usernames_are_unique_ignoring_case(users: Users) -> None:
    await users.create(a_user(username="Ada"))
    with pytest.raises(EmailTaken):
        await users.create(a_user(email="ADA@example.org"))
    with pytest.raises(UsernameTaken):
        await users.create(a_user(email="other@example.org", username="aDA"))
    assert await users.has_username("ADA")
    assert not await users.has_username("ad")


async def test_any_number_of_accounts_have_no_username(users: Users) -> None:
    for number in range(3):
        await users.create(a_user(email=f"{number}@example.org"))


async def test_only_one_of_many_concurrent_creations_succeeds(users: Users) -> None:
    results = await asyncio.gather(*(users.create(a_user()) for _ in range(20)), return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, EmailTaken) for result in results) == 19


async def test_only_one_of_many_concurrent_verifications_is_new(users: Users) -> None:
    user = a_user()
    await users.create(user)
    calls = [users.mark_verified(user.user_id, **verification(user, registration_id=f"r{n}")) for n in range(10)]
    results = [result for result in await asyncio.gather(*calls) if result is not None]
    assert [(result.newly, result.user.sessions_to_end) for result in results] == [(True, None)]


async def test_repeating_a_registration_changes_nothing(users: Users) -> None:
    user = a_user()
    await users.create(user)
    first = await users.mark_verified(user.user_id, **verification(user))
    await users.set_password_hash(user.user_id, old_hash="hash", new_hash="new")
    again = await users.mark_verified(user.user_id, **verification(user, now=LATER.replace(hour=11)))
    assert first is not None
    assert again is not None
    assert (first.newly, again.newly) == (True, False)
    assert again.user == replace(user, email_verified_at=LATER, password_hash="new")


async def test_another_password_sets_its_names_and_ends_sessions(users: Users, mongo: Mongo) -> None:
    user = a_user(username="mallory")
    await users.create(user)
    others = verification(user, password_hash="other", name="Ada L.", username="ada")
    for newly in (True, False):
        result = await users.mark_verified(user.user_id, **others)
        assert result is not None
        assert (result.newly, result.user.sessions_to_end) == (newly, ENDS)
        assert (result.user.password_hash, result.user.name, result.user.username) == ("other", "Ada L.", "ada")
    await PendingRevocationStore(mongo.database).done(user.user_id, ENDS)
    result = await users.mark_verified(user.user_id, **others)
    assert result is not None
    assert result.user.sessions_to_end is None
    assert not await users.has_username("mallory")


async def test_anew_replaces_everything_even_without_passwords(users: Users) -> None:
    user = a_user(username="mallory", password_hash=None)
    await users.create(user)
    values = verification(user, anew=True, name=None, username=None)
    result = await users.mark_verified(user.user_id, **values)
    assert result is not None
    assert (result.newly, result.user.sessions_to_end, result.user.username) == (True, ENDS, None)


async def test_a_strangers_scheduled_deletion_is_cancelled_by_the_owner(users: Users) -> None:
    by_link, by_reset = a_user(), a_user(email="other@example.org")
    for user in (by_link, by_reset):
        await users.create(user)
        await users.schedule_deletion(user.user_id, at=NOW, ends=ENDS)
    await users.mark_verified(by_link.user_id, **verification(by_link, password_hash="owners"))
    reset: dict[str, Any] = {
        "after": 0,
        "new_hash": "owners",
        "ends": ENDS,
        "now": LATER,
        "verifies": "other@example.org",
    }
    await users.replace_password(by_reset.user_id, **reset)
    for user in (by_link, by_reset):
        found = await users.by_id(user.user_id)
        assert found is not None
        assert (found.email_verified_at, found.deletion_at) == (LATER, None)


async def test_the_owners_scheduled_deletion_survives_a_reset(users: Users) -> None:
    user = a_user(email_verified_at=NOW)
    await users.create(user)
    await users.schedule_deletion(user.user_id, at=LATER, ends=ENDS)
    changed = await users.replace_password(
        user.user_id, after=0, new_hash="new", ends=ENDS, now=LATER, verifies="ada@example.org"
    )
    assert changed is not None
    assert (changed.email_verified_at, changed.deletion_at) == (NOW, LATER)


@pytest.mark.parametrize("password_hash", ["hash", "other"])
async def test_a_username_taken_meanwhile_is_left_out(users: Users, password_hash: str) -> None:
    await users.create(a_user(email="first@example.org", username="ada"))
    user = a_user()
    await users.create(user)
    result = await users.mark_verified(
        user.user_id, **verification(user, username="ADA", password_hash=password_hash)
    )
    assert result is not None
    assert result.newly
    assert result.user.username is None


async def test_a_profile_changed_before_the_verification_stays(users: Users) -> None:
    user = a_user()
    await users.create(user)
    await users.update_profile(user.user_id, {"name": "Countess", "username": "countess"})
    result = await users.mark_verified(user.user_id, **verification(user, username="ada"))
    assert result is not None
    assert (result.user.name, result.user.username) == ("Countess", "countess")


async def test_a_former_address_is_not_verified(users: Users) -> None:
    user = a_user()
    await users.create(user)
    assert await users.mark_verified(user.user_id, **verification(user, key="old@example.org")) is None
    assert await users.mark_verified("nobody", **verification(user)) is None


async def test_a_password_changed_meanwhile_is_not_overwritten(users: Users) -> None:
    user = a_user()
    await users.create(user)
    assert await users.set_password_hash(user.user_id, old_hash="hash", new_hash="new")
    assert not await users.set_password_hash(user.user_id, old_hash="hash", new_hash="late")
    stored = await users.by_id(user.user_id)
    assert stored is not None
    assert stored.password_hash == "new"


async def test_registering_again_does_not_change_the_user(users: Users) -> None:
    user = a_user()
    await users.create(user)
    await users.note_registration(user.user_id, now=LATER)
    assert await users.by_id(user.user_id) == user


async def test_a_profile_change_is_atomic(users: Users) -> None:
    await users.create(a_user(email="first@example.org", username="first"))
    user = a_user()
    await users.create(user)
    with pytest.raises(UsernameTaken):
        await users.update_profile(user.user_id, {"name": "New", "username": "FIRST"})
    assert await users.by_id(user.user_id) == user
    assert await users.update_profile(user.user_id, {}) == user
    assert await users.update_profile(user.user_id, {"name": None}) == replace(user, name=None)
    assert await users.update_profile("nobody", {"name": "x"}) is None


async def test_logins_may_be_approved_until_that_is_turned_off(users: Users) -> None:
    user = a_user()
    await users.create(user)
    assert user.login_approval
    assert await users.set_login_approval(user.user_id, True) is False
    assert await users.set_login_approval(user.user_id, False) is True
    assert await users.by_id(user.user_id) == replace(user, login_approval=False)
    assert await users.set_login_approval(user.user_id, False) is False
    assert await users.set_login_approval("nobody", False) is False


async def test_every_account_is_found_by_an_index(mongo: Mongo, users: Users) -> None:
    """Anyone may look up a number's owner, and a sweep runs every minute: a scan would read all accounts."""
    user = a_user(username="Ada")
    await users.create(user)
    number = "+31612345678"
    async with watched_plans(mongo) as plans:
        assert await users.by_id(user.user_id) is not None
        assert await users.by_email("ada@example.org") is not None
        assert await users.has_username("Ada")
        assert await users.bind_phone(user.user_id, number, now=NOW) is not None
        assert await users.by_phone(number) is not None
        assert await users.schedule_deletion(user.user_id, at=NOW, ends=ENDS) == NOW
        assert await users.claim_deletion(now=NOW, until=NOW) == user.user_id
        assert await users.claim_deletion(now=NOW - timedelta(days=1), until=NOW) is None
    assert len(plans) >= 7
    assert [plan for plan in plans if "COLLSCAN" in plan] == []


async def test_only_one_of_concurrent_login_method_changes_succeeds(users: Users, mongo: Mongo) -> None:
    ways, user = AccountLoginMethods(mongo.database), a_user()
    await users.create(user)
    await users.bind_phone(user.user_id, "+31612345678", now=NOW)
    decisions = [ways.claim_method(user.user_id, f"passkey:{n}", after=0) for n in range(5)]
    decisions.append(ways.remove_phone(user.user_id, "+31612345678", after=0))
    held = [after for after in await asyncio.gather(*decisions) if after is not None]
    assert [after.login_methods_version for after in held] == [1]
    [after] = held
    assert (after.phone_number is None) is not bool(after.methods_to_remove)
    again = await ways.claim_method(user.user_id, "passkey:last", after=1)
    assert again is not None
    await ways.forget_method(user.user_id, "passkey:last")
    assert await users.by_id(user.user_id) == replace(after, login_methods_version=2)
