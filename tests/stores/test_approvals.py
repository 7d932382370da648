"""Approvals in MongoDB: one per login, answered once, used once, under concurrency."""

import asyncio
import inspect
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from auth.core.clock import utc_now
from auth.core.models import Approval, ApprovalStatus, Device, Location
from auth.stores.approvals import ApprovalStore
from auth.stores.mongo import Mongo

NOW = utc_now() + timedelta(days=1)


@pytest.fixture
def approvals(mongo: Mongo) -> ApprovalStore:
    return ApprovalStore(mongo.database)


def approval(**changes: Any) -> Approval:
    values: dict[str, Any] = {
        "approval_id": secrets.token_urlsafe(24),
        "login_id": secrets.token_bytes(32),
        "user_id": "ada",
        "number": 58,
        "numbers": (17, 58, 93),
        "device": Device("Firefox on Linux", "Firefox", "Linux", "desktop", "Firefox on Linux"),
        "location": Location(None, "NL"),
        "ip": "192.0.2.1",
        "asked_at": NOW,
        "expires_at": NOW + timedelta(seconds=60),
    }
    return Approval(**values | changes)


async def answer(store: ApprovalStore, asked: Approval, **changes: Any) -> Approval | None:
    values: dict[str, Any] = {"user_id": "ada", "number": asked.number, "session_id": "laptop", "now": NOW}
    return await store.answer(asked.approval_id, **values | changes)


async def test_an_approval_round_trips(approvals: ApprovalStore) -> None:
    asked = approval()
    assert await approvals.begin(asked) == asked
    assert await approvals.of_login(asked.login_id) == asked
    assert await approvals.of_login(b"another") is None


async def test_only_one_of_many_concurrent_approvals_of_a_login_begins(approvals: ApprovalStore) -> None:
    asked = [approval(login_id=b"login") for _ in range(20)]
    begun = [each for each in await asyncio.gather(*map(approvals.begin, asked)) if each is not None]
    assert len(begun) == 1
    assert await approvals.of_login(b"login") == begun[0]


async def test_an_expired_approval_is_replaced_once_and_an_answered_one_never(approvals: ApprovalStore) -> None:
    first = approval()
    await approvals.begin(first)
    late = first.expires_at
    again = [approval(login_id=first.login_id, asked_at=late, expires_at=late + timedelta(seconds=60))] * 2
    begun = await asyncio.gather(*(approvals.begin(each) for each in again))
    assert sorted(each is not None for each in begun) == [False, True]
    assert await answer(approvals, first) is None
    await answer(approvals, again[0], number=None, now=late)
    later = approval(login_id=first.login_id, asked_at=late + timedelta(hours=1))
    assert await approvals.begin(later) is None


@pytest.mark.parametrize(
    ("number", "expected"),
    [(58, ApprovalStatus.APPROVED), (17, ApprovalStatus.DENIED), (None, ApprovalStatus.DENIED)],
)
async def test_the_right_number_approves_and_anything_else_denies(
    approvals: ApprovalStore, number: int | None, expected: ApprovalStatus
) -> None:
    asked = approval()
    await approvals.begin(asked)
    answered = await answer(approvals, asked, number=number)
    assert answered == replace(asked, answer=expected, answered_by="laptop")
    assert await approvals.of_login(asked.login_id) == answered


async def test_an_approval_gets_new_numbers_once_and_only_if_it_has_another_try(approvals: ApprovalStore) -> None:
    asked, strict = approval(tries_left=2), approval()
    for each in (asked, strict):
        await approvals.begin(each)
    renewed = replace(asked, approval_id="renewed", number=21, numbers=(21, 22, 23))

    async def renumber(of: Approval, user_id: str = "ada") -> Approval | None:
        return await approvals.renumber(of.approval_id, user_id=user_id, renewed=renewed, now=NOW)

    assert await renumber(strict) is None
    assert await renumber(asked, user_id="eve") is None
    results = await asyncio.gather(*(renumber(asked) for _ in range(10)))
    assert [each for each in results if each] == [replace(renewed, tries_left=1)]
    assert await renumber(renewed) is None
    assert await approvals.pending(asked.approval_id, user_id="ada", now=NOW) is None
    assert await approvals.pending("renewed", user_id="ada", now=NOW) == replace(renewed, tries_left=1)
    assert await approvals.pending("renewed", user_id="ada", now=asked.expires_at) is None


