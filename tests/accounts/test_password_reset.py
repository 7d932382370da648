"""Asking for a reset link on real stores: the same work for every address, and no more mail than is allowed."""

from typing import Any

import pytest

from auth.password_reset import PasswordReset

ADA = "ada@example.org"


def operation(world: Any) -> PasswordReset:
    return PasswordReset(
        users=world.users,
        tokens=world.tokens,
        passwords=world.passwords,
        endings=world.endings,
        mailer=world.mailer,
        limits=world.limits,
        audit=world.audit,
        clock=lambda: world.now,
    )


@pytest.fixture
def reset(world: Any) -> PasswordReset:
    return operation(world)


async def written(world: Any) -> tuple[int, int]:
    """Documents that stand for the work: tokens and mails together, and audit events."""
    counts = {
        name: await world.mongo.database[name].count_documents({})
        for name in ("mails", "one_time_tokens", "audit_events")
    }
    return counts["mails"] + counts["one_time_tokens"], counts["audit_events"]


async def test_asvs_6_3_8_known_and_unknown_addresses_cost_the_same_work(world: Any, reset: PasswordReset) -> None:
    await world.verified_user(ADA)
    costs = set()
    for email in (ADA, "nobody@example.org"):
        before = await written(world)
        await reset.ask(email, client=world.client())
        after = await written(world)
        costs.add((after[0] - before[0], after[1] - before[1]))
    assert costs == {(2, 1)}


async def test_asvs_6_3_1_an_address_is_not_mailed_more_than_is_allowed_and_nobody_is_told(world: Any) -> None:
    world.use_limits(limit_mail="3/hour")
    await world.verified_user(ADA)
    limited = operation(world)
    for number in range(5):
        await limited.ask(ADA, client=world.client(f"203.0.113.{number}"))
    mails = [mail for mail in await world.mails_to(ADA) if "reset=" in mail["text"]]
    # One of the three was the mail of the registration.
    assert len(mails) == 2
