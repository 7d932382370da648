"""Step-up on real stores: who is asked for which proof, and for how long it will do."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from support.authenticator import code_at

from auth.core.errors import AuthError, InvalidCode, InvalidRequest, RateLimited, SessionRevoked, StepUpRequired
from auth.core.models import SYSTEM, FactorAnswer, Principal, RevocationReason, User
from auth.factors.totp import time_step

ADA = "ada@example.org"
PASSWORD = "correct horse battery staple"
BY_PASSWORD = FactorAnswer("password", password=PASSWORD)


@pytest.fixture
async def user(world: Any) -> User:
    return await world.verified_user(ADA)


@pytest.fixture
async def old(world: Any, user: User) -> Principal:
    """A session whose login is too long ago."""
    principal = await world.act_as(user)
    world.pass_time(minutes=11)
    return principal


async def secret_of(world: Any, user: User) -> str:
    """Set an authenticator app up from another device; the secret, of which no code of now was used."""
    elsewhere = await world.act_as(user)
    setup = await world.two_factor.set_up(elsewhere)
    code = code_at(setup.secret, time_step(world.now))
    await world.two_factor.enable(elsewhere, code, client=world.client())
    world.pass_time(seconds=30)
    return setup.secret


async def prove(world: Any, principal: Principal, answer: FactorAnswer) -> Any:
    return await world.step_up.prove(principal, answer, client=world.client())


async def test_a_login_will_do_for_ten_minutes(world: Any, user: User) -> None:
    principal = await world.act_as(user)
    world.pass_time(minutes=10)
    assert await world.step_up.require(principal) == user
    world.pass_time(milliseconds=1)
    with pytest.raises(StepUpRequired) as refused:
        await world.step_up.require(principal)
    assert (refused.value.acr, refused.value.max_age) == ("urn:vigil:acr:recent", 600)
    assert refused.value.methods == ("password",)


async def test_asvs_7_5_3_the_password_will_do_where_there_is_no_second_factor(
    world: Any, user: User, old: Principal
) -> None:
    assert await prove(world, old, BY_PASSWORD) == world.now + timedelta(minutes=10)
    assert await world.step_up.require(old) == user
    world.pass_time(minutes=10, milliseconds=1)
    with pytest.raises(StepUpRequired):
        await world.step_up.require(old)


async def test_asvs_7_5_3_where_there_is_a_second_factor_the_password_will_not(
    world: Any, user: User, old: Principal
) -> None:
    secret = await secret_of(world, user)
    with pytest.raises(InvalidCode):
        await prove(world, old, BY_PASSWORD)
    with pytest.raises(StepUpRequired) as refused:
        await world.step_up.require(old)
    assert refused.value.methods == ("totp", "recovery_code")
    await prove(world, old, FactorAnswer("totp", code=code_at(secret, time_step(world.now))))
    assert (await world.step_up.require(old)).user_id == user.user_id
    session = await world.session_store.get(old.session_id)
    assert set(session.amr) == {"pwd", "otp", "mfa"}


async def test_a_code_that_logged_somebody_in_is_no_proof_any_more(world: Any, user: User, old: Principal) -> None:
    secret = await secret_of(world, user)
    code = code_at(secret, time_step(world.now))
    pending = await world.begin_login(ADA)
    await world.admission.finish(pending.mfa_token, FactorAnswer("totp", code=code), client=world.client())
    with pytest.raises(InvalidCode):
        await prove(world, old, FactorAnswer("totp", code=code))


async def test_a_code_that_cannot_be_one_is_no_try(world: Any, old: Principal) -> None:
    world.use_limits(limit_second_factor="1/5 minutes")
    for malformed in (FactorAnswer("totp", code="12345"), FactorAnswer("recovery_code", code="7Q2MX")):
        with pytest.raises(InvalidRequest):
            await prove(world, old, malformed)
    await prove(world, old, FactorAnswer("password", password=PASSWORD))


@pytest.mark.parametrize(
    "answer",
    [
        FactorAnswer("password", password="wrong horse"),
        FactorAnswer("password"),
        FactorAnswer("password", code=PASSWORD),
        FactorAnswer("totp", code="123456"),
        FactorAnswer("recovery_code", code="7Q2MX-0K4TD-V9RNA-1ZC8H-5WJGE"),
        FactorAnswer("passkey", credential={}),
        FactorAnswer("nothing"),
    ],
)
async def test_what_proves_nothing_is_refused_and_written_down(
    world: Any, user: User, old: Principal, answer: FactorAnswer
) -> None:
    with pytest.raises(InvalidCode):
        await prove(world, old, answer)
    with pytest.raises(StepUpRequired):
        await world.step_up.require(old)
    event = (await world.audited(user))[0]
    assert (event.kind, event.details) == ("step_up_failed", {"method": answer.method})


async def test_a_proof_is_written_down_without_what_proved_it(world: Any, user: User, old: Principal) -> None:
    await prove(world, old, BY_PASSWORD)
    event = (await world.audited(user))[0]
    assert (event.kind, event.session_id, event.details) == ("step_up", old.session_id, {"method": "password"})
    assert PASSWORD not in repr(BY_PASSWORD)


async def test_a_proof_is_good_on_its_own_session_alone(world: Any, user: User, old: Principal) -> None:
    other = await world.act_as(user)
    world.pass_time(minutes=11)
    await prove(world, other, BY_PASSWORD)
    await world.step_up.require(other)
    with pytest.raises(StepUpRequired):
        await world.step_up.require(old)


async def test_an_ended_session_proves_nothing(world: Any, user: User) -> None:
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
        await prove(world, principal, BY_PASSWORD)
    with pytest.raises(SessionRevoked):
        await world.step_up.require(principal)


async def test_a_session_ended_while_the_password_was_verified_proves_nothing(
    world: Any, user: User, old: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = world.passwords.verify

    async def verify_and_end(**values: Any) -> Any:
        await world.session_store.revoke(
            old.session_id,
            user_id=user.user_id,
            reason=RevocationReason.REVOKED,
            by=SYSTEM,
            ip=None,
            now=world.now,
        )
        return await verify(**values)

    monkeypatch.setattr(world.passwords, "verify", verify_and_end)
    with pytest.raises(SessionRevoked):
        await prove(world, old, BY_PASSWORD)


async def test_asvs_6_3_1_guesses_are_limited_one_after_the_other_or_at_once(world: Any, old: Principal) -> None:
    wrong = FactorAnswer("password", password="wrong horse")
    results = await asyncio.gather(*(prove(world, old, wrong) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, InvalidCode) for result in results) == 10
    assert sum(isinstance(result, RateLimited) for result in results) == 10
    with pytest.raises(RateLimited):
        await prove(world, old, BY_PASSWORD)


async def test_asvs_6_3_1_a_password_is_guessed_at_a_step_up_no_more_often_in_a_day_than_at_a_login(
    world: Any,
) -> None:
    world.use_limits(limit_password_guesses="4/day")
    ada = await world.verified_user("ada@example.org")
    stolen, own = await world.act_as(ada), await world.act_as(ada)
    codes = []
    for password in ["wrong horse"] * 5 + [PASSWORD]:
        with pytest.raises(AuthError) as refused:
            await prove(world, stolen, FactorAnswer("password", password=password))
        codes.append(refused.value.code)
    assert codes == ["invalid_code"] * 4 + ["rate_limited"] * 2
    # A thief of one session stops neither another nor a login.
    await prove(world, own, FactorAnswer("password", password=PASSWORD))
    await world.login()
