"""Logging in with a password."""

import asyncio
import re
import statistics
import time
from typing import Any

import pytest
from argon2 import PasswordHasher
from support.waiting import eventually

from auth.core.errors import (
    AccountLocked,
    AuthError,
    Conflict,
    EmailNotVerified,
    InvalidCredentials,
    RateLimited,
    SessionLimitReached,
    Unavailable,
)
from auth.core.models import TokenDelivery
from auth.platform.metrics import Metrics
from auth.stores.users.store import Users

ADA = "ada@example.org"
PASSWORD = "correct horse battery staple"


def logins(metrics: Metrics, outcome: str) -> float:
    return metrics.logins.labels(outcome)._value.get()


async def test_the_right_password_begins_a_session(world: Any) -> None:
    user = await world.verified_user(ADA)
    logged_in = await world.login(" ADA@Example.org ", device_name="Kitchen", delivery=TokenDelivery.COOKIES)
    assert logged_in.user == user
    [(started_for, how)] = world.sessions.started
    assert started_for == user
    assert how == {"amr": ("pwd",), "device_name": "Kitchen", "delivery": TokenDelivery.COOKIES}
    event = (await world.audited(user))[0]
    assert (event.kind, event.session_id, event.ip) == ("login", logged_in.session.session_id, "192.0.2.10")
    assert logins(world.metrics, "success") == 1


@pytest.mark.parametrize("email", [ADA, "nobody@example.org", "no address", "\ud800@x", ""])
async def test_asvs_6_3_8_a_wrong_password_and_an_unknown_address_are_refused_alike(
    world: Any, email: str
) -> None:
    await world.verified_user(ADA)
    before = world.passwords.verified
    with pytest.raises(InvalidCredentials) as refused:
        await world.login(email, "wrong horse")
    assert refused.value.message == InvalidCredentials.default_message
    assert world.passwords.verified == before + 1
    assert world.sessions.started == []
    assert logins(world.metrics, "invalid_credentials") == 1


async def test_asvs_6_3_8_an_unknown_address_takes_as_long_as_a_known_one(world: Any) -> None:
    """Medians of real Argon2 hashes, far enough from skipping one and from any noise."""
    world.passwords._hasher = slow = PasswordHasher(time_cost=3, memory_cost=16384, parallelism=1)
    world.passwords._decoy_hash = slow.hash("decoy")
    world.use_limits(rate_limits=False)
    await world.verified_user(ADA)
    times: dict[str, list[float]] = {ADA: [], "nobody@example.org": []}
    for _ in range(9):
        for email, taken in times.items():
            begun = time.perf_counter()
            with pytest.raises(InvalidCredentials):
                await world.login(email, "wrong horse")
            taken.append(time.perf_counter() - begun)
    known, unknown = (statistics.median(taken) for taken in times.values())
    assert 0.4 < unknown / known < 2.5


async def test_asvs_6_3_8_a_refusal_waits_for_as_long_as_the_slowest_imported_hash_takes(world: Any) -> None:
    await world.verified_user(ADA)
    world.passwords._slowest_seconds = 0.2
    for email in (ADA, "nobody@example.org"):
        begun = time.perf_counter()
        with pytest.raises(InvalidCredentials):
            await world.login(email, "wrong horse")
        assert time.perf_counter() - begun >= 0.2


