"""What a user does with sessions, on a real MongoDB: begin, refresh, use, list and end them."""

import asyncio
import secrets
from base64 import urlsafe_b64decode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import bson
import pytest
from support.session_world import FIREFOX, IDLE_LIFE, LAPTOP, PHONE, WHOLE_LIFE, World, make_user, make_world

from auth.core.errors import InvalidToken, NotFound, RefreshReused, SessionExpired, SessionRevoked, TokenExpired
from auth.core.events import SecurityAlert, SessionCreated, SessionEnded, SessionUpdated
from auth.core.lru_cache import LruCache
from auth.core.models import SYSTEM, Actor, Client, Delivery, Device, RevocationReason, TokenDelivery, User
from auth.crypto.tokens import RefreshToken
from auth.sessions.rotation import Verdict
from auth.sessions.types import StartedSession
from auth.stores.mongo import Mongo


async def refresh(world: World, token: str, client: Client = LAPTOP) -> tuple[str, str]:
    """The outcome and the new refresh token."""
    refreshed = await world.sessions.refresh(token, client=client)
    return refreshed.outcome.value, refreshed.tokens.refresh_token


async def code_of(world: World, token: str, client: Client = LAPTOP) -> str:
    """Why a refresh is refused."""
    with pytest.raises((InvalidToken, SessionRevoked, SessionExpired, RefreshReused)) as refused:
        await world.sessions.refresh(token, client=client)
    return refused.value.code


async def use(world: World, access_token: str) -> None:
    await world.sessions.authenticate(access_token)


# Begin ---------------------------------------------------------------------------------------------------


async def test_a_login_begins_a_session_and_says_so(world: World, ada: User) -> None:
    started = await world.sessions.start(
        ada, amr=["pwd", "otp"], device_name="Ada’s laptop", delivery=TokenDelivery.COOKIES, client=LAPTOP
    )
    session, now = started.session, world.time.now
    assert await world.stored(session) == session
    assert world.facts.facts == [SessionCreated(session)]
    assert (session.user_id, session.roles, session.amr) == (ada.user_id, ("user", "admin"), ("pwd", "otp"))
    assert session.device == Device("Ada’s laptop", "Chrome", "Windows", "desktop", "Chrome on Windows")
    assert (session.delivery, session.ip) == (TokenDelivery.COOKIES, LAPTOP.ip)
    assert (session.logged_in_at, session.expires_at, session.ends_at) == (now, now + IDLE_LIFE, now + WHOLE_LIFE)
    assert (session.generation, session.confirmed) == (0, False)
    assert started.tokens.refresh_token_expires_at == session.expires_at
    principal = await world.sessions.verify(started.tokens.access_token)
    assert (principal.session_id, principal.generation) == (session.session_id, 0)


