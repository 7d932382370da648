"""Approving a login on another device: who may, what it is bound to, and what it is worth."""

import asyncio
import time
from collections import Counter
from typing import Any, cast

import pytest
from support.approval_world import CODE, World
from support.session_world import LAPTOP, PHONE, principal_of

from auth.alerts.approvals import draw_numbers
from auth.core.errors import (
    AccountLocked,
    AuthError,
    Conflict,
    InvalidCode,
    InvalidToken,
    NotFound,
    RateLimited,
    SessionRevoked,
    StepUpRequired,
    Unavailable,
)
from auth.core.models import Approval, ApprovalStatus, FactorAnswer, RevocationReason, TokenDelivery
from auth.login.admission import LoggedIn
from auth.notifications.mail_contents import LoginDenied

APPROVAL = FactorAnswer("approval")
TOTP = FactorAnswer("totp", code=CODE)


async def refusal(call: object) -> str:
    try:
        await call
    except AuthError as error:
        return error.code
    return "ok"


# When it is offered ----------------------------------------------------------------------------------------


async def test_it_is_offered_beside_a_factor_while_a_device_is_online(world: World) -> None:
    ada = await world.user()
    assert (await world.begin(ada)).methods == ("totp",)
    await world.device(ada)
    assert (await world.begin(ada)).methods == ("totp", "approval")


async def test_by_itself_it_makes_nobody_be_asked_for_a_second_factor(world: World) -> None:
    ben = await world.user(with_factor=False)
    await world.device(ben)
    result = await world.admission.admit(
        ben, amr=("pwd",), device_name=None, delivery=TokenDelivery.BODY, client=PHONE
    )
    assert isinstance(result, LoggedIn)