async def test_a_wrong_guess_is_counted_before_its_refusal_waits(world: Any) -> None:
    """Otherwise many guesses at once would find the limit as it was before them."""
    user = await world.verified_user(ADA)
    world.use_limits(limit_login="1/5 minutes")
    world.passwords._slowest_seconds = 3600.0
    waiting = asyncio.create_task(world.login(ADA, "wrong horse"))
    guesser = ("192.0.2.10", user.user_id, str(user.credentials_version))
    await eventually(lambda: world.limits.blocked_for("login", *guesser), "the guess is counted", timeout=30)
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize("refusal", [AccountLocked, Conflict, SessionLimitReached])
async def test_a_session_that_is_refused_after_the_right_password_is_audited_as_a_failure(
    world: Any, refusal: type[AuthError]
) -> None:
    user = await world.verified_user(ADA)
    world.sessions.refusal = refusal()
    with pytest.raises(refusal):
        await world.login(ADA, ip="192.0.2.77")
    last = (await world.audited(user))[0]
    assert (last.kind, last.details, last.ip) == ("login_failed", {"reason": refusal.code}, "192.0.2.77")
    assert last.session_id is None
    assert "login" not in {event.kind for event in await world.audited(user)}
    assert logins(world.metrics, refusal.code) == 1


async def test_failures_are_audited_without_what_was_typed(world: Any) -> None:
    user = await world.verified_user(ADA)
    for email in (ADA, "my secret typed into the wrong field"):
        with pytest.raises(InvalidCredentials):
            await world.login(email, "wrong horse")
    known, unknown = (await world.audited(user))[0], (await world.audited(None))[0]
    assert (known.kind, known.details) == ("login_failed", {"reason": "wrong_password"})
    assert (unknown.kind, unknown.details) == ("login_failed", {"reason": "unknown_account"})
    assert "secret" not in repr(unknown)
    assert "wrong horse" not in repr((known, unknown))


async def test_an_unverified_address_is_said_to_whoever_knows_the_password_only(world: Any) -> None:
    await world.register(ADA)
    with pytest.raises(InvalidCredentials):
        await world.login(ADA, "wrong horse")
    with pytest.raises(EmailNotVerified):
        await world.login(ADA)
    assert world.sessions.started == []
    world.use_limits(require_verified_email=False)
    await world.login(ADA)
    assert len(world.sessions.started) == 1


async def test_a_hash_of_old_parameters_is_renewed_by_a_login(world: Any) -> None:
    user = await world.verified_user(ADA)
    old = PasswordHasher(time_cost=2, memory_cost=32, parallelism=1).hash(PASSWORD)
    await world.users.set_password_hash(user.user_id, old_hash=user.password_hash, new_hash=old)
    await world.login(ADA)
    renewed = (await world.users.by_id(user.user_id)).password_hash
    assert renewed != old
    assert not world.passwords._hasher.check_needs_rehash(renewed)
    await world.login(ADA)
    assert (await world.users.by_id(user.user_id)).password_hash == renewed
    assert [event.kind for event in await world.audited(user)].count("password_rehashed") == 1