async def test_asvs_7_2_3_the_secret_of_a_session_is_128_bits_of_the_systems_random_source(
    world: World, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [bytes(range(16))]
    monkeypatch.setattr(secrets, "token_bytes", lambda length: drawn[-1][:length])
    token = (await world.log_in(ada)).tokens.refresh_token.removeprefix("rt1.")
    assert urlsafe_b64decode(token + "=" * (-len(token) % 4))[20:36] == drawn[-1]


async def test_what_the_database_keeps_makes_no_token(world: World, ada: User, mongo: Mongo) -> None:
    started = await world.log_in(ada)
    token = world.refresh_tokens.parse(started.tokens.refresh_token)
    async for document in mongo.database["sessions"].find():
        kept = bson.encode(document)
        assert token.nonce not in kept
        assert token.nonce.hex().encode() not in kept
        assert started.tokens.refresh_token.encode()[-43:] not in kept
        assert started.tokens.access_token.encode()[-43:] not in kept


async def test_a_user_agent_of_any_length_is_cut(world: World, ada: User) -> None:
    started = await world.log_in(ada, replace(LAPTOP, user_agent="x" * 100_000))
    assert len((await world.stored(started.session)).user_agent) == 512


async def test_the_first_device_is_no_news_and_another_one_is(world: World, ada: User) -> None:
    await world.log_in(ada)
    assert world.facts.alerts == []
    again = await world.log_in(ada)
    assert again.session.device.name == "Chrome on Windows"
    assert world.facts.alerts == []
    phone = await world.log_in(ada, PHONE)
    assert world.facts.alerts == [SecurityAlert("new_device", phone.session, world.time.now)]
    assert world.facts.facts[-2:] == [SessionCreated(phone.session), *world.facts.alerts]
    await world.log_in(ada, replace(PHONE, ip="203.0.113.5"))
    assert len(world.facts.alerts) == 1


async def test_another_users_devices_make_none_known(world: World, ada: User) -> None:
    await world.log_in(make_user(world.time.now), PHONE)
    await world.log_in(ada)
    await world.log_in(ada, PHONE)
    assert [alert.kind for alert in world.facts.alerts] == ["new_device"]


async def test_a_device_stays_known_after_its_session_was_ended(world: World, ada: User) -> None:
    phone = await world.log_in(ada, PHONE)
    await world.log_in(ada)
    await world.sessions.log_out_by_refresh_token(phone.tokens.refresh_token, client=PHONE)
    world.facts.facts.clear()
    await world.log_in(ada, PHONE)
    assert world.facts.alerts == []


# Refresh -------------------------------------------------------------------------------------------------


async def test_a_refresh_hands_out_the_next_pair(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    now = world.time.go(minutes=10)
    refreshed = await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    assert refreshed.outcome is Verdict.ROTATED
    assert refreshed.session == await world.stored(started.session)
    assert refreshed.session.expires_at == refreshed.tokens.refresh_token_expires_at == now + IDLE_LIFE
    principal = await world.sessions.authenticate(refreshed.tokens.access_token)
    assert principal.generation == 1
    assert principal.auth_time == started.session.logged_in_at.replace(microsecond=0)
    assert world.facts.facts == [SessionCreated(started.session)], "the list shows nothing new"
    assert await world.trail(ada) == []
    assert world.refreshes("rotated") == 1


async def test_a_refresh_from_another_address_is_shown_to_the_other_devices(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    moved = replace(LAPTOP, ip="8.8.8.8")
    refreshed = await world.sessions.refresh(started.tokens.refresh_token, client=moved)
    assert world.facts.of(SessionUpdated) == [SessionUpdated(refreshed.session)]
    stored = await world.stored(started.session)
    assert (stored.ip, stored == refreshed.session) == ("8.8.8.8", True)
    assert stored.location is not None
    assert stored.location.country == "US"


async def test_asvs_10_4_5_a_lost_answer_is_given_again_however_late(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    _, lost = await refresh(world, started.tokens.refresh_token)
    world.time.go(days=3)
    outcome, again = await refresh(world, started.tokens.refresh_token)
    assert (outcome, again) == ("replayed", lost)
    assert [event.kind for event in await world.trail(ada)] == ["refresh_replayed"]
    assert (await refresh(world, again))[0] == "rotated"


async def test_a_replay_does_not_prolong_the_session(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    await refresh(world, started.tokens.refresh_token)
    expires_at = (await world.stored(started.session)).expires_at
    world.time.go(days=3)
    refreshed = await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    assert refreshed.tokens.refresh_token_expires_at == expires_at
    assert (await world.stored(started.session)).expires_at == expires_at


async def test_asvs_10_4_5_two_tabs_within_ten_seconds_get_the_same_pair(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    refreshed = await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    await use(world, refreshed.tokens.access_token)
    world.time.go(seconds=10)
    outcome, again = await refresh(world, started.tokens.refresh_token)
    assert (outcome, again) == ("concurrent", refreshed.tokens.refresh_token)
    assert [event.kind for event in await world.trail(ada)] == ["refresh_concurrent"]


async def test_asvs_15_4_2_fifty_tabs_at_once_get_one_generation(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    answers = await asyncio.gather(*(refresh(world, started.tokens.refresh_token) for _ in range(50)))
    outcomes = [outcome for outcome, _ in answers]
    assert outcomes.count("rotated") == 1
    assert set(outcomes) <= {"rotated", "replayed", "concurrent"}
    assert len({token for _, token in answers}) == 1
    assert (await world.stored(started.session)).generation == 1


async def test_asvs_7_3_2_and_10_4_8_the_whole_life_of_a_session_is_bounded(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    token = started.tokens.refresh_token
    while world.time.now + timedelta(days=6) < started.session.ends_at:
        world.time.go(days=6)
        _, token = await refresh(world, token)
    last = await world.stored(started.session)
    assert last.expires_at == started.session.ends_at
    refreshed = await world.sessions.refresh(token, client=LAPTOP)
    world.time.now = started.session.ends_at - timedelta(seconds=30)
    refreshed = await world.sessions.refresh(refreshed.tokens.refresh_token, client=LAPTOP)
    assert refreshed.tokens.access_token_expires_at <= started.session.ends_at
    world.time.now = started.session.ends_at
    assert await code_of(world, refreshed.tokens.refresh_token) == "session_expired"


async def test_a_session_that_mongodb_has_removed_has_expired(world: World, ada: User, mongo: Mongo) -> None:
    started = await world.log_in(ada)
    await mongo.database["sessions"].delete_many({})
    assert await code_of(world, started.tokens.refresh_token) == "session_expired"
    assert world.refreshes("session_expired") == 1


@pytest.mark.parametrize("token", ["", "rt1.", "rt1." + "A" * 91, "x", "\0", "é" * 95])
async def test_nonsense_is_refused_and_writes_nothing(world: World, ada: User, token: str) -> None:
    await world.log_in(ada)
    assert await code_of(world, token) == "invalid_token"
    assert await world.trail(ada) == []


# Theft ---------------------------------------------------------------------------------------------------


async def stolen(world: World, user: User) -> StartedSession:
    """A session whose first refresh token was used, its successor confirmed, and time gone by."""
    started = await world.log_in(user)
    refreshed = await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    await use(world, refreshed.tokens.access_token)
    world.time.go(seconds=10, milliseconds=1)
    return started


async def test_a_token_used_twice_ends_every_session_of_the_user(world: World, ada: User) -> None:
    phone = await world.log_in(ada, PHONE)
    stranger = await world.log_in(make_user(world.time.now))
    first = await stolen(world, ada)
    world.facts.facts.clear()
    assert await code_of(world, first.tokens.refresh_token, PHONE) == "refresh_reused"
    ended = {fact.session.session_id: fact for fact in world.facts.ended}
    assert ended.keys() == {phone.session.session_id, first.session.session_id}
    for fact in ended.values():
        assert (fact.reason, fact.by, fact.at) == (RevocationReason.REFRESH_REUSED, SYSTEM, world.time.now)
    assert [(alert.kind, alert.session.session_id) for alert in world.facts.alerts] == [
        ("refresh_reused", first.session.session_id)
    ]
    assert isinstance(world.facts.facts[-1], SecurityAlert), "whoever hears of it is still connected then"
    assert world.mails.sent == [ada.user_id]
    assert await code_of(world, phone.tokens.refresh_token) == "session_revoked"
    assert (await world.stored(stranger.session)).revoked_at is None
    assert world.refreshes("refresh_reused") == 1


async def test_by_setting_only_the_family_is_ended(mongo: Mongo) -> None:
    world = await make_world(mongo, theft_ends_all=False)
    ada = make_user(world.time.now)
    phone = await world.log_in(ada, PHONE)
    first = await stolen(world, ada)
    assert await code_of(world, first.tokens.refresh_token) == "refresh_reused"
    assert [fact.session.session_id for fact in world.facts.ended] == [first.session.session_id]
    assert world.mails.sent == [ada.user_id]
    assert len(world.facts.of(SecurityAlert)) == 2, "the new device, and the theft"
    assert (await refresh(world, phone.tokens.refresh_token))[0] == "rotated"


async def test_the_trail_of_a_theft_says_what_and_from_where(world: World, ada: User) -> None:
    first = await stolen(world, ada)
    await code_of(world, first.tokens.refresh_token, PHONE)
    reused, revoked = await world.trail(ada)
    assert (reused.kind, reused.ip, reused.user_agent) == ("refresh_reused", PHONE.ip, FIREFOX)
    assert (revoked.kind, revoked.session_id) == ("session_revoked", first.session.session_id)
    assert revoked.details == {"generation": "1", "reason": "refresh_reused", "by": "system", "bySession": ""}


async def test_the_same_theft_is_told_once(world: World, ada: User) -> None:
    first = await stolen(world, ada)
    outcomes = await asyncio.gather(*(code_of(world, first.tokens.refresh_token) for _ in range(10)))
    assert set(outcomes) <= {"refresh_reused", "session_revoked"}
    assert len(world.facts.ended) == 1
    assert len(world.facts.alerts) == 1
    assert world.mails.sent == [ada.user_id]
    assert await code_of(world, first.tokens.refresh_token) == "session_revoked"


async def test_asvs_10_4_5_a_token_two_generations_old_is_theft_even_at_once(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    _, second = await refresh(world, started.tokens.refresh_token)
    await refresh(world, second)
    assert await code_of(world, started.tokens.refresh_token) == "refresh_reused"


async def test_an_old_token_after_a_logout_is_no_theft(world: World, ada: User) -> None:
    phone = await world.log_in(ada, PHONE)
    first = await stolen(world, ada)
    await world.sessions.log_out_by_refresh_token(first.tokens.refresh_token, client=LAPTOP)
    assert await code_of(world, first.tokens.refresh_token) == "session_revoked"
    assert (await world.stored(phone.session)).revoked_at is None
    assert world.mails.sent == []


def forged(world: World, started: StartedSession, **changes: object) -> str:
    """A token with our own tag on it: what somebody with the leaked secret could make."""
    token = world.refresh_tokens.parse(started.tokens.refresh_token)
    return world.refresh_tokens.mint(replace(token, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"nonce": bytes(16)}, {"generation": 1}, {"generation": 2**32 - 2}])
async def test_a_token_that_contradicts_the_database_ends_the_session(
    world: World, ada: User, changes: dict[str, object]
) -> None:
    other = await world.log_in(ada, PHONE)
    started = await world.log_in(ada)
    world.facts.facts.clear()
    token = forged(world, started, **changes)
    assert await code_of(world, token) == "invalid_token"
    assert [fact.session.session_id for fact in world.facts.ended] == [started.session.session_id]
    assert [alert.kind for alert in world.facts.alerts] == ["refresh_reused"]
    assert [event.kind for event in await world.trail(ada)] == ["refresh_forged", "session_revoked"]
    assert await code_of(world, started.tokens.refresh_token) == "session_revoked"
    assert (await world.stored(other.session)).revoked_at is None
    assert await code_of(world, token) == "session_revoked"
    assert len(world.facts.alerts) == 1


async def test_the_nonces_hash_from_a_stolen_database_is_no_nonce(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    kept = (await world.stored(started.session)).nonce_hash
    for part in (kept[:16], kept[16:]):
        assert await code_of(world, forged(world, started, nonce=part)) in {"invalid_token", "session_revoked"}


async def test_a_forgery_shown_many_times_at_once_is_told_once(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    token = forged(world, started, nonce=bytes(16))
    outcomes = await asyncio.gather(*(code_of(world, token) for _ in range(10)))
    assert set(outcomes) <= {"invalid_token", "session_revoked"}
    assert len(world.facts.ended) == 1
    assert len(world.facts.alerts) == 1


async def test_a_genuine_tag_for_an_unknown_session_says_nothing(world: World) -> None:
    token = world.refresh_tokens.mint(RefreshToken("0" * 32, 0, bytes(16)))
    assert await code_of(world, token) == "session_expired"
    await world.sessions.log_out_by_refresh_token(token, client=LAPTOP)
    assert world.facts.facts == []


# Use -----------------------------------------------------------------------------------------------------


async def test_a_token_in_use_confirms_its_generation_once(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    for _ in range(5):
        await use(world, started.tokens.access_token)
    assert world.store.confirmed == 1
    assert (await world.stored(started.session)).confirmed
    refreshed = await world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP)
    assert not (await world.stored(started.session)).confirmed
    for _ in range(3):
        await use(world, refreshed.tokens.access_token)
    assert world.store.confirmed == 2
    assert (await world.stored(started.session)).confirmed


async def test_the_old_access_token_does_not_confirm_the_new_generation(world: World, ada: User) -> None:
    """It proves nothing about the answer that carried the new one."""
    started = await world.log_in(ada)
    await refresh(world, started.tokens.refresh_token)
    await use(world, started.tokens.access_token)
    assert not (await world.stored(started.session)).confirmed
    assert (await refresh(world, started.tokens.refresh_token))[0] == "replayed"


async def test_a_token_that_its_client_has_not_received_confirms_nothing(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    await world.sessions.authenticate(started.tokens.access_token, confirm=False)
    assert world.store.confirmed == 0
    assert not (await world.stored(started.session)).confirmed


async def test_a_device_in_use_is_seen_once_a_minute(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    await use(world, started.tokens.access_token)
    world.time.go(seconds=60)
    await use(world, started.tokens.access_token)
    assert world.store.touched == 0
    now = world.time.go(milliseconds=1)
    await use(world, started.tokens.access_token)
    await use(world, started.tokens.access_token)
    assert world.store.touched == 1
    assert (await world.stored(started.session)).last_seen_at == now


async def test_seen_notes_the_time_at_once(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    principal = await world.sessions.verify(started.tokens.access_token)
    now = world.time.go(seconds=1)
    await world.sessions.seen(principal)
    assert (await world.stored(started.session)).last_seen_at == now


@pytest.mark.parametrize("redis_answers", [True, False])
async def test_a_revoked_sessions_token_is_refused_at_once(world: World, ada: User, redis_answers: bool) -> None:
    """By the deny-list, or by the truth while that does not answer."""
    started = await world.log_in(ada)
    world.deny_list.answers = redis_answers
    await use(world, started.tokens.access_token)
    await world.sessions.log_out_by_refresh_token(started.tokens.refresh_token, client=LAPTOP)
    with pytest.raises(SessionRevoked):
        await use(world, started.tokens.access_token)
    assert world.deny_list.asked == 2


async def test_without_redis_a_removed_session_is_taken_as_revoked(world: World, ada: User, mongo: Mongo) -> None:
    started = await world.log_in(ada)
    await mongo.database["sessions"].delete_many({})
    world.deny_list.answers = False
    with pytest.raises(SessionRevoked):
        await use(world, started.tokens.access_token)


async def test_a_token_past_its_time_is_expired_and_asks_nobody(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    world.time.go(minutes=15, seconds=5)
    with pytest.raises(TokenExpired):
        await use(world, started.tokens.access_token)
    assert world.deny_list.asked == 0


# List ----------------------------------------------------------------------------------------------------


async def test_a_list_shows_live_sessions_who_is_online_and_the_version(world: World, ada: User) -> None:
    first, second = await world.log_in(ada), await world.log_in(ada, PHONE)
    gone = await world.log_in(ada)
    await world.log_in(make_user(world.time.now))
    await world.sessions.log_out_by_refresh_token(gone.tokens.refresh_token, client=LAPTOP)
    world.presence.sessions, world.presence.version = frozenset({second.session.session_id}), 7
    world.time.go(minutes=2)
    principal = await world.sessions.authenticate(first.tokens.access_token)
    listed = await world.sessions.list(principal)
    assert [each.session_id for each in listed.sessions] == [first.session.session_id, second.session.session_id]
    assert (listed.online, listed.version) == (frozenset({second.session.session_id}), 7)


# End -----------------------------------------------------------------------------------------------------


async def test_one_device_ends_another(world: World, ada: User) -> None:
    laptop, phone = await world.log_in(ada), await world.log_in(ada, PHONE)
    me = await world.sessions.verify(laptop.tokens.access_token)
    delivery = await world.sessions.revoke(me, phone.session.session_id, client=LAPTOP)
    assert delivery == Delivery(sockets=1, notified=1, acknowledged=1, closed=1)
    stored = await world.stored(phone.session)
    by = Actor("user", laptop.session.session_id)
    assert world.facts.ended == [SessionEnded(stored, RevocationReason.REVOKED, by, world.time.now)]
    assert world.facts.waited[-1] is True
    trail = await world.trail(ada)
    assert [(event.kind, event.session_id, event.ip) for event in trail] == [
        ("session_revoked", phone.session.session_id, LAPTOP.ip)
    ]
    assert trail[0].details["bySession"] == laptop.session.session_id


async def test_what_is_not_yours_or_is_gone_is_not_found(world: World, ada: User) -> None:
    laptop = await world.log_in(ada)
    others = await world.log_in(make_user(world.time.now))
    me = await world.sessions.verify(laptop.tokens.access_token)
    phone = await world.log_in(ada, PHONE)
    await world.sessions.revoke(me, phone.session.session_id, client=LAPTOP)
    for session_id in (others.session.session_id, phone.session.session_id, "", "no such", "\0", "$ne"):
        with pytest.raises(NotFound):
            await world.sessions.revoke(me, session_id, client=LAPTOP)
    assert (await world.stored(others.session)).revoked_at is None
    assert len(world.facts.ended) == 1


async def test_a_device_may_end_itself(world: World, ada: User) -> None:
    laptop = await world.log_in(ada)
    me = await world.sessions.verify(laptop.tokens.access_token)
    await world.sessions.revoke(me, me.session_id, client=LAPTOP)
    with pytest.raises(SessionRevoked):
        await use(world, laptop.tokens.access_token)


async def test_ending_the_others_keeps_this_one(world: World, ada: User) -> None:
    laptop = await world.log_in(ada)
    others = [await world.log_in(ada, PHONE) for _ in range(3)]
    me = await world.sessions.verify(laptop.tokens.access_token)
    revoked = await world.sessions.revoke_others(me, client=LAPTOP)
    assert (revoked.count, revoked.delivery.closed) == (3, 3)
    assert {fact.reason for fact in world.facts.ended} == {RevocationReason.REVOKED_OTHERS}
    assert {fact.session.session_id for fact in world.facts.ended} == {each.session.session_id for each in others}
    await use(world, laptop.tokens.access_token)
    assert (await world.sessions.revoke_others(me, client=LAPTOP)).count == 0


async def test_logging_out_everywhere_ends_this_one_too(world: World, ada: User) -> None:
    laptop, phone = await world.log_in(ada), await world.log_in(ada, PHONE)
    me = await world.sessions.verify(laptop.tokens.access_token)
    revoked = await world.sessions.log_out_everywhere(me, client=LAPTOP)
    assert revoked.count == 2
    assert {fact.reason for fact in world.facts.ended} == {RevocationReason.LOGOUT_ALL}
    for started in (laptop, phone):
        with pytest.raises(SessionRevoked):
            await use(world, started.tokens.access_token)


async def test_ending_all_names_its_reason_and_who_asked(world: World, ada: User) -> None:
    await world.log_in(ada)
    admin = Actor("admin", "another session")
    ended = await world.sessions.end_all(
        ada.user_id, reason=RevocationReason.PASSWORD_CHANGED, by=admin, client=LAPTOP
    )
    assert ended.count == 1
    assert [(fact.reason, fact.by) for fact in world.facts.ended] == [(RevocationReason.PASSWORD_CHANGED, admin)]


async def test_logging_out_ends_the_own_session_and_twice_is_fine(world: World, ada: User) -> None:
    laptop = await world.log_in(ada)
    me = await world.sessions.verify(laptop.tokens.access_token)
    for _ in range(2):
        await world.sessions.log_out(me, client=LAPTOP)
    assert [(fact.reason, fact.by) for fact in world.facts.ended] == [
        (RevocationReason.LOGOUT, Actor("user", laptop.session.session_id))
    ]
    assert world.facts.waited[-1] is False, "nobody waits for their own socket's receipt"


@pytest.mark.parametrize("age", [0, 1, 2])
async def test_a_refresh_token_of_any_generation_logs_out(world: World, ada: User, age: int) -> None:
    """A client that missed its newest one must be able to leave all the same, and this raises no alarm."""
    started = await world.log_in(ada)
    token = started.tokens.refresh_token
    for _ in range(age):
        _, token = await refresh(world, token)
    for _ in range(2):
        await world.sessions.log_out_by_refresh_token(started.tokens.refresh_token, client=LAPTOP)
    assert [fact.reason for fact in world.facts.ended] == [RevocationReason.LOGOUT]
    assert world.mails.sent == []
    assert await code_of(world, token) == "session_revoked"


async def test_a_forged_refresh_token_logs_nobody_out(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    cut = started.tokens.refresh_token[:-1]
    for token in (forged(world, started, nonce=bytes(16)), cut, cut + "=", "", "rt1."):
        with pytest.raises(InvalidToken):
            await world.sessions.log_out_by_refresh_token(token, client=LAPTOP)
    assert world.facts.ended == []


async def test_logging_out_of_an_expired_session_is_fine(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    world.time.go(days=8)
    await world.sessions.log_out_by_refresh_token(started.tokens.refresh_token, client=LAPTOP)
    assert world.facts.ended == []


async def test_whose_session_a_refresh_token_is_of_is_told_without_a_store(world: World, ada: User) -> None:
    started = await world.log_in(ada)
    assert world.sessions.refresh_token_session(started.tokens.refresh_token) == started.session.session_id
    with pytest.raises(InvalidToken):
        world.sessions.refresh_token_session("rt1." + "A" * 91)


async def test_asvs_15_4_2_no_refresh_in_flight_brings_a_revoked_session_back(world: World, ada: User) -> None:
    """Both at once, many times: whatever comes first, afterwards nothing of the session works."""
    for _ in range(15):
        started = await world.log_in(ada)
        me = await world.sessions.verify(started.tokens.access_token)
        answer, _ = await asyncio.gather(
            world.sessions.refresh(started.tokens.refresh_token, client=LAPTOP),
            world.sessions.log_out(me, client=LAPTOP),
            return_exceptions=True,
        )
        assert (await world.stored(started.session)).revoked_at is not None
        if isinstance(answer, BaseException):
            assert isinstance(answer, SessionRevoked)
            continue
        assert await code_of(world, answer.tokens.refresh_token) == "session_revoked"
        with pytest.raises(SessionRevoked):
            await use(world, answer.tokens.access_token)


def test_a_node_remembers_only_so_many() -> None:
    recent: LruCache[Any, Any] = LruCache(3)
    for number in range(5):
        recent.put(str(number), number)
    assert [recent.get(str(number)) for number in range(5)] == [None, None, 2, 3, 4]
    recent.put("2", 9)
    recent.put("5", 5)
    assert (recent.get("2"), recent.get("3")) == (9, None)