async def test_whoever_turned_it_off_is_not_offered_it(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    await world.approvals.allow(laptop, False, client=LAPTOP)
    assert await world.approvals.is_allowed(laptop) is False
    pending = await world.begin(ada)
    assert pending.methods == ("totp",)
    with pytest.raises(Conflict):
        await world.approvals.ask(pending.mfa_token, client=PHONE)
    await world.approvals.allow(laptop, True, client=LAPTOP)
    assert (await world.begin(ada)).methods == ("totp", "approval")


async def test_turning_it_on_or_off_wants_a_young_proof_and_is_told(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    await world.approvals.allow(laptop, True, client=LAPTOP)
    assert world.mails.kinds == []
    await world.approvals.allow(laptop, False, client=LAPTOP)
    assert world.mails.kinds == ["approval_changed"]
    assert (await world.trail(ada))[-1] == "approval_forbidden"
    world.time.go(minutes=11)
    with pytest.raises(StepUpRequired):
        await world.approvals.allow(laptop, True, client=LAPTOP)


async def test_turning_it_on_or_off_counts_as_a_change_of_second_factors(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    for each in range(10):
        await world.approvals.allow(laptop, bool(each % 2), client=LAPTOP)
    with pytest.raises(RateLimited):
        await world.approvals.allow(laptop, False, client=LAPTOP)
    assert await world.approvals.is_allowed(laptop)


async def test_it_serves_no_step_up(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    with pytest.raises(InvalidCode):
        await world.step_up.prove(laptop, APPROVAL, client=LAPTOP)
    world.time.go(minutes=11)
    with pytest.raises(StepUpRequired) as required:
        await world.step_up.require(laptop)
    assert required.value.methods == ("totp",)


# The way it goes -------------------------------------------------------------------------------------------


async def test_the_right_number_lets_the_new_device_in(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    shown = await world.approvals.ask(pending.mfa_token, client=PHONE)
    [asked] = world.line.asked
    assert (shown.status, shown.number) == (ApprovalStatus.PENDING, asked.number)
    assert shown.number in asked.numbers
    assert len(set(asked.numbers)) == 3
    assert all(10 <= number <= 99 for number in asked.numbers)
    assert (asked.device.name, asked.ip) == ("Firefox on Ubuntu", PHONE.ip)
    answered = await world.approvals.approve(laptop, asked.approval_id, number=shown.number, client=LAPTOP)
    assert answered.status is ApprovalStatus.APPROVED
    assert (await world.approvals.wait(pending.mfa_token)).status is ApprovalStatus.APPROVED
    logged_in = await world.finish(pending)
    assert logged_in.session.amr == ("pwd", "mca")
    assert (await world.trail(ada))[-3:] == ["approval_asked", "approval_approved", "login"]
    assert world.mails.kinds == []


async def test_asked_again_the_same_number_is_shown_and_no_device_is_bothered(world: World) -> None:
    ada = await world.user()
    await world.device(ada)
    pending = await world.begin(ada)
    asked = await asyncio.gather(*(world.approvals.ask(pending.mfa_token, client=PHONE) for _ in range(3)))
    assert {(each.number, each.expires_at) for each in asked} == {(asked[0].number, asked[0].expires_at)}
    assert len(world.line.asked) == 1


async def test_the_device_that_answered_may_go_offline_before_the_login_is_finished(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    world.sessions.presence.sessions = frozenset()
    assert (await world.finish(pending)).session.amr == ("pwd", "mca")


async def test_nothing_stays_asked_when_no_device_can_be_told(world: World) -> None:
    ada = await world.user()
    await world.device(ada)
    pending = await world.begin(ada)
    world.line.cut = True
    with pytest.raises(Unavailable):
        await world.approvals.ask(pending.mfa_token, client=PHONE)
    world.line.cut = False
    await world.ask(pending)
    assert len(world.line.asked) == 1


@pytest.mark.parametrize(("answer", "looked_for"), [(TOTP, 1), (APPROVAL, 0)])
async def test_finishing_a_login_looks_for_no_factor_but_the_one_that_is_given(
    world: World, answer: FactorAnswer, looked_for: int
) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    world.code.looked_for = 0
    await world.admission.waiting(pending.mfa_token)
    await world.admission.finish(pending.mfa_token, answer, client=PHONE)
    assert world.code.looked_for == looked_for


# Waiting for the answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("deaf", [False, True])
async def test_whoever_waits_hears_at_once_and_reads_what_was_not_told(world: World, deaf: bool) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    world.line.deaf = deaf
    waiting = asyncio.create_task(world.approvals.wait(pending.mfa_token, seconds=10))
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    await world.approvals.deny(laptop, asked.approval_id, client=LAPTOP)
    assert (await waiting).status is ApprovalStatus.DENIED
    assert time.monotonic() - begun < (3 if deaf else 0.5)


async def test_waiting_ends_after_its_time_or_when_the_caller_is_gone(world: World) -> None:
    ada = await world.user()
    await world.device(ada)
    pending = await world.begin(ada)
    await world.ask(pending)
    assert (await world.approvals.wait(pending.mfa_token, seconds=0.1)).status is ApprovalStatus.PENDING
    begun = time.monotonic()
    gone = asyncio.get_running_loop()
    state = await world.approvals.wait(
        pending.mfa_token, seconds=30, on_leave=lambda leave: cast("None", gone.call_later(0.1, leave))
    )
    assert state.status is ApprovalStatus.PENDING
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("token", ["", "guess", "x" * 50_000, "\ud800"])
async def test_who_waits_for_nothing_is_told_so(world: World, token: str) -> None:
    with pytest.raises(InvalidToken):
        await world.approvals.wait(token)
    with pytest.raises(InvalidToken):
        await world.approvals.ask(token, client=PHONE)


async def test_a_login_that_asked_nobody_has_nothing_to_wait_for(world: World) -> None:
    ada = await world.user()
    await world.device(ada)
    with pytest.raises(InvalidToken):
        await world.approvals.wait((await world.begin(ada)).mfa_token)


# What it is bound to ---------------------------------------------------------------------------------------


async def test_asvs_6_6_2_an_approval_is_bound_to_the_login_that_asked_for_it(world: World) -> None:
    """ASVS 5.0, 6.6.2: an out-of-band request is of no use to an earlier or a later login."""
    ada = await world.user()
    laptop = await world.device(ada)
    earlier, asking, later = await world.begin(ada), await world.begin(ada), await world.begin(ada)
    asked = await world.ask(asking)
    await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    for other in (earlier, later):
        with pytest.raises(InvalidCode):
            await world.finish(other)
    await world.finish(asking)


async def test_asvs_6_5_1_an_approval_is_good_once(world: World) -> None:
    """ASVS 5.0, 6.5.1. The login that it finished is over, and at once is not twice."""
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    results = await asyncio.gather(*(refusal(world.finish(pending)) for _ in range(4)))
    assert results.count("ok") == 1
    assert set(results) <= {"ok", "invalid_code", "invalid_token"}
    assert await refusal(world.finish(pending)) == "invalid_token"


async def test_asvs_6_5_5_a_request_lasts_a_minute_and_so_does_its_answer(world: World) -> None:
    """ASVS 5.0, 6.5.5: out-of-band requests have a life, of ten minutes at most."""
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    assert (asked.expires_at - asked.asked_at).total_seconds() == 60
    world.time.go(seconds=60)
    assert (await world.approvals.wait(pending.mfa_token)).status is ApprovalStatus.EXPIRED
    with pytest.raises(NotFound):
        await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    again = await world.ask(pending)
    assert again.approval_id != asked.approval_id
    await world.approvals.approve(laptop, again.approval_id, number=again.number, client=LAPTOP)
    world.time.go(seconds=60)
    with pytest.raises(InvalidCode):
        await world.finish(pending)


async def test_asvs_6_6_3_one_guess_is_all_that_a_request_takes(world: World) -> None:
    """ASVS 5.0, 6.6.3: guesses of the number are limited, here to one, which ends the login."""
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    wrong = next(number for number in asked.numbers if number != asked.number)
    answered = await world.approvals.approve(laptop, asked.approval_id, number=wrong, client=LAPTOP)
    assert answered.status is ApprovalStatus.DENIED
    with pytest.raises(NotFound):
        await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    for answer in (APPROVAL, TOTP):
        with pytest.raises(InvalidToken):
            await world.admission.finish(pending.mfa_token, answer, client=PHONE)
    assert (await world.approvals.wait(pending.mfa_token)).status is ApprovalStatus.DENIED


def wrong_number(asked: Approval) -> int:
    return next(number for number in asked.numbers if number != asked.number)


async def test_after_a_wrong_number_a_device_that_can_show_another_is_asked_once_more(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending, can_renumber=True)
    waiting = asyncio.create_task(world.approvals.wait(pending.mfa_token, shown=asked.number, seconds=10))
    answered = await world.approvals.approve(laptop, asked.approval_id, number=wrong_number(asked), client=LAPTOP)
    assert (answered.status, answered.try_again) == (ApprovalStatus.DENIED, True)
    renewed = world.line.asked[-1]
    assert renewed.approval_id != asked.approval_id
    assert renewed.expires_at == asked.expires_at
    shown = await waiting
    assert (shown.status, shown.number) == (ApprovalStatus.PENDING, renewed.number)
    # The old numbers are worth nothing any more.
    with pytest.raises(NotFound):
        await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    await world.approvals.approve(laptop, renewed.approval_id, number=renewed.number, client=LAPTOP)
    assert (await world.finish(pending)).session.approved_by == laptop.session_id
    assert world.mails.kinds == []
    kinds = ["approval_asked", "approval_wrong_number", "approval_approved", "login"]
    assert (await world.trail(ada))[-4:] == kinds


async def test_asvs_6_6_3_a_second_wrong_number_denies_and_says_for_how_long_approval_is_off(
    world: World,
) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending, can_renumber=True)
    await world.approvals.approve(laptop, asked.approval_id, number=wrong_number(asked), client=LAPTOP)
    renewed = world.line.asked[-1]
    answered = await world.approvals.approve(
        laptop, renewed.approval_id, number=wrong_number(renewed), client=LAPTOP
    )
    assert (answered.status, answered.try_again) == (ApprovalStatus.DENIED, False)
    result = await world.approvals.wait(pending.mfa_token)
    assert result.status is ApprovalStatus.DENIED
    assert result.off_for == pytest.approx(3600, abs=60)
    assert world.line.off_for == pytest.approx(3600, abs=60)
    assert world.mails.kinds == ["login_denied"]


async def test_asvs_6_6_3_of_all_logins_of_an_account_one_in_an_hour_gets_a_second_try(world: World) -> None:
    """Or whoever knows the password would begin many logins and have a second guess at each."""
    ada = await world.user()
    laptop = await world.device(ada)
    first = await world.ask(await world.begin(ada), can_renumber=True)
    second = await world.ask(await world.begin(ada), can_renumber=True)
    again = [
        (
            await world.approvals.approve(laptop, each.approval_id, number=wrong_number(each), client=LAPTOP)
        ).try_again
        for each in (first, second)
    ]
    assert again == [True, False]


async def test_asvs_6_6_4_nobody_can_be_pestered(world: World) -> None:
    """ASVS 5.0, 6.6.4: requests are limited against push bombing; after a denial there are none for an hour."""
    ada, ben = await world.user(), await world.user()
    laptop = await world.device(ada)
    await world.device(ben)
    for _ in range(3):
        await world.ask(await world.begin(ada))
    with pytest.raises(RateLimited):
        await world.approvals.ask((await world.begin(ada)).mfa_token, client=PHONE)
    assert len(world.line.asked) == 3
    await world.approvals.deny(laptop, world.line.asked[-1].approval_id, client=LAPTOP)
    await world.limits.reset("approval", ada.user_id)
    with pytest.raises(RateLimited) as refused:
        await world.approvals.ask((await world.begin(ada)).mfa_token, client=PHONE)
    assert (refused.value.retry_after_seconds or 0) > 3000
    await world.ask(await world.begin(ben))
    assert len(world.line.asked) == 4


async def test_asvs_6_6_4_nor_can_many_be_from_one_address(world: World) -> None:
    """ASVS 5.0, 6.6.4. Whoever has a list of passwords would otherwise bother everybody on it."""
    ada = await world.user()
    await world.device(ada)
    for _ in range(30):
        await world.limits.hit("approval_ip", PHONE.ip)
    pending = await world.begin(ada)
    with pytest.raises(RateLimited):
        await world.approvals.ask(pending.mfa_token, client=PHONE)
    await world.approvals.ask(pending.mfa_token, client=LAPTOP)


def test_asvs_6_5_3_numbers_are_drawn_evenly_and_differ() -> None:
    """ASVS 5.0, 6.5.3: out-of-band codes come from a CSPRNG; here `secrets`, in value and in order."""
    draws = [draw_numbers() for _ in range(3000)]
    assert all(len(set(draw)) == 3 for draw in draws)
    for place in range(3):
        counts = Counter(draw[place] for draw in draws)
        assert counts.keys() == set(range(10, 100))
        assert max(counts.values()) < 80  # 33 on average, 6 its deviation


# Who may answer --------------------------------------------------------------------------------------------


async def test_a_session_of_one_factor_approves_nothing_until_it_gives_another(world: World) -> None:
    """Or whoever holds an unlocked device and knows the password would make a second factor of the two."""
    ada = await world.user()
    laptop = await world.device(ada, amr=("pwd",))
    asked = await world.ask(await world.begin(ada))
    with pytest.raises(StepUpRequired) as required:
        await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    assert required.value.methods == ("totp",)
    await world.step_up.prove(laptop, TOTP, client=LAPTOP)
    answered = await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    assert answered.status is ApprovalStatus.APPROVED


async def test_a_login_that_was_approved_approves_no_other_and_changes_nothing_sensitive(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    phone = principal_of((await world.finish(pending)).session)
    with pytest.raises(StepUpRequired):
        await world.step_up.require(phone)
    asked = await world.ask(await world.begin(ada))
    with pytest.raises(StepUpRequired):
        await world.approvals.approve(phone, asked.approval_id, number=asked.number, client=PHONE)


async def test_any_device_may_deny(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada, amr=("pwd",))
    asked = await world.ask(await world.begin(ada))
    answered = await world.approvals.deny(laptop, asked.approval_id, client=LAPTOP)
    assert answered.status is ApprovalStatus.DENIED


async def test_a_strangers_device_can_answer_nothing(world: World) -> None:
    ada, eve = await world.user(), await world.user()
    await world.device(ada)
    stranger = await world.device(eve)
    asked = await world.ask(await world.begin(ada))
    with pytest.raises(NotFound):
        await world.approvals.approve(stranger, asked.approval_id, number=asked.number, client=LAPTOP)
    with pytest.raises(NotFound):
        await world.approvals.deny(stranger, asked.approval_id, client=LAPTOP)
    assert world.line.told == []


async def test_a_device_that_was_logged_out_approves_nothing(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    asked = await world.ask(await world.begin(ada))
    await world.sessions.sessions.log_out(laptop, client=LAPTOP)
    with pytest.raises(SessionRevoked):
        await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)


async def test_what_a_device_approved_is_worth_nothing_once_it_is_logged_out(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    await world.sessions.sessions.log_out(laptop, client=LAPTOP)
    with pytest.raises(InvalidCode):
        await world.finish(pending)


async def test_a_password_changed_meanwhile_ends_the_login_approved_or_not(world: World) -> None:
    ada = await world.user(password_hash="old")
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    await world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)
    await world.users.replace_password(
        ada.user_id, after=ada.credentials_version, new_hash="new", ends=None, now=world.time.now
    )
    with pytest.raises(InvalidToken):
        await world.finish(pending)


async def test_a_locked_accounts_devices_are_not_asked(world: World) -> None:
    ada = await world.user()
    await world.device(ada)
    pending = await world.begin(ada)
    await world.sessions.mongo.database["users"].update_one(
        {"_id": ada.user_id}, {"$set": {"lockedAt": world.time.now}}
    )
    with pytest.raises(AccountLocked):
        await world.approvals.ask(pending.mfa_token, client=PHONE)
    assert world.line.asked == []


async def test_of_two_devices_that_answer_at_once_the_first_is_heard(world: World) -> None:
    for _ in range(6):
        ada = await world.user()
        laptop, tablet = await world.device(ada), await world.device(ada)
        asked = await world.ask(await world.begin(ada))
        results = await asyncio.gather(
            refusal(world.approvals.approve(laptop, asked.approval_id, number=asked.number, client=LAPTOP)),
            refusal(world.approvals.deny(tablet, asked.approval_id, client=LAPTOP)),
        )
        assert sorted(results) == ["not_found", "ok"]
        [told] = [each for each in world.line.told if each.approval_id == asked.approval_id]
        assert told.answer is (ApprovalStatus.APPROVED if results[0] == "ok" else ApprovalStatus.DENIED)


# What a denial does ----------------------------------------------------------------------------------------


async def test_asvs_6_3_5_a_denied_login_is_told_by_mail_and_kept_in_the_trail(world: World) -> None:
    """ASVS 5.0, 6.3.5: users are notified of suspicious attempts, such as one that passed its first step only."""
    ada = await world.user()
    laptop = await world.device(ada)
    asked = await world.ask(await world.begin(ada))
    await world.approvals.deny(laptop, asked.approval_id, client=LAPTOP)
    [(content, user_id)] = world.mails.sent
    assert isinstance(content, LoginDenied)
    assert (user_id, content.wrong_number) == (ada.user_id, False)
    event = (await world.sessions.trail(ada))[-1]
    assert (event.kind, event.session_id) == ("approval_denied", laptop.session_id)
    assert event.details == {"device": "Firefox on Ubuntu", "askedFrom": PHONE.ip}


async def test_a_denied_login_cannot_be_finished_by_a_code_either(world: World) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    await world.approvals.deny(laptop, asked.approval_id, client=LAPTOP)
    with pytest.raises(InvalidToken):
        await world.admission.finish(pending.mfa_token, TOTP, client=PHONE)


async def test_asvs_7_4_3_a_denial_can_end_every_session(world: World) -> None:
    """ASVS 5.0, 7.4.3 offers it after a change of a factor; here after a sign that somebody has one."""
    ada = await world.user()
    laptop, _ = await world.device(ada), await world.device(ada)
    asked = await world.ask(await world.begin(ada))
    answered = await world.approvals.deny(laptop, asked.approval_id, end_all=True, client=LAPTOP)
    assert answered.revoked is not None
    assert answered.revoked.count == 2
    assert {fact.reason for fact in world.sessions.facts.ended} == {RevocationReason.LOGOUT_ALL}


class Outage:
    """Makes one call fail as a store does that is down, once."""

    def __init__(self, owner: Any, name: str) -> None:
        self._call = getattr(owner, name)
        self._down = True
        setattr(owner, name, self)

    async def __call__(self, *args: Any, **values: Any) -> Any:
        if self._down:
            self._down = False
            raise Unavailable
        return await self._call(*args, **values)


@pytest.mark.parametrize("by_number", [False, True])
@pytest.mark.parametrize("what", ["withdraw", "hit", "by_id", "tell"])
async def test_a_denial_that_an_outage_interrupted_is_whole_once_it_is_repeated(
    world: World, what: str, by_number: bool
) -> None:
    ada = await world.user()
    laptop = await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    wrong = next(number for number in asked.numbers if number != asked.number)

    async def deny() -> ApprovalStatus:
        if by_number:
            answered = await world.approvals.approve(laptop, asked.approval_id, number=wrong, client=LAPTOP)
        else:
            answered = await world.approvals.deny(laptop, asked.approval_id, client=LAPTOP)
        return answered.status

    owners = {"withdraw": world.challenges, "hit": world.limits, "by_id": world.users, "tell": world.mails}
    Outage(owners[what], what)
    with pytest.raises(Unavailable):
        await deny()
    assert await deny() is ApprovalStatus.DENIED
    with pytest.raises(InvalidToken):
        await world.admission.finish(pending.mfa_token, TOTP, client=PHONE)
    [(content, _)] = world.mails.sent
    assert isinstance(content, LoginDenied)
    assert content.wrong_number == by_number
    with pytest.raises(RateLimited):
        await world.approvals.ask((await world.begin(ada)).mfa_token, client=PHONE)
    with pytest.raises(NotFound):
        await deny()
    assert world.mails.kinds == ["login_denied"]


async def test_an_interrupted_denial_is_repeated_by_another_device_and_after_its_minute(world: World) -> None:
    ada = await world.user()
    laptop, tablet = await world.device(ada), await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    Outage(world.challenges, "withdraw")
    with pytest.raises(Unavailable):
        await world.approvals.deny(laptop, asked.approval_id, client=LAPTOP)
    with pytest.raises(NotFound):
        await world.approvals.approve(tablet, asked.approval_id, number=asked.number, client=LAPTOP)
    world.time.go(seconds=61)
    await world.approvals.deny(tablet, asked.approval_id, client=LAPTOP)
    with pytest.raises(InvalidToken):
        await world.admission.waiting(pending.mfa_token)
    assert world.mails.kinds == ["login_denied"]


@pytest.mark.parametrize("too_late", ["its time was over", "it was approved", "it was denied"])
async def test_asvs_7_4_3_every_session_ends_also_when_the_denial_comes_too_late(
    world: World, too_late: str
) -> None:
    ada = await world.user()
    laptop, tablet = await world.device(ada), await world.device(ada)
    pending = await world.begin(ada)
    asked = await world.ask(pending)
    if too_late == "it was approved":
        await world.approvals.approve(tablet, asked.approval_id, number=asked.number, client=LAPTOP)
    elif too_late == "it was denied":
        await world.approvals.deny(tablet, asked.approval_id, client=LAPTOP)
    else:
        world.time.go(seconds=60)
    with pytest.raises(NotFound) as refused:
        await world.approvals.deny(laptop, asked.approval_id, end_all=True, client=LAPTOP)
    assert "All sessions were ended." in refused.value.message
    assert len(world.sessions.facts.ended) == 2
    with pytest.raises(InvalidCode if too_late != "it was denied" else InvalidToken):
        await world.finish(pending)