async def test_a_hash_that_cannot_be_renewed_does_not_stop_the_login(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await world.verified_user(ADA)
    old = PasswordHasher(time_cost=2, memory_cost=32, parallelism=1).hash(PASSWORD)
    await world.users.set_password_hash(user.user_id, old_hash=user.password_hash, new_hash=old)

    async def unavailable(*_: Any, **__: Any) -> None:
        raise Unavailable

    monkeypatch.setattr(Users, "set_password_hash", unavailable)
    await world.login(ADA)
    assert len(world.sessions.started) == 1


async def test_asvs_6_3_1_guesses_are_limited_and_the_owner_elsewhere_is_not(world: Any) -> None:
    await world.verified_user(ADA)
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await world.login(ADA, "wrong horse", ip="203.0.113.9")
    for password in ("wrong horse", PASSWORD):
        with pytest.raises(RateLimited) as refused:
            await world.login(ADA, password, ip="203.0.113.9")
        assert 1 <= (refused.value.retry_after_seconds or 0) <= 300
    await world.login(ADA)
    with pytest.raises(InvalidCredentials):
        await world.login("bob@example.org", "wrong horse", ip="203.0.113.9")


def spread(number: int) -> str:
    """Addresses of one attacker, each in a network of its own."""
    return f"2001:db8:{number:x}::1"


async def guess(world: Any, email: str, times: int, *, first: int = 0, **values: Any) -> list[str]:
    """Wrong passwords from as many networks; what each was answered."""
    answers = []
    for number in range(first, first + times):
        with pytest.raises(AuthError) as refused:
            await world.login(email, "wrong horse", ip=values.pop("ip", spread(number)), **values)
        answers.append(refused.value.code)
    return answers


@pytest.mark.parametrize("email", [ADA, "nobody@example.org"])
async def test_asvs_6_3_1_a_password_is_guessed_no_more_often_in_a_day_from_however_many_addresses(
    world: Any, email: str
) -> None:
    world.use_limits(limit_password_guesses="7/day")
    await world.verified_user(ADA)
    before = world.passwords.verified
    assert await guess(world, email, 12) == ["invalid_credentials"] * 7 + ["rate_limited"] * 5
    # What is refused costs no hash, and the right password is told from no wrong one.
    assert world.passwords.verified == before + 7
    with pytest.raises(RateLimited) as refused:
        await world.login(email, ip="203.0.113.9")
    assert (refused.value.retry_after_seconds or 0) > 86_000
    # Another account is none the worse for it.
    assert await guess(world, "bob@example.org", 1) == ["invalid_credentials"]


async def test_asvs_6_3_1_many_addresses_of_one_network_have_a_share_of_that(world: Any) -> None:
    await world.verified_user(ADA)
    in_one_48 = [f"2001:db8:0:{number:x}00::1" for number in range(120)]
    answers = [(await guess(world, ADA, 1, ip=ip))[0] for ip in in_one_48]
    assert answers.count("invalid_credentials") == 16 * 5


async def test_a_device_that_has_logged_in_before_is_stopped_by_no_ceiling_but_its_own(world: Any) -> None:
    world.use_limits(limit_password_guesses="7/day", limit_login="3/5 minutes")
    user = await world.verified_user(ADA)
    cookie = world.known_devices.remember(None, user.user_id)
    await guess(world, ADA, 8)
    await world.login(device_cookie=cookie)
    # Nor by a stranger at the very same address.
    assert await guess(world, "ada@example.org", 1, ip="192.0.2.10") == ["rate_limited"]
    await world.login(device_cookie=cookie, ip="192.0.2.10")
    # Stolen, it is worth a day's guesses, wherever they come from, and stops no other device.
    codes = []
    for first in (20, 30, 40):
        codes += await guess(world, ADA, 3, first=first, device_cookie=cookie)
        await world.limits.reset("login", "device", cookie_device(world, cookie, user), *account_of(user))
    assert codes == ["invalid_credentials"] * 7 + ["rate_limited"] * 2
    other = world.known_devices.remember(None, user.user_id)
    await world.login(device_cookie=other)


def cookie_device(world: Any, cookie: str, user: Any) -> str:
    return str(world.known_devices.device_of(cookie, user.user_id))


def account_of(user: Any) -> tuple[str, str]:
    return user.user_id, str(user.credentials_version)


async def test_wrong_passwords_of_a_known_device_leave_the_ceiling_of_strangers_alone(world: Any) -> None:
    world.use_limits(limit_password_guesses="3/day")
    user = await world.verified_user(ADA)
    cookie = world.known_devices.remember(None, user.user_id)
    assert await guess(world, ADA, 4, device_cookie=cookie) == ["invalid_credentials"] * 3 + ["rate_limited"]
    await world.login(ip="203.0.113.9")


async def test_the_owner_is_mailed_once_a_day_that_passwords_are_tried(world: Any) -> None:
    world.use_limits(limit_password_guesses="3/day")
    await world.verified_user(ADA)
    await guess(world, ADA, 9)
    mails = [each for each in await world.mails_to(ADA) if "many wrong passwords" in each["subject"]]
    assert len(mails) == 1
    assert "devices that have never" in mails[0]["text"]
    # Nobody is mailed of what concerns nobody, and it takes as long.
    pretended = await world.mongo.database["one_time_tokens"].count_documents({})
    await guess(world, "nobody@example.org", 9)
    assert await world.mails_to("nobody@example.org") == []
    assert await world.mongo.database["one_time_tokens"].count_documents({}) == pretended + 1


async def test_guesses_made_at_once_are_mailed_of_and_none_is_beyond_the_ceiling(world: Any) -> None:
    world.use_limits(limit_password_guesses="7/day")
    await world.verified_user(ADA)
    tries = [world.login(ADA, "wrong horse", ip=spread(number)) for number in range(30)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, InvalidCredentials) for result in results) == 7
    assert [each["subject"] for each in await world.mails_to(ADA)].count(
        "Security alert: many wrong passwords were entered"
    ) == 1


