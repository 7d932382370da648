"""The collection `sessions`: every method is one atomic act, on either driver."""

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import bson
import pytest
from support.session_world import IDLE_LIFE, LAPTOP, PHONE, WHOLE_LIFE, Time, make_session

from auth.errors import Unavailable
from auth.models import Actor, Device, Location, RevocationReason, Session, Sighting
from auth.stores.mongo import Mongo
from auth.stores.rotations import STAMPS_KEPT, Rotated
from auth.stores.session_documents import EXPIRED_KEPT
from auth.stores.sessions import MAX_LISTED, Sessions

REVOKED_KEPT = timedelta(days=90)
ADA = Actor("user", "ada-session")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def store(mongo: Mongo) -> Sessions:
    store = Sessions(mongo.database, revoked_kept=REVOKED_KEPT)
    await store.ensure_indexes()
    return store


@pytest.fixture
async def session(store: Sessions, time: Time) -> Session:
    made = make_session(time.now)
    await store.create(made)
    return made


async def document(mongo: Mongo, session: Session) -> dict[str, Any]:
    found = await mongo.database["sessions"].find_one({"_id": session.session_id})
    assert found is not None
    return dict(found)


async def rotate(store: Sessions, session: Session, time: Time, **changes: Any) -> Rotated | None:
    options: dict[str, Any] = {
        "nonce_hash": session.nonce_hash,
        "from_generation": session.generation,
        "client": LAPTOP,
        "location": None,
        "now": time.now,
        "idle_life": IDLE_LIFE,
    }
    return await store.rotate(session.session_id, **options | changes)


async def revoke(store: Sessions, session: Session, time: Time, **changes: Any) -> Session | None:
    options: dict[str, Any] = {
        "user_id": session.user_id,
        "reason": RevocationReason.REVOKED,
        "by": ADA,
        "ip": "192.0.2.9",
        "now": time.now,
    }
    return await store.revoke(session.session_id, **options | changes)


async def revoke_all(store: Sessions, user_id: str, time: Time, **changes: Any) -> list[Session]:
    options: dict[str, Any] = {
        "revocation_id": secrets.token_hex(8),
        "keep": None,
        "reason": RevocationReason.LOGOUT_ALL,
        "by": ADA,
        "ip": "192.0.2.9",
        "now": time.now,
    }
    return await store.revoke_all(user_id, **options | changes)


