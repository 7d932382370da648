"""Asking for a reset link on real stores: the same work for every address, and no more mail than is allowed."""

import asyncio
import re
from typing import Any

import pytest

from auth.accounts.password_reset import PasswordReset
from auth.core.errors import InvalidToken, Unavailable

ADA = "ada@example.org"
NEW = "a new barn on the hill"


@pytest.fixture
def reset(world: Any) -> PasswordReset:
    return world.password_reset()


def reset_token(mails: list[dict[str, Any]]) -> str:
    """Of the newest mail with a link."""
    found = [match[1] for mail in mails if (match := re.search(r"reset=([\w-]+)", mail["text"]))]
    return found[0]


async def written(world: Any) -> tuple[int, int]:
    """Documents that stand for the work: tokens and mails together, and audit events."""
    counts = {
        name: await world.mongo.database[name].count_documents({})
        for name in ("mails", "one_time_tokens", "audit_events")
    }
    return counts["mails"] + counts["one_time_tokens"], counts["audit_events"]


async def reset_links(world: Any) -> list[str]:
    return [mail["text"] for mail in await world.mails_to(ADA) if "reset=" in mail["text"]]


async def test_asvs_6_3_8_known_and_unknown_addresses_cost_the_same_work(world: Any, reset: PasswordReset) -> None:
    await world.verified_user(ADA)
    costs = set()
    for email in (ADA, "nobody@example.org"):
        before = await written(world)
        await reset.ask(email, client=world.client())
        after = await written(world)
        costs.add((after[0] - before[0], after[1] - before[1]))
    assert costs == {(2, 1)}


async def test_a_link_is_good_again_when_the_database_failed_it(
    world: Any, reset: PasswordReset, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await world.verified_user(ADA)
    await reset.ask(ADA, client=world.client())
    token = reset_token(await world.mails_to(ADA))

    async def unavailable(*_: Any, **__: Any) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(world.users, "replace_password", unavailable)
        with pytest.raises(Unavailable):
            await reset.reset(token, password=NEW, keep_sessions=False, client=world.client())
    await reset.reset(token, password=NEW, keep_sessions=False, client=world.client())
    assert (await world.login(ADA, NEW)).user.user_id == user.user_id


async def test_a_link_used_many_times_at_once_sets_one_password(world: Any, reset: PasswordReset) -> None:
    await world.verified_user(ADA)
    await reset.ask(ADA, client=world.client())
    token = reset_token(await world.mails_to(ADA))
    passwords = [f"{NEW} {number}" for number in range(8)]
    results = await asyncio.gather(
        *(reset.reset(token, password=each, keep_sessions=False, client=world.client()) for each in passwords),
        return_exceptions=True,
    )
    [won] = [number for number, result in enumerate(results) if isinstance(result, tuple)]
    assert sum(isinstance(result, InvalidToken) for result in results) == 7
    await world.login(ADA, passwords[won])


async def test_asvs_6_3_1_an_address_is_not_mailed_more_than_is_allowed_and_nobody_is_told(world: Any) -> None:
    world.use_limits(limit_mail="3/hour")
    await world.verified_user(ADA)
    limited = world.password_reset()
    for number in range(5):
        await limited.ask(ADA, client=world.client(f"203.0.113.{number}"))
    assert len(await reset_links(world)) == 3


async def test_a_stranger_who_asks_for_what_is_not_mailed_keeps_no_reset_link_back(world: Any) -> None:
    """Links to confirm an address that is confirmed are asked for in vain, and count for nothing else."""
    world.use_limits(limit_mail="3/hour")
    await world.verified_user(ADA)
    for number in range(5):
        await world.registration.resend(ADA, world.client(f"203.0.113.{number}"))
        await world.register(ADA, ip=f"203.0.113.{number}")
    await world.password_reset().ask(ADA, client=world.client())
    assert len(await reset_links(world)) == 1


async def test_what_was_asked_for_before_there_was_an_account_keeps_no_reset_link_back(world: Any) -> None:
    world.use_limits(limit_mail="3/hour")
    limited = world.password_reset()
    for number in range(5):
        await limited.ask(ADA, client=world.client(f"203.0.113.{number}"))
    await world.verified_user(ADA)
    await limited.ask(ADA, client=world.client())
    assert len(await reset_links(world)) == 1


async def test_for_an_unknown_address_no_more_work_is_done_than_for_a_known_one(world: Any) -> None:
    world.use_limits(limit_mail="3/hour")
    await world.verified_user(ADA)
    limited = world.password_reset()
    costs = []
    for email in (ADA, "nobody@example.org"):
        before = await written(world)
        for number in range(5):
            await limited.ask(email, client=world.client(f"203.0.113.{number}"))
        after = await written(world)
        costs.append((after[0] - before[0], after[1] - before[1]))
    assert costs == [(6, 5), (6, 5)]
