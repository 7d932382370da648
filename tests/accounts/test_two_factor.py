"""Second factors on real stores: setting one up, logging in with it, losing it, taking it away."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from support.authenticator import code_at

from auth.core.errors import (
    AccountLocked,
    AuthError,
    Conflict,
    InvalidCode,
    InvalidRequest,
    InvalidToken,
    RateLimited,
    SessionRevoked,
    StepUpRequired,
    Unavailable,
)
from auth.core.models import SYSTEM, FactorAnswer, Principal, RevocationReason, TokenDelivery, User
from auth.crypto.sealing import Seal
from auth.factors.totp import time_step
from auth.login.admission import LoggedIn, MfaPending

ADA = "ada@example.org"
PASSWORD = "correct horse battery staple"


@dataclass
class Phone:
    """Whose authenticator app it is, and what was shown when it was set up."""

    world: Any
    user: User
    secret: str
    recovery_codes: tuple[str, ...]

    def code(self, *, steps_away: int = 0) -> str:
        return code_at(self.secret, time_step(self.world.now) + steps_away)

    async def next_code(self) -> str:
        """The code of a step of which none was used yet."""
        self.world.pass_time(seconds=30)
        return self.code()


@pytest.fixture
async def user(world: Any) -> User:
    return await world.verified_user(ADA)


@pytest.fixture
async def principal(world: Any, user: User) -> Principal:
    return await world.act_as(user)


@pytest.fixture
async def phone(world: Any, user: User, principal: Principal) -> Phone:
    """Ada's, set up; a step later, so that the code of now is a fresh one."""
    return await set_up(world, user, principal)


async def set_up(world: Any, user: User, principal: Principal) -> Phone:
    setup = await world.two_factor.set_up(principal)
    phone = Phone(world, user, setup.secret, ())
    phone.recovery_codes = await world.two_factor.enable(principal, phone.code(), client=world.client())
    world.pass_time(seconds=30)
    return phone


def totp(code: str) -> FactorAnswer:
    return FactorAnswer("totp", code=code)


def recovery(code: str) -> FactorAnswer:
    return FactorAnswer("recovery_code", code=code)


async def begin(world: Any, **values: Any) -> MfaPending:
    pending = await world.begin_login(ADA, **values)
    assert isinstance(pending, MfaPending)
    return pending


async def finish(world: Any, pending: MfaPending, answer: FactorAnswer) -> LoggedIn:
    return await world.admission.finish(pending.mfa_token, answer, client=world.client())


def refusals(results: list[Any]) -> list[type]:
    return [type(result) for result in results if isinstance(result, Exception)]