async def until(condition: Any, *, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


# Kept as given --------------------------------------------------------------------------------------------


async def test_a_session_comes_back_as_it_went_in(store: Sessions, time: Time) -> None:
    made = make_session(
        time.now,
        generation=2**32 - 1,
        device=Device("Ada’s $phone", None, None, "phone"),
        user_agent="$agent.with{odd}\0 signs ✓",
        ip="2001:db8::1",
        location=Location("Łódź", "PL"),
        roles=(),
        amr=("pwd", "otp"),
    )
    await store.create(made)
    assert await store.get(made.session_id) == made
    assert await store.get("nobody's") is None


async def test_making_the_indexes_again_or_at_once_is_no_error(mongo: Mongo) -> None:
    store = Sessions(mongo.database, revoked_kept=REVOKED_KEPT)
    await asyncio.gather(*(store.ensure_indexes() for _ in range(5)))
    await store.ensure_indexes()


async def test_nothing_of_a_session_document_makes_a_token(mongo: Mongo, store: Sessions, time: Time) -> None:
    nonce = secrets.token_bytes(16)
    made = make_session(time.now)
    await store.create(made)
    assert nonce not in bson.encode(await document(mongo, made))
    kept = await document(mongo, made)
    assert {name for name, value in kept.items() if isinstance(value, bytes)} == {"nonceHash"}
    assert not any("token" in name.lower() for name in kept)


# Rotation -------------------------------------------------------------------------------------------------


async def test_a_rotation_moves_one_generation_on_and_says_what_was_before(
    store: Sessions, session: Session, time: Time
) -> None:
    await store.confirm(session.session_id, 0, now=time.now)
    now = time.go(minutes=5)
    rotated = await rotate(store, session, time, client=PHONE, location=Location(None, "DE"))
    moved = replace(
        session,
        generation=1,
        confirmed=False,
        rotated_at=now,
        last_seen_at=now,
        ip=PHONE.ip,
        location=Location(None, "DE"),
        expires_at=now + IDLE_LIFE,
    )
    assert rotated == Rotated(replace(session, confirmed=True), moved)
    assert await store.get(session.session_id) == moved


async def test_of_fifty_callers_with_one_token_one_rotates(store: Sessions, session: Session, time: Time) -> None:
    outcomes = await asyncio.gather(*(rotate(store, session, time) for _ in range(50)))
    assert sum(outcome is not None for outcome in outcomes) == 1
    after = await store.get(session.session_id)
    assert after is not None
    assert after.generation == 1


async def test_in_a_storm_of_refreshes_each_waits_its_turn_and_none_is_turned_away(
    store: Sessions, time: Time
) -> None:
    sessions = [make_session(time.now, session_id=secrets.token_hex(16)) for _ in range(800)]
    for start in range(0, len(sessions), 50):
        await asyncio.gather(*map(store.create, sessions[start : start + 50]))
    rotated = await asyncio.gather(*(rotate(store, session, time) for session in sessions))
    assert rotated == [Rotated(session, replace(session, generation=1)) for session in sessions]


async def test_of_rotations_that_travel_together_each_hears_of_its_own(
    store: Sessions, mongo: Mongo, time: Time
) -> None:
    """Two stores are two nodes. What is asked in one turn goes in one command."""
    other = Sessions(mongo.database, revoked_kept=REVOKED_KEPT)
    stale, revoked, expired, *good = [make_session(time.now) for _ in range(9)]
    await asyncio.gather(*map(store.create, (stale, revoked, expired, *good)))
    await rotate(store, stale, time)
    await revoke(store, revoked, time)
    asked = [
        rotate(store, stale, time),
        rotate(store, revoked, time),
        rotate(store, expired, time, now=expired.expires_at),
        rotate(store, good[0], time, nonce_hash=bytes(32)),
        *(rotate(each, session, time, client=PHONE) for session in good for each in (store, store, other)),
    ]
    outcomes = await asyncio.gather(*asked)
    assert outcomes[:4] == [None, None, None, None]
    for place, session in enumerate(good):
        [won] = [each for each in outcomes[4 + 3 * place : 7 + 3 * place] if each is not None]
        assert won.before == session
        assert (won.after.session_id, won.after.generation, won.after.ip) == (session.session_id, 1, PHONE.ip)


async def test_revocations_that_race_with_rotations_in_a_crowd_are_never_undone(
    store: Sessions, mongo: Mongo, time: Time
) -> None:
    other = Sessions(mongo.database, revoked_kept=REVOKED_KEPT)
    sessions = [make_session(time.now) for _ in range(120)]
    for start in range(0, len(sessions), 40):
        await asyncio.gather(*map(store.create, sessions[start : start + 40]))
    rotations = [rotate(each, session, time) for session in sessions for each in (store, other)]
    revocations = [revoke(other, session, time) for session in sessions]
    outcomes = await asyncio.gather(*rotations, *revocations)
    assert all(outcome is not None for outcome in outcomes[2 * len(sessions) :])
    for place, session in enumerate(sessions):
        won = [each for each in outcomes[2 * place : 2 * place + 2] if each is not None]
        after = await store.get(session.session_id)
        assert after is not None
        assert after.revoked_at is not None
        # A rotation that was done just before the end may have been told of the end instead.
        assert len(won) <= after.generation <= 1


async def test_no_more_stamps_are_kept_than_are_needed(
    mongo: Mongo, store: Sessions, session: Session, time: Time
) -> None:
    for generation in range(STAMPS_KEPT + 4):
        assert await rotate(store, replace(session, generation=generation), time) is not None
    kept = (await document(mongo, session))["stamps"]
    assert len(kept) == len(set(kept)) == STAMPS_KEPT


@pytest.mark.parametrize(
    "changes",
    [
        {"from_generation": 1},
        {"from_generation": 2**32 - 2},
        {"nonce_hash": bytes(32)},
        {"nonce_hash": b""},
    ],
)
async def test_another_generation_or_nonce_rotates_nothing(
    store: Sessions, session: Session, time: Time, changes: dict[str, Any]
) -> None:
    assert await rotate(store, session, time, **changes) is None
    assert await store.get(session.session_id) == session


async def test_a_revoked_session_is_not_written_again(
    mongo: Mongo, store: Sessions, session: Session, time: Time
) -> None:
    await revoke(store, session, time)
    kept = await document(mongo, session)
    assert await rotate(store, session, time) is None
    assert await document(mongo, session) == kept


async def test_an_expired_session_does_not_rotate(store: Sessions, session: Session, time: Time) -> None:
    time.now = session.expires_at - timedelta(milliseconds=1)
    slid = await rotate(store, session, time)
    assert slid is not None
    second = await store.get(session.session_id)
    assert second is not None
    time.now = second.expires_at
    assert await rotate(store, second, time) is None


async def test_the_end_slides_with_use_but_never_past_the_end_of_all(
    mongo: Mongo, store: Sessions, session: Session, time: Time
) -> None:
    current: Session | None = session
    for _ in range(8):
        time.go(days=4)
        assert current is not None
        if await rotate(store, current, time) is None:
            break
        current = await store.get(session.session_id)
        assert current is not None
        assert current.expires_at == min(time.now + IDLE_LIFE, session.logged_in_at + WHOLE_LIFE)
        assert (await document(mongo, session))["purgeAt"] == current.expires_at + EXPIRED_KEPT
    assert time.now >= session.logged_in_at + WHOLE_LIFE
    assert current is not None
    assert current.generation == 7


@pytest.mark.parametrize("odd", ["$endsAt", "$$REMOVE", "$$ROOT", "a.b", ""])
async def test_an_address_is_stored_as_text_whatever_it_looks_like(
    store: Sessions, session: Session, time: Time, odd: str
) -> None:
    """The rotation is an aggregation pipeline, in which an unquoted `$…` would be an expression."""
    await rotate(store, session, time, client=replace(LAPTOP, ip=odd), location=Location(odd, odd))
    after = await store.get(session.session_id)
    assert after is not None
    assert (after.ip, after.location) == (odd, Location(odd, odd))


async def test_a_rotation_and_a_revocation_at_once_leave_it_revoked(store: Sessions, time: Time) -> None:
    for _ in range(20):
        made = make_session(time.now)
        await store.create(made)
        rotated, revoked = await asyncio.gather(rotate(store, made, time), revoke(store, made, time))
        assert revoked is not None
        after = await store.get(made.session_id)
        assert after is not None
        assert after.revoked_at is not None
        assert after.generation == (1 if rotated else 0)
        assert await rotate(store, after, time) is None


# Confirmation and last sight ------------------------------------------------------------------------------


async def test_a_confirmation_is_of_the_generation_that_was_used(
    store: Sessions, session: Session, time: Time
) -> None:
    await store.confirm(session.session_id, 1, now=time.now)
    assert await store.get(session.session_id) == session
    now = time.go(seconds=1)
    await store.confirm(session.session_id, 0, now=now)
    assert await store.get(session.session_id) == replace(session, confirmed=True, last_seen_at=now)
    await rotate(store, session, time)
    await store.confirm(session.session_id, 0, now=time.now)
    after = await store.get(session.session_id)
    assert after is not None
    assert not after.confirmed


async def test_confirmations_at_once_concern_each_its_own_session(store: Sessions, time: Time) -> None:
    """They travel in one update; what is no more of the generation that was used, or revoked, stays as it is."""
    good, rotated, revoked, unasked = made = [make_session(time.now) for _ in range(4)]
    for each in made:
        await store.create(each)
    await rotate(store, rotated, time)
    await revoke(store, revoked, time)
    before = {each.session_id: await store.get(each.session_id) for each in made}
    now = time.go(seconds=5)
    await asyncio.gather(
        *(store.confirm(each.session_id, 0, now=now) for each in (good, rotated, revoked, good)),
        *(store.touch(each.session_id, now=now) for each in (rotated, revoked)),
    )
    after = {each.session_id: await store.get(each.session_id) for each in made}
    assert after[good.session_id] == replace(good, confirmed=True, last_seen_at=now)
    seen = before[rotated.session_id]
    assert seen is not None
    assert after[rotated.session_id] == replace(seen, last_seen_at=now)
    for untouched in (revoked, unasked):
        assert after[untouched.session_id] == before[untouched.session_id]


async def test_a_revoked_session_is_neither_confirmed_nor_seen(
    store: Sessions, session: Session, time: Time
) -> None:
    ended = await revoke(store, session, time)
    now = time.go(minutes=1)
    await store.confirm(session.session_id, 0, now=now)
    await store.touch(session.session_id, now=now)
    assert await store.get(session.session_id) == ended


async def test_last_sight_never_goes_back(store: Sessions, session: Session, time: Time) -> None:
    later = time.now + timedelta(minutes=2)
    await store.touch(session.session_id, now=later)
    await store.touch(session.session_id, now=time.now)
    found = await store.get(session.session_id)
    assert found is not None
    assert found.last_seen_at == later


# Revocation -----------------------------------------------------------------------------------------------


async def test_a_session_is_revoked_once_by_whoever_came_first(
    mongo: Mongo, store: Sessions, session: Session, time: Time
) -> None:
    outcomes = await asyncio.gather(
        *(revoke(store, session, time, by=Actor("user", f"by-{number}")) for number in range(20))
    )
    ended = [outcome for outcome in outcomes if outcome is not None]
    assert len(ended) == 1
    assert ended[0] == replace(
        session,
        revoked_at=time.now,
        revoked_reason=RevocationReason.REVOKED,
        revoked_by=ended[0].revoked_by,
    )
    assert await store.get(session.session_id) == ended[0]
    assert (await document(mongo, session))["revokedIp"] == "192.0.2.9"


async def test_only_its_owner_revokes_a_session(store: Sessions, session: Session, time: Time) -> None:
    assert await revoke(store, session, time, user_id="somebody else") is None
    assert await revoke(store, replace(session, session_id="unknown"), time) is None
    assert await store.get(session.session_id) == session


async def test_an_expired_session_is_not_revoked(store: Sessions, session: Session, time: Time) -> None:
    time.now = session.expires_at
    assert await revoke(store, session, time) is None
    assert await revoke_all(store, session.user_id, time) == []


async def test_all_are_revoked_but_the_one_kept_and_those_of_others(
    store: Sessions, session: Session, time: Time
) -> None:
    mine = [make_session(time.now, user_id=session.user_id) for _ in range(5)]
    other = make_session(time.now)
    for each in (*mine, other):
        await store.create(each)
    already = await revoke(store, mine[0], time)
    ended = await revoke_all(store, session.user_id, time, keep=session.session_id)
    assert {each.session_id for each in ended} == {each.session_id for each in mine[1:]}
    assert {each.revoked_reason for each in ended} == {RevocationReason.LOGOUT_ALL}
    assert await store.get(session.session_id) == session
    assert await store.get(other.session_id) == other
    assert await store.get(mine[0].session_id) == already


async def test_more_sessions_than_a_list_shows_are_revoked_all_the_same(store: Sessions, time: Time) -> None:
    made = [make_session(time.now, user_id="many") for _ in range(MAX_LISTED + 50)]
    await asyncio.gather(*map(store.create, made))
    assert len(await revoke_all(store, "many", time)) == MAX_LISTED + 50
    assert await store.live_of_user("many", now=time.now) == []


async def test_each_of_several_calls_at_once_reports_the_sessions_it_ended_itself(
    store: Sessions, time: Time
) -> None:
    """Otherwise one end would be told twice, or never."""
    for _ in range(5):
        user_id = secrets.token_hex(8)
        made = [make_session(time.now, user_id=user_id) for _ in range(10)]
        for each in made:
            await store.create(each)
        reports = await asyncio.gather(
            *(revoke_all(store, user_id, time) for _ in range(4)), revoke(store, made[0], time)
        )
        single = reports.pop()
        told = [each.session_id for report in reports for each in report] + ([single.session_id] if single else [])
        assert sorted(told) == sorted(each.session_id for each in made)


async def test_revoked_since_fills_a_deny_list(store: Sessions, session: Session, time: Time) -> None:
    before = make_session(time.now)
    await store.create(before)
    await revoke(store, before, time)
    moment = time.go(minutes=1)
    await revoke(store, session, time)
    assert await store.revoked_since(moment) == [(session.session_id, moment)]
    both = await store.revoked_since(moment - timedelta(minutes=1))
    assert {session_id for session_id, _ in both} == {before.session_id, session.session_id}


# Lists ----------------------------------------------------------------------------------------------------


async def test_a_list_has_the_live_ones_last_seen_first(store: Sessions, time: Time) -> None:
    made = [make_session(time.now, user_id="ada") for _ in range(4)]
    expired = make_session(time.now, user_id="ada", expires_at=time.now)
    other = make_session(time.now)
    for each in (*made, expired, other):
        await store.create(each)
    for minutes, each in ((3, made[1]), (2, made[3]), (1, made[0])):
        await store.touch(each.session_id, now=time.now + timedelta(minutes=minutes))
    await revoke(store, made[2], time)
    listed = await store.live_of_user("ada", now=time.now)
    assert [each.session_id for each in listed] == [made[n].session_id for n in (1, 3, 0)]


async def test_a_list_is_cut_at_two_hundred(store: Sessions, time: Time) -> None:
    made = [
        make_session(time.now, user_id="ada", last_seen_at=time.now - timedelta(seconds=n))
        for n in range(MAX_LISTED + 5)
    ]
    await asyncio.gather(*map(store.create, made))
    listed = await store.live_of_user("ada", now=time.now)
    assert listed == made[:MAX_LISTED]


@pytest.mark.parametrize("most", [3, MAX_LISTED + 5])
async def test_lists_asked_for_together_are_those_that_each_would_get_alone(
    store: Sessions, time: Time, most: int
) -> None:
    """Also where somebody has so many that one query would not bring all of everybody's."""
    counts = {"ada": most, "bob": most, "cleo": most, "dora": 1, "emil": 0}
    made = [
        make_session(time.now, user_id=user_id, last_seen_at=time.now - timedelta(seconds=n))
        for user_id, count in counts.items()
        for n in range(count)
    ]
    made.append(make_session(time.now, user_id="dora", expires_at=time.now + timedelta(seconds=1)))
    await asyncio.gather(*map(store.create, made))
    later = time.now + timedelta(seconds=1)
    asked = [(user_id, now) for user_id in counts for now in (time.now, later)]
    together = await asyncio.gather(*(store.live_of_user(user_id, now=now) for user_id, now in asked))
    alone = [await store.live_of_user(user_id, now=now) for user_id, now in asked]
    # Two of one moment may come in either order.
    for one, other in zip(together, alone, strict=True):
        assert {each.session_id for each in one} == {each.session_id for each in other}
        assert [each.last_seen_at for each in one] == [each.last_seen_at for each in other]
    assert [len(listed) for listed in together[-4:]] == [2, 1, 0, 0]


async def test_live_among(store: Sessions, session: Session, time: Time) -> None:
    ended, expired = make_session(time.now), make_session(time.now, expires_at=time.now)
    for each in (ended, expired):
        await store.create(each)
    await revoke(store, ended, time)
    asked = [session.session_id, ended.session_id, expired.session_id, "unknown"]
    assert await store.live_among(asked, now=time.now) == {session.session_id}
    assert await store.live_among([], now=time.now) == set()


async def test_what_other_kept_sessions_tell_of_a_user_is_read_last_seen_first(
    store: Sessions, session: Session, time: Time
) -> None:
    assert await store.sightings(session) == []
    seen = Location("Utrecht", "NL", 52.1, 5.1)
    other = make_session(time.now, user_id=session.user_id, device=Device("Firefox on Ubuntu"), location=seen)
    stranger = make_session(time.now)
    for each in (other, stranger):
        await store.create(each)
    await store.touch(other.session_id, now=time.go(seconds=5))
    newest = make_session(time.now, user_id=session.user_id)
    await revoke(store, session, time)
    assert await store.sightings(newest) == [
        Sighting(other.device, seen, time.now),
        Sighting(session.device, session.location, session.last_seen_at),
    ]
    assert await store.sightings(stranger) == []


# News that must be told ------------------------------------------------------------------------------------


async def claim(store: Sessions, time: Time) -> tuple[str, frozenset[str]] | None:
    claimed = await store.claim_unpublished(before=time.now - timedelta(seconds=2), now=time.now)
    return (claimed[0].session_id, claimed[1]) if claimed else None


async def test_a_login_stays_marked_until_it_was_told(store: Sessions, session: Session, time: Time) -> None:
    assert await claim(store, time) is None, "it may still be on its way"
    time.go(seconds=3)
    assert await claim(store, time) == (session.session_id, frozenset({"created"}))
    await store.mark_published(session.session_id, ["created"])
    time.go(seconds=3)
    assert await claim(store, time) is None


async def test_one_node_claims_and_another_only_after_it_failed(
    store: Sessions, session: Session, time: Time
) -> None:
    time.go(seconds=3)
    claims = await asyncio.gather(*(claim(store, time) for _ in range(10)))
    assert [each for each in claims if each] == [(session.session_id, frozenset({"created"}))]
    time.go(seconds=1)
    assert await claim(store, time) is None
    time.go(seconds=2)
    assert await claim(store, time) is not None


async def test_each_of_many_is_claimed_once_the_oldest_first(store: Sessions, time: Time) -> None:
    made = [make_session(time.now + timedelta(milliseconds=n)) for n in range(12)]
    for each in reversed(made):
        await store.create(each)
    time.go(seconds=5)
    assert [await claim(store, time) for _ in range(3)] == [
        (each.session_id, frozenset({"created"})) for each in made[:3]
    ]
    rest = await asyncio.gather(*(claim(store, time) for _ in range(12)))
    assert {each[0] for each in rest if each} == {each.session_id for each in made[3:]}


async def test_an_end_is_marked_in_the_same_write_as_the_revocation(
    store: Sessions, session: Session, time: Time
) -> None:
    """A crash right after it delays the news and never loses it."""
    await store.mark_published(session.session_id, ["created"])
    await revoke(store, session, time)
    second = make_session(time.now)
    await store.create(second)
    await revoke_all(store, second.user_id, time)
    time.go(seconds=3)
    claimed = {await claim(store, time), await claim(store, time)}
    assert claimed == {
        (session.session_id, frozenset({"ended"})),
        (second.session_id, frozenset({"created", "ended"})),
    }
    assert await claim(store, time) is None


async def test_marks_come_off_one_by_one(mongo: Mongo, store: Sessions, session: Session, time: Time) -> None:
    await store.mark_unpublished(session.session_id, ["updated", "alert:new_device"], now=time.now)
    await store.mark_unpublished(session.session_id, ["updated"], now=time.now)
    await store.mark_published(session.session_id, ["created", "never marked"])
    kept = await document(mongo, session)
    assert sorted(kept["unpublished"]) == ["alert:new_device", "updated"]
    assert kept["unpublishedSince"] == time.now
    await store.mark_published(session.session_id, ["alert:new_device", "updated"])
    kept = await document(mongo, session)
    assert kept["unpublished"] == []
    assert "unpublishedSince" not in kept
    await store.mark_published("unknown", ["created"])
    await store.mark_unpublished("unknown", ["created"], now=time.now)


async def test_news_marked_while_older_news_is_told_stays(store: Sessions, session: Session, time: Time) -> None:
    time.go(seconds=3)
    assert await claim(store, time) is not None
    await revoke(store, session, time)
    await store.mark_published(session.session_id, ["created"])
    time.go(seconds=3)
    assert await claim(store, time) == (session.session_id, frozenset({"ended"}))


async def test_an_expired_session_is_told_of_once(store: Sessions, session: Session, time: Time) -> None:
    later = make_session(time.now, expires_at=time.now + timedelta(minutes=2))
    ended = make_session(time.now, expires_at=time.now + timedelta(minutes=1))
    for each in (later, ended):
        await store.create(each)
    await revoke(store, ended, time)
    assert await store.expire_one(now=time.now) is None
    time.now = later.expires_at
    claims = await asyncio.gather(*(store.expire_one(now=time.now) for _ in range(10)))
    assert [each.session_id for each in claims if each] == [later.session_id]
    assert await store.expire_one(now=time.now) is None


async def test_an_expiry_is_marked_in_the_same_write(store: Sessions, session: Session, time: Time) -> None:
    await store.mark_published(session.session_id, ["created"])
    time.now = session.expires_at
    assert await store.expire_one(now=time.now)
    time.go(seconds=3)
    assert await claim(store, time) == (session.session_id, frozenset({"ended"}))


# What MongoDB removes --------------------------------------------------------------------------------------


async def test_what_is_past_its_time_is_removed_and_nothing_else(
    mongo: Mongo, store: Sessions, time: Time
) -> None:
    """The expired one after an hour, in which its end can be told; the revoked one after ninety days."""
    now = time.now
    gone = make_session(now - timedelta(days=8), expires_at=now - EXPIRED_KEPT - timedelta(seconds=1))
    just_expired = make_session(now - timedelta(days=7), expires_at=now - timedelta(minutes=1))
    live = make_session(now)
    revoked_long_ago = make_session(now - timedelta(days=100), expires_at=now - timedelta(days=89))
    revoked = make_session(now - timedelta(days=95), expires_at=now - timedelta(days=60))
    for each in (just_expired, live, revoked_long_ago, revoked):
        await store.create(each)
    past = [
        (revoked_long_ago, timedelta(days=90, seconds=1)),
        (revoked, timedelta(days=89, hours=23)),
    ]
    collection = mongo.database["sessions"]
    # Written as they would be by now; created later than what is to stay, so that its removal proves a pass.
    for each, ago in past:
        await collection.update_one({"_id": each.session_id}, {"$unset": {"purgeAt": ""}})
        await collection.update_one({"_id": each.session_id}, {"$set": {"expiresAt": now}})
        assert await revoke(store, each, Time(now - ago))
    await store.create(gone)

    async def removed() -> bool:
        return await store.get(gone.session_id) is None and await store.get(revoked_long_ago.session_id) is None

    await until(removed)
    for each in (just_expired, live, revoked):
        assert await store.get(each.session_id) is not None


async def test_a_revoked_session_stays_as_long_as_the_setting_says(mongo: Mongo, time: Time) -> None:
    for days in (1, 90, 3650):
        store = Sessions(mongo.database, revoked_kept=timedelta(days=days))
        made = make_session(time.now)
        await store.create(made)
        await revoke(store, made, time)
        assert (await document(mongo, made))["purgeAt"] == time.now + timedelta(days=days)


async def test_every_question_is_answered_by_an_index(mongo: Mongo, store: Sessions, session: Session) -> None:
    """With a million sessions a scan would stop the login of everybody."""
    now = session.logged_in_at
    questions: list[tuple[dict[str, Any], list[tuple[str, int]]]] = [
        ({"userId": "x", "revokedAt": None, "expiresAt": {"$gt": now}}, [("lastSeenAt", -1)]),
        ({"revocationId": "x"}, []),
        ({"revokedAt": {"$gte": now}}, []),
        ({"unpublishedSince": {"$lt": now}}, [("unpublishedSince", 1)]),
        ({"revokedAt": None, "expiredAt": None, "expiresAt": {"$lte": now}}, []),
        ({"userId": "x", "_id": {"$ne": "y"}}, [("loggedInAt", -1)]),
    ]
    for query, order in questions:
        command: dict[str, Any] = {"find": "sessions", "filter": query}
        if order:
            command["sort"] = dict(order)
        explained = await mongo.database.command("explain", command, verbosity="queryPlanner")
        plan = str(explained["queryPlanner"]["winningPlan"])
        assert "COLLSCAN" not in plan, query
        assert "IXSCAN" in plan, query
        assert "'stage': 'SORT'" not in plan, query


# An outage -------------------------------------------------------------------------------------------------


async def test_without_mongodb_every_method_says_unavailable(time: Time) -> None:
    """A port where nobody listens. Motor only: PyMongo's own client leaves a socket open when it is closed."""
    mongo = Mongo("mongodb://127.0.0.1:1/", "nothing", "motor")
    store, one = Sessions(mongo.database, revoked_kept=REVOKED_KEPT), make_session(time.now)
    calls = {
        "ensure_indexes": store.ensure_indexes(),
        "create": store.create(one),
        "get": store.get(one.session_id),
        "rotate": rotate(store, one, time),
        "confirm": store.confirm(one.session_id, 0, now=time.now),
        "touch": store.touch(one.session_id, now=time.now),
        "live_of_user": store.live_of_user(one.user_id, now=time.now),
        "live_among": store.live_among([one.session_id], now=time.now),
        "sightings": store.sightings(one),
        "revoke": revoke(store, one, time),
        "revoke_all": revoke_all(store, one.user_id, time),
        "expire_one": store.expire_one(now=time.now),
        "mark_published": store.mark_published(one.session_id, ["created"]),
        "mark_unpublished": store.mark_unpublished(one.session_id, ["created"], now=time.now),
        "claim_unpublished": store.claim_unpublished(before=time.now, now=time.now),
        "revoked_since": store.revoked_since(time.now),
        "assure": store.assure(one.session_id, amr=["otp"], now=time.now),
    }
    assert calls.keys() == {name for name in vars(Sessions) if not name.startswith("_")}
    outcomes = await asyncio.gather(*calls.values(), return_exceptions=True)
    assert {name: type(outcome) for name, outcome in zip(calls, outcomes, strict=True)} == dict.fromkeys(
        calls, Unavailable
    )
    with pytest.raises(Unavailable):
        await mongo.ping()
    await mongo.close()