async def test_a_new_password_by_mail_opens_what_was_closed_by_guesses_at_the_old_one(world: Any) -> None:
    world.use_limits(limit_password_guesses="7/day")
    await world.verified_user(ADA)
    await guess(world, ADA, 8)
    for _ in range(6):
        with pytest.raises(RateLimited):
            await world.login(ADA, "wrong horse")
    reset = world.password_reset()
    await reset.ask(ADA, client=world.client())
    texts = [mail["text"] for mail in await world.mails_to(ADA)]
    [token] = [found for text in texts if (found := re.search(r"reset=(\S+)", text))]
    new = "a new barn on the hill"
    await reset.reset(token[1], password=new, keep_sessions=False, client=world.client())
    await world.login(ADA, new)


async def test_a_success_forgets_the_failures_before_it(world: Any) -> None:
    await world.verified_user(ADA)
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(InvalidCredentials):
                await world.login(ADA, "wrong horse")
        await world.login(ADA)


async def test_asvs_6_3_1_guesses_made_at_once_are_limited_like_others(world: Any) -> None:
    await world.verified_user(ADA)
    tries = [world.login(ADA, "wrong horse") for _ in range(40)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, InvalidCredentials) for result in results) == 5
    assert sum(isinstance(result, RateLimited) for result in results) == 35


async def test_asvs_6_3_1_the_right_password_late_among_guesses_made_at_once_says_nothing(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.verified_user(ADA)
    verify, verifying, guessed = world.passwords.verify, asyncio.Event(), asyncio.Event()

    async def verify_late(**values: Any) -> Any:
        if values["password"] == PASSWORD:
            verifying.set()
            await guessed.wait()
        return await verify(**values)

    monkeypatch.setattr(world.passwords, "verify", verify_late)
    right = asyncio.ensure_future(world.login(ADA))
    await verifying.wait()
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await world.login(ADA, "wrong horse")
    guessed.set()
    with pytest.raises(RateLimited):
        await right
    assert world.sessions.started == []


async def test_the_owner_may_log_in_many_times_at_once(world: Any) -> None:
    await world.verified_user(ADA)
    await asyncio.gather(*(world.login(ADA) for _ in range(20)))
    assert len(world.sessions.started) == 20


async def test_asvs_6_3_1_an_address_may_not_go_through_many_accounts(world: Any) -> None:
    world.use_limits(limit_login_ip="3/5 minutes")
    for number in range(3):
        with pytest.raises(InvalidCredentials):
            await world.login(f"user{number}@example.org", "wrong horse")
    with pytest.raises(RateLimited):
        await world.login("user3@example.org", "wrong horse")


async def test_a_login_whose_audit_event_is_lost_succeeds_and_is_counted(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.verified_user(ADA)

    async def unavailable(*_: Any, **__: Any) -> None:
        raise Unavailable

    monkeypatch.setattr(world.events, "append", unavailable)
    await world.login(ADA)
    assert world.metrics.jobs.labels("audit", "failed")._value.get() == 1


async def test_an_outage_is_no_failure_of_the_user(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(*_: Any, **__: Any) -> None:
        raise Unavailable

    monkeypatch.setattr(world.users, "by_email", unavailable)
    for _ in range(6):
        with pytest.raises(AuthError) as refused:
            await world.login(ADA)
        assert refused.value.code == "unavailable"