class TestSettingUp:
    """From the secret to the first code."""

    async def test_the_first_code_turns_it_on(self, world: Any, user: User, principal: Principal) -> None:
        setup = await world.two_factor.set_up(principal)
        assert setup.uri.startswith("otpauth://totp/Vigil:ada%40example.org?secret=" + setup.secret)
        assert setup.qr_svg.startswith("<svg ")
        assert setup.expires_at == world.now + timedelta(minutes=10)
        assert (await world.two_factor.overview(principal)).methods == ()
        codes = await world.two_factor.enable(
            principal, code_at(setup.secret, time_step(world.now)), client=world.client()
        )
        assert len(set(codes)) == 10
        overview = await world.two_factor.overview(principal)
        assert (overview.totp_enabled_at, overview.codes_left) == (world.now, 10)
        assert overview.methods == ("totp", "recovery_code")

    async def test_the_codes_are_shown_though_nobody_can_be_told_or_put_out(
        self, world: Any, principal: Principal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are in force: an answer that says otherwise would lock their owner out."""
        setup = await world.two_factor.set_up(principal)

        async def unavailable(*_: Any, **__: Any) -> None:
            raise Unavailable

        with monkeypatch.context() as patch:
            patch.setattr(world.outbox, "add", unavailable)
            patch.setattr(world.sessions, "end_matching", unavailable)
            code = code_at(setup.secret, time_step(world.now))
            codes = await world.two_factor.enable(principal, code, client=world.client())
        assert len(codes) == 10
        assert b'jobs_total{job="notice",outcome="failed"} 1.0' in world.metrics.render()
        assert await world.endings.finish_due() == 0
        world.pass_time(seconds=6)
        assert await world.endings.finish_due() == 1

    async def test_asvs_7_5_1_it_wants_a_login_of_the_last_ten_minutes(self, world: Any, user: User) -> None:
        old = await world.act_as(user)
        world.pass_time(minutes=10, seconds=1)
        for act in (
            world.two_factor.set_up(old),
            world.two_factor.enable(old, "123456", client=world.client()),
            world.two_factor.disable(old, client=world.client()),
            world.two_factor.renew_codes(old, client=world.client()),
        ):
            with pytest.raises(StepUpRequired) as refused:
                await act
            assert refused.value.methods == ("password",)

    async def test_asvs_7_5_1_once_it_is_on_the_password_alone_changes_nothing(
        self, world: Any, phone: Phone
    ) -> None:
        weak = await world.act_as(phone.user)
        for act in (
            world.two_factor.set_up(weak),
            world.two_factor.enable(weak, phone.code(), client=world.client()),
            world.two_factor.disable(weak, client=world.client()),
            world.two_factor.renew_codes(weak, client=world.client()),
        ):
            with pytest.raises(StepUpRequired) as refused:
                await act
            assert refused.value.acr == "urn:vigil:acr:recent-mfa"
            assert refused.value.methods == ("totp", "recovery_code")
        assert (await world.two_factor.overview(weak)).codes_left == 10

    async def test_it_ends_the_other_sessions_and_this_one_is_proved_by_it(
        self, world: Any, phone: Phone, principal: Principal
    ) -> None:
        assert world.sessions.ended == [(phone.user.user_id, RevocationReason.REVOKED_OTHERS)]
        session = await world.session_store.get(principal.session_id)
        assert set(session.amr) == {"pwd", "otp", "mfa"}
        assert session.is_assured(world.now, max_age=timedelta(minutes=10), strongly=True)

    async def test_asvs_6_5_1_the_code_that_turned_it_on_opens_nothing_more(
        self, world: Any, phone: Phone
    ) -> None:
        pending = await begin(world)
        with pytest.raises(InvalidCode):
            await finish(world, pending, totp(phone.code(steps_away=-1)))

    async def test_a_wrong_first_code_changes_nothing(self, world: Any, user: User, principal: Principal) -> None:
        setup = await world.two_factor.set_up(principal)
        for wrong in ("000000", "", "x" * 64, code_at(setup.secret, time_step(world.now) + 2)):
            with pytest.raises(InvalidCode):
                await world.two_factor.enable(principal, wrong, client=world.client())
        assert isinstance(await world.begin_login(ADA), LoggedIn)
        assert world.sessions.ended == []

    async def test_without_a_secret_that_waits_there_is_nothing_to_turn_on(
        self, world: Any, principal: Principal
    ) -> None:
        with pytest.raises(Conflict):
            await world.two_factor.enable(principal, "123456", client=world.client())

    async def test_a_secret_waits_ten_minutes(self, world: Any, user: User, principal: Principal) -> None:
        setup = await world.two_factor.set_up(principal)
        world.pass_time(minutes=10)
        later = await world.act_as(user)
        with pytest.raises(Conflict):
            await world.two_factor.enable(
                later, code_at(setup.secret, time_step(world.now)), client=world.client()
            )

    async def test_of_many_that_bring_the_first_code_one_is_shown_the_recovery_codes(
        self, world: Any, user: User, principal: Principal
    ) -> None:
        setup = await world.two_factor.set_up(principal)
        code = code_at(setup.secret, time_step(world.now))
        enabled = (world.two_factor.enable(principal, code, client=world.client()) for _ in range(7))
        results = await asyncio.gather(*enabled, return_exceptions=True)
        refused = refusals(results)
        # Whoever looks in the middle of the first finds a factor set up, and a session not yet proved by it.
        assert len(refused) == 6
        assert set(refused) <= {Conflict, StepUpRequired}
        [codes] = [result for result in results if isinstance(result, tuple)]
        world.pass_time(seconds=30)
        assert (await finish(world, await begin(world), recovery(codes[0]))).user.user_id == user.user_id

    async def test_guessing_the_first_code_is_limited(self, world: Any, principal: Principal) -> None:
        await world.two_factor.set_up(principal)
        for _ in range(9):
            with pytest.raises(InvalidCode):
                await world.two_factor.enable(principal, "000000", client=world.client())
        with pytest.raises(RateLimited):
            await world.two_factor.enable(principal, "000000", client=world.client())

    async def test_a_session_that_was_ended_sets_nothing_up(self, world: Any, user: User) -> None:
        principal = await world.act_as(user)
        await world.session_store.revoke(
            principal.session_id,
            user_id=user.user_id,
            reason=RevocationReason.REVOKED,
            by=SYSTEM,
            ip=None,
            now=world.now,
        )
        with pytest.raises(SessionRevoked):
            await world.two_factor.set_up(principal)

    async def test_a_new_phone_takes_the_place_of_the_old_one(
        self, world: Any, phone: Phone, principal: Principal
    ) -> None:
        new = await set_up(world, phone.user, principal)
        with pytest.raises(InvalidCode):
            await finish(world, await begin(world), totp(phone.code()))
        with pytest.raises(InvalidCode):
            await finish(world, await begin(world), recovery(phone.recovery_codes[0]))
        assert (await finish(world, await begin(world), totp(new.code()))).user.user_id == phone.user.user_id

    async def test_until_its_first_code_the_old_phone_is_in_force(
        self, world: Any, phone: Phone, principal: Principal
    ) -> None:
        await world.two_factor.set_up(principal)
        assert (await finish(world, await begin(world), totp(phone.code()))).user.user_id == phone.user.user_id

    async def test_asvs_6_3_7_each_change_is_told_by_mail_and_written_down(
        self, world: Any, phone: Phone, principal: Principal
    ) -> None:
        await world.two_factor.renew_codes(principal, client=world.client())
        world.pass_time(milliseconds=1)
        await world.two_factor.disable(principal, client=world.client("8.8.8.8"))
        subjects = [mail["subject"] for mail in await world.mails_to(ADA)]
        assert subjects[:3] == [
            "Two-step verification was turned off",
            "New recovery codes were created",
            "Two-step verification was turned on",
        ]
        assert "8.8.8.8" in (await world.mails_to(ADA))[0]["text"]
        changes = [event for event in await world.audited(phone.user) if event.kind.startswith(("totp", "reco"))]
        assert [event.kind for event in changes] == ["totp_disabled", "recovery_codes_made", "totp_enabled"]
        assert all(event.session_id == principal.session_id for event in changes)

    async def test_nothing_secret_is_kept_or_written_down(self, world: Any, phone: Phone) -> None:
        kept = str([document async for document in world.mongo.database["factor_secrets"].find({})])
        told = str(await world.audited(phone.user)) + str(await world.mails_to(ADA))
        for secret in (phone.secret, *phone.recovery_codes):
            assert secret not in kept + told
            assert secret.replace("-", "") not in kept + told

    async def test_a_sealed_secret_moved_to_another_account_opens_nothing(self, world: Any, phone: Phone) -> None:
        """Somebody who can write to the database, and has a phone of their own, is not in by it."""
        other = await world.verified_user("bob@example.org")
        document = await world.mongo.database["factor_secrets"].find_one({"_id": phone.user.user_id})
        await world.mongo.database["factor_secrets"].insert_one(document | {"_id": other.user_id})
        pending = await world.begin_login("bob@example.org")
        with pytest.raises(InvalidCode):
            await finish(world, pending, totp(phone.code()))

    async def test_under_another_root_secret_recovery_codes_still_let_their_owner_in(
        self, world: Any, phone: Phone
    ) -> None:
        world.seal = Seal(b"x" * 32)
        world.use_limits()
        pending = await begin(world)
        with pytest.raises(InvalidCode):
            await finish(world, pending, totp(phone.code()))
        assert (await finish(world, pending, recovery(phone.recovery_codes[0]))).user.user_id == phone.user.user_id


class TestLoggingIn:
    """A password, then the second factor."""

    async def test_asvs_6_3_4_the_password_alone_begins_no_session(self, world: Any, phone: Phone) -> None:
        pending = await begin(world)
        assert pending.methods == ("totp", "recovery_code")
        assert pending.expires_at == world.now + timedelta(minutes=5)
        assert world.sessions.started == []
        assert pending.mfa_token not in repr(pending)

    async def test_the_code_finishes_the_login_as_it_was_begun(self, world: Any, phone: Phone) -> None:
        pending = await begin(world, device_name="Kitchen", delivery=TokenDelivery.COOKIES)
        logged_in = await finish(world, pending, totp(phone.code()))
        [(user, how)] = world.sessions.started
        assert user == logged_in.user
        assert user.user_id == phone.user.user_id
        assert how == {
            "amr": ("pwd", "otp", "mfa"),
            "device_name": "Kitchen",
            "delivery": TokenDelivery.COOKIES,
        }
        event = (await world.audited(phone.user))[0]
        assert (event.kind, event.details["amr"]) == ("login", "pwd otp mfa")

    async def test_asvs_6_5_1_a_code_is_good_once(self, world: Any, phone: Phone) -> None:
        code = phone.code()
        await finish(world, await begin(world), totp(code))
        with pytest.raises(InvalidCode):
            await finish(world, await begin(world), totp(code))
        assert len(world.sessions.started) == 1

    async def test_asvs_6_5_1_a_recovery_code_is_good_once(self, world: Any, phone: Phone) -> None:
        code = phone.recovery_codes[0]
        await finish(world, await begin(world), recovery(code.lower()))
        assert world.sessions.started[0][1]["amr"] == ("pwd", "recovery_code", "mfa")
        with pytest.raises(InvalidCode):
            await finish(world, await begin(world), recovery(code))

    async def test_a_used_recovery_code_is_told_by_mail_with_how_many_are_left(
        self, world: Any, phone: Phone
    ) -> None:
        await finish(world, await begin(world), recovery(phone.recovery_codes[0]))
        mail = (await world.mails_to(ADA))[0]
        assert mail["subject"] == "A recovery code was used"
        assert "You have 9 recovery codes left" in mail["text"]

    async def test_when_all_are_used_they_are_no_method_any_more(self, world: Any, phone: Phone) -> None:
        world.use_limits(rate_limits=False)
        for code in phone.recovery_codes:
            await finish(world, await begin(world), recovery(code))
            world.pass_time(milliseconds=1)
        assert "It was your last one" in (await world.mails_to(ADA))[0]["text"]
        assert (await begin(world)).methods == ("totp",)

    async def test_asvs_6_6_2_a_login_is_finished_by_its_own_token_alone(self, world: Any, phone: Phone) -> None:
        """What waits is bound to the login that began it: neither before nor after it is worth anything."""
        first, second = await begin(world), await begin(world)
        await finish(world, first, totp(phone.code()))
        with pytest.raises(InvalidToken):
            await finish(world, first, totp(await phone.next_code()))
        for token in ("", "x", first.mfa_token + "x", second.mfa_token[:-1]):
            with pytest.raises(InvalidToken):
                await world.admission.finish(token, totp(phone.code()), client=world.client())
        await finish(world, second, totp(phone.code()))

    async def test_asvs_6_5_5_a_login_waits_five_minutes(self, world: Any, phone: Phone) -> None:
        pending = await begin(world)
        world.pass_time(minutes=5)
        with pytest.raises(InvalidToken):
            await finish(world, pending, totp(phone.code()))

    async def test_asvs_6_6_3_five_wrong_answers_end_it(self, world: Any, phone: Phone) -> None:
        pending = await begin(world)
        unknown = "-".join(["7Q2MX"] * 5)
        for wrong in (totp("000000"), recovery(unknown), totp("111111"), totp("222222"), FactorAnswer("approval")):
            with pytest.raises(InvalidCode):
                await finish(world, pending, wrong)
        with pytest.raises(InvalidToken):
            await finish(world, pending, totp(phone.code()))
        reasons = [event.details["reason"] for event in (await world.audited(phone.user))[:5]]
        assert reasons.count("wrong_totp") == 3

    async def test_a_code_that_cannot_be_one_costs_no_try(self, world: Any, phone: Phone) -> None:
        world.use_limits(limit_second_factor="1/5 minutes", limit_totp_guesses="1/day")
        pending = await begin(world)
        forms = (recovery(phone.recovery_codes[0][:-1]), recovery("123456"), totp("12345"), totp("x" * 64))
        for malformed in (*forms, totp(""), FactorAnswer("totp"), FactorAnswer("recovery_code")):
            with pytest.raises(InvalidRequest) as refused:
                await finish(world, pending, malformed)
            assert [error.field for error in refused.value.errors] == ["code"]
        assert "login_failed" not in {event.kind for event in await world.audited(phone.user)}
        await finish(world, pending, totp(phone.code()))

    async def test_asvs_6_3_1_tries_are_limited_over_all_logins_of_the_account(
        self, world: Any, phone: Phone
    ) -> None:
        world.use_limits(limit_second_factor="5/5 minutes")
        for _ in range(5):
            with pytest.raises(InvalidCode):
                await finish(world, await begin(world), totp("000000"))
        with pytest.raises(RateLimited):
            await finish(world, await begin(world), totp(phone.code()))
        assert world.sessions.started == []

    async def test_a_right_answer_begins_the_count_anew_and_changes_have_their_own(
        self, world: Any, phone: Phone
    ) -> None:
        """Whoever sets much up in one evening, and mistypes now and then, is not shut out at their next login."""
        world.use_limits(limit_second_factor="4/5 minutes")
        for code in phone.recovery_codes[:3]:
            for _ in range(3):
                with pytest.raises(InvalidCode):
                    await finish(world, await begin(world), totp("000000"))
            await finish(world, await begin(world), recovery(code))
        principal = await world.act_as(phone.user, amr=("pwd", "otp", "mfa"))
        for _ in range(4):
            await world.two_factor.renew_codes(principal, client=world.client())
        with pytest.raises(RateLimited):
            await world.two_factor.renew_codes(principal, client=world.client())

    async def test_asvs_6_3_1_after_a_hundred_wrong_codes_no_more_are_taken_that_day(
        self, world: Any, phone: Phone
    ) -> None:
        """Six digits could be guessed in months otherwise; its owner is not locked out by it."""
        world.use_limits(limit_totp_guesses="7/day", limit_second_factor="1000/minute")
        for _ in range(7):
            with pytest.raises(InvalidCode):
                await finish(world, await begin(world), totp("000000"))
        with pytest.raises(RateLimited):
            await finish(world, await begin(world), totp(phone.code()))
        assert (
            await finish(world, await begin(world), recovery(phone.recovery_codes[0]))
        ).user.user_id == phone.user.user_id

    async def test_a_right_code_forgets_the_wrong_ones_before_it(self, world: Any, phone: Phone) -> None:
        world.use_limits(limit_totp_guesses="3/day", limit_second_factor="1000/minute")
        for _ in range(3):
            for _ in range(2):
                with pytest.raises(InvalidCode):
                    await finish(world, await begin(world), totp("000000"))
            await finish(world, await begin(world), totp(await phone.next_code()))

    async def test_asvs_6_3_5_whoever_has_the_password_and_no_code_is_told_of_by_mail(
        self, world: Any, phone: Phone
    ) -> None:
        world.use_limits(limit_second_factor="1000/minute")
        told = "Security alert: two-step verification failed"
        for logins in range(1, 8):
            pending = await world.begin_login(ADA, ip="8.8.8.8")
            for tries in range(5):
                subjects = [mail["subject"] for mail in await world.mails_to(ADA)]
                assert subjects.count(told) == min(logins - 1, 5)
                with pytest.raises(InvalidCode):
                    await world.admission.finish(
                        pending.mfa_token, totp(f"{tries:06}"), client=world.client("8.8.8.8")
                    )
        mail = next(mail for mail in await world.mails_to(ADA) if mail["subject"] == told)
        assert "8.8.8.8" in mail["text"]

    async def test_guesses_made_at_once_are_five(self, world: Any, phone: Phone) -> None:
        pending = await begin(world)
        tries = (finish(world, pending, totp(f"{number:06}")) for number in range(1, 31))
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert refusals(results).count(InvalidCode) <= 5
        assert refusals(results).count(InvalidToken) >= 25

    async def test_finished_many_times_at_once_it_begins_one_session(self, world: Any, phone: Phone) -> None:
        pending = await begin(world)
        answers = [totp(phone.code()), *map(recovery, phone.recovery_codes[:4])]
        results = await asyncio.gather(*(finish(world, pending, a) for a in answers), return_exceptions=True)
        assert sum(isinstance(result, LoggedIn) for result in results) == 1
        assert len(world.sessions.started) == 1

    async def test_a_password_changed_meanwhile_ends_what_waits(self, world: Any, phone: Phone) -> None:
        pending = await begin(world)
        await world.users.replace_password(
            phone.user.user_id,
            after=1,
            new_hash="another",
            ends=None,
            now=world.now,
        )
        with pytest.raises(InvalidToken):
            await finish(world, pending, totp(phone.code()))

    async def test_a_hash_made_stronger_meanwhile_ends_nothing(self, world: Any, phone: Phone) -> None:
        """The password is the same: another login may have brought its hash to today's parameters."""
        pending = await begin(world)
        await world.users.set_password_hash(
            phone.user.user_id, old_hash=phone.user.password_hash, new_hash="another"
        )
        assert (await finish(world, pending, totp(phone.code()))).user.user_id == phone.user.user_id

    async def test_an_account_locked_meanwhile_is_not_let_in(self, world: Any, phone: Phone) -> None:
        pending = await begin(world)
        await world.mongo.database["users"].update_one(
            {"_id": phone.user.user_id}, {"$set": {"lockedAt": world.now}}
        )
        with pytest.raises(AccountLocked):
            await finish(world, pending, totp(phone.code()))
        assert world.sessions.started == []

    async def test_an_account_erased_meanwhile_is_not_let_in(self, world: Any, phone: Phone) -> None:
        pending = await begin(world)
        await world.mongo.database["users"].delete_one({"_id": phone.user.user_id})
        with pytest.raises(InvalidToken):
            await finish(world, pending, totp(phone.code()))

    async def test_a_method_that_is_not_set_up_is_refused_like_a_wrong_code(
        self, world: Any, phone: Phone
    ) -> None:
        pending = await begin(world)
        for method in ("passkey", "approval", "password", "pwd", "", "x" * 500):
            with pytest.raises(AuthError) as refused:
                await finish(world, pending, FactorAnswer(method, code=phone.code()))
            assert refused.value.code in {"invalid_code", "invalid_token"}

    async def test_a_factor_taken_away_meanwhile_finishes_nothing(
        self, world: Any, phone: Phone, principal: Principal
    ) -> None:
        pending = await begin(world)
        await world.two_factor.disable(principal, client=world.client())
        with pytest.raises(InvalidCode):
            await finish(world, pending, totp(phone.code()))
        assert isinstance(await world.begin_login(ADA), LoggedIn)


class TestTakingItAway:
    """Off again, and new recovery codes."""

    async def test_without_it_a_login_takes_the_password_again(
        self, world: Any, phone: Phone, principal: Principal
    ) -> None:
        await world.two_factor.disable(principal, client=world.client())
        assert isinstance(await world.begin_login(ADA), LoggedIn)
        overview = await world.two_factor.overview(principal)
        assert (overview.totp_enabled_at, overview.codes_left, overview.methods) == (None, None, ())
        assert await world.mongo.database["factor_secrets"].count_documents({}) == 0

    async def test_taken_away_twice_it_is_told_once(self, world: Any, phone: Phone, principal: Principal) -> None:
        away = (world.two_factor.disable(principal, client=world.client()) for _ in range(4))
        await asyncio.gather(*away)
        subjects = [mail["subject"] for mail in await world.mails_to(ADA)]
        assert subjects.count("Two-step verification was turned off") == 1

    async def test_asvs_6_5_6_new_codes_make_the_old_ones_void(
        self, world: Any, phone: Phone, principal: Principal
    ) -> None:
        codes = await world.two_factor.renew_codes(principal, client=world.client())
        assert not set(codes) & set(phone.recovery_codes)
        with pytest.raises(InvalidCode):
            await finish(world, await begin(world), recovery(phone.recovery_codes[0]))
        await finish(world, await begin(world), recovery(codes[0]))

    async def test_without_a_factor_there_is_nothing_that_codes_could_stand_in_for(
        self, world: Any, principal: Principal
    ) -> None:
        with pytest.raises(Conflict):
            await world.two_factor.renew_codes(principal, client=world.client())
        assert isinstance(await world.begin_login(ADA), LoggedIn)

    async def test_changes_are_limited(self, world: Any, phone: Phone, principal: Principal) -> None:
        """Each sends a mail."""
        for _ in range(8):
            await world.two_factor.renew_codes(principal, client=world.client())
        with pytest.raises(RateLimited):
            await world.two_factor.renew_codes(principal, client=world.client())


async def test_somebody_whose_account_is_gone_has_no_overview(world: Any, principal: Principal) -> None:
    with pytest.raises(SessionRevoked):
        await world.two_factor.overview(replace(principal, user_id="nobody"))
