"""Asking for another address on real stores: the same work whoever has it, and no more mail than is allowed."""

from typing import Any

import pytest

from auth.accounts.email_change import EmailChange
from auth.core.errors import RateLimited
from auth.core.models import Principal, User
from auth.stores.users.email_changes import EmailChanges

ADA = "ada@example.org"
NEW = "new@example.org"


def operation(world: Any) -> EmailChange:
    return EmailChange(
        world.services,
        changes=EmailChanges(world.mongo.database),
        tokens=world.tokens,
        step_up=world.step_up,
    )


async def someone(world: Any, email: str = ADA) -> tuple[User, Principal]:
    user = await world.verified_user(email)
    return user, await world.act_as(user)


async def written(world: Any) -> tuple[int, int]:
    """Documents that stand for the work: tokens and mails together, and audit events."""
    names = ("mails", "one_time_tokens", "audit_events")
    counts = [await world.mongo.database[name].count_documents({}) for name in names]
    return counts[0] + counts[1], counts[2]


async def test_a_change_that_expired_is_not_shown_any_more(world: Any) -> None:
    user, principal = await someone(world)
    await operation(world).ask(principal, NEW, client=world.client())
    shown = world.profile.pending_email(await world.profile.me(principal))
    assert (shown.email, shown.confirmed) == (NEW, None)
    world.pass_time(hours=1)
    assert world.profile.pending_email(await world.users.by_id(user.user_id)) is None


@pytest.mark.parametrize("limit", ["5/hour", "1/hour"])
async def test_a_taken_and_a_free_address_cost_the_same_work(world: Any, limit: str) -> None:
    await world.verified_user("taken@example.org")
    costs = []
    for number, address in enumerate(("taken@example.org", NEW)):
        world.use_limits(limit_mail=limit)
        before = await written(world)
        for asker in range(3):
            _, principal = await someone(world, f"user{number}{asker}@example.org")
            await operation(world).ask(principal, address, client=world.client())
        after = await written(world)
        costs.append((after[0] - before[0], after[1] - before[1]))
    assert costs[0] == costs[1]


async def test_an_address_is_mailed_no_more_links_than_is_allowed_and_nobody_is_told(world: Any) -> None:
    world.use_limits(limit_mail="2/hour")
    for number in range(4):
        _, principal = await someone(world, f"user{number}@example.org")
        await operation(world).ask(principal, NEW, client=world.client())
    assert len(await world.mails_to(NEW)) == 2


async def test_an_account_asks_as_often_as_is_allowed(world: Any) -> None:
    world.use_limits(limit_mail="2/hour")
    _, principal = await someone(world)
    for number in range(2):
        await operation(world).ask(principal, f"new{number}@example.org", client=world.client())
    with pytest.raises(RateLimited):
        await operation(world).ask(principal, NEW, client=world.client())


async def test_mails_that_a_stranger_asks_for_keep_nobody_from_moving(world: Any) -> None:
    world.use_limits(limit_mail="2/hour")
    _, principal = await someone(world)
    for number in range(4):
        await world.register(ADA, ip=f"203.0.113.{number}")
        await world.registration.resend(ADA, world.client(f"203.0.113.{number}"))
    await operation(world).ask(principal, NEW, client=world.client())
    assert len(await world.mails_to(NEW)) == 1
