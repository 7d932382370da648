"""What a user sees and changes of their own account."""

from dataclasses import replace
from typing import Any

import pytest

from auth.accounts.profile import UNSET
from auth.core.errors import InvalidRequest, SessionRevoked
from auth.core.models import Principal, User

ADA = "ada@example.org"


def principal_of(user: User, **changes: Any) -> Principal:
    moment = user.created_at
    return replace(Principal(user.user_id, "s", 0, (), ("pwd",), moment, moment, moment), **changes)


async def test_a_user_sees_their_account(world: Any) -> None:
    user = await world.verified_user(ADA, name="Ada")
    assert await world.profile.me(principal_of(user)) == user


async def test_what_is_mentioned_changes_and_the_rest_stays(world: Any) -> None:
    user = await world.verified_user(ADA, name="Ada", username="ada")
    me = principal_of(user)
    assert await world.profile.update(me) == user
    assert await world.profile.update(me, name=" Ada L. ") == replace(user, name="Ada L.")
    assert await world.profile.update(me, username="lovelace", name=UNSET) == replace(
        user, name="Ada L.", username="lovelace"
    )
    assert await world.profile.update(me, name=None, username=None) == replace(user, name=None, username=None)
    assert await world.profile.me(me) == replace(user, name=None, username=None)


async def test_a_username_is_one_persons_in_any_case_until_given_up(world: Any) -> None:
    ada = await world.verified_user(ADA, username="Countess")
    bob = await world.verified_user("bob@example.org")
    with pytest.raises(InvalidRequest) as refused:
        await world.profile.update(principal_of(bob), username="cOUNTESS", name="Bob")
    assert [error.field for error in refused.value.errors] == ["username"]
    assert (await world.profile.me(principal_of(bob))).name is None
    assert (await world.profile.update(principal_of(ada), username="countess")).username == "countess"
    await world.profile.update(principal_of(ada), username=None)
    assert (await world.profile.update(principal_of(bob), username="Countess")).username == "Countess"


@pytest.mark.parametrize("changes", [{"name": "x" * 101}, {"name": "a\x00"}, {"username": "x"}])
async def test_wrong_values_are_refused_by_field(world: Any, changes: dict[str, str]) -> None:
    user = await world.verified_user(ADA)
    with pytest.raises(InvalidRequest) as refused:
        await world.profile.update(principal_of(user), **changes)
    assert [error.field for error in refused.value.errors] == list(changes)


async def test_an_account_that_is_gone_has_no_session(world: Any) -> None:
    user = await world.verified_user(ADA)
    ghost = principal_of(user, user_id="0" * 32)
    with pytest.raises(SessionRevoked):
        await world.profile.me(ghost)
    with pytest.raises(SessionRevoked):
        await world.profile.update(ghost, name="Ghost")