async def test_the_first_of_concurrent_answers_wins(approvals: ApprovalStore) -> None:
    asked = approval()
    await approvals.begin(asked)
    numbers = [58, 17, None, 58, 93, None] * 3
    answers = await asyncio.gather(*(answer(approvals, asked, number=number) for number in numbers))
    [held] = [each for each in answers if each is not None]
    assert await approvals.of_login(asked.login_id) == held


async def test_a_repeated_denial_is_found_until_it_is_settled(approvals: ApprovalStore) -> None:
    asked = approval()
    await approvals.begin(asked)

    async def unsettled(number: int | None = None, user_id: str = "ada") -> Approval | None:
        return await approvals.unsettled_denial(asked.approval_id, user_id=user_id, number=number)

    assert await unsettled() is None
    denied = await answer(approvals, asked, number=17)
    assert denied is not None
    assert await unsettled() == await unsettled(93) == denied
    assert await unsettled(asked.number) is await unsettled(user_id="eve") is None
    await approvals.settle(asked.approval_id, now=NOW)
    assert await unsettled() is None


async def test_an_approval_is_not_a_denial(approvals: ApprovalStore) -> None:
    asked = approval()
    await approvals.begin(asked)
    await answer(approvals, asked)
    assert await approvals.unsettled_denial(asked.approval_id, user_id="ada", number=None) is None


async def test_an_expired_approval_or_another_users_cannot_be_answered(approvals: ApprovalStore) -> None:
    asked = approval()
    await approvals.begin(asked)
    assert await answer(approvals, asked, user_id="eve") is None
    assert await answer(approvals, asked, now=asked.expires_at) is None
    assert await answer(approvals, replace(asked, approval_id="unknown")) is None
    assert await approvals.of_login(asked.login_id) == asked


async def test_an_approval_is_used_once(approvals: ApprovalStore) -> None:
    asked = approval()
    await approvals.begin(asked)
    earlier = NOW - timedelta(seconds=60)
    assert await approvals.use(asked.login_id, answered_since=earlier) is None
    await answer(approvals, asked)
    used = await asyncio.gather(*(approvals.use(asked.login_id, answered_since=earlier) for _ in range(20)))
    assert sum(each is not None for each in used) == 1


async def test_an_old_approval_or_a_denial_cannot_be_used(approvals: ApprovalStore) -> None:
    given, denied = approval(), approval()
    for each in (given, denied):
        await approvals.begin(each)
    await answer(approvals, given)
    await answer(approvals, denied, number=None)
    assert await approvals.use(given.login_id, answered_since=NOW) is None
    assert await approvals.use(denied.login_id, answered_since=NOW - timedelta(seconds=60)) is None


async def test_withdraw_deletes_an_unanswered_approval_only(approvals: ApprovalStore) -> None:
    unheard, answered = approval(), approval()
    for each in (unheard, answered):
        await approvals.begin(each)
    await answer(approvals, answered)
    for each in (unheard, answered):
        await approvals.withdraw(each.approval_id)
    assert await approvals.of_login(unheard.login_id) is None
    assert await approvals.of_login(answered.login_id) is not None


async def test_mongodb_removes_an_approval_minutes_after_it_expires(
    approvals: ApprovalStore, mongo: Mongo
) -> None:
    asked = approval()
    await approvals.begin(asked)
    document = await mongo.database["login_approvals"].find_one({})
    assert document["removeAt"] == asked.expires_at + timedelta(minutes=10)
    assert (await mongo.database["login_approvals"].index_information())["removal"]["expireAfterSeconds"] == 0


def test_every_public_method_raises_unavailable() -> None:
    methods = {name: value for name, value in vars(ApprovalStore).items() if not name.startswith("_")}
    assert all(inspect.iscoroutinefunction(inspect.unwrap(method)) for method in methods.values())
    assert all(hasattr(method, "__wrapped__") for method in methods.values())
