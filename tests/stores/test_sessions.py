"""The collection `sessions`, on either driver: every method is one atomic operation."""

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import bson
import pytest
from support.session_store import REVOKED_KEPT, document, revoke, revoke_all, rotate
from support.session_world import IDLE_LIFE, LAPTOP, PHONE, WHOLE_LIFE, Time, make_session

from auth.core.errors import Unavailable
from auth.core.models import ClientKind, Device, Location, Session, Sighting
from auth.stores.mongo import Mongo
from auth.stores.sessions.documents import EXPIRED_KEPT
from auth.stores.sessions.rotations import STAMPS_KEPT, Rotated
from auth.stores.sessions.store import MAX_LISTED, SessionStore

# Round trip -----------------------------------------------------------------------------------------------


async def test_a_session_round_trips(store: SessionStore, time: Time) -> None:
    made = make_session(
        time.now,
        generation=2**32 - 1,
        device=Device("Ada’s $phone", None, None, "phone", "Safari on iPhone"),
        user_agent="$agent.with{odd}\0 signs ✓",
        ip="2001:db8::1",
        location=Location("Łódź", "PL"),
        roles=(),
        amr=("pwd", "otp"),
    )
    await store.create(made)
    assert await store.get(made.session_id) == made
    assert await store.get("nobody's") is None


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_creating_the_indexes_again_or_concurrently_is_not_an_error(
    services: Any, database_name: str, driver: Any
) -> None:
    mongo = Mongo(services.patient_mongo, database_name, driver)
    store = SessionStore(mongo.database, revoked_kept=REVOKED_KEPT)
    await asyncio.gather(*(store.ensure_indexes() for _ in range(5)))
    await store.ensure_indexes()
    await mongo.close()


async def test_a_session_document_cannot_forge_a_token(mongo: Mongo, store: SessionStore, time: Time) -> None:
    nonce = secrets.token_bytes(16)
    made = make_session(time.now)
    await store.create(made)
    assert nonce not in bson.encode(await document(mongo, made))
    kept = await document(mongo, made)
    assert {name for name, value in kept.items() if isinstance(value, bytes)} == {"nonceHash"}
    assert not any("token" in name.lower() for name in kept)


# Rotation -------------------------------------------------------------------------------------------------


async def test_a_rotation_keeps_the_known_client_and_resets_the_replay_count(
    store: SessionStore, session: Session, time: Time
) -> None:
    chrome, curl = ClientKind("Chrome", "Windows"), ClientKind("curl")
    kinds = []
    for generation, kind in enumerate((chrome, None, curl)):
        current = await store.get(session.session_id)
        assert current is not None
        assert await store.count_replay(current, now=time.now)
        rotated = await rotate(store, replace(session, generation=generation), time, kind=kind)
        assert rotated is not None
        kinds.append((rotated.before.rotated_by, rotated.after.rotated_by))
        assert (rotated.after.replays, rotated.after.replayed_at) == (0, None)
    assert kinds == [(None, chrome), (chrome, chrome), (chrome, curl)]


async def test_a_replay_is_counted_once_and_only_if_the_session_is_unchanged(
    store: SessionStore, session: Session, time: Time
) -> None:
    counted = await asyncio.gather(*(store.count_replay(session, now=time.now) for _ in range(6)))
    assert sorted(counted) == [False] * 5 + [True]
    read = await store.get(session.session_id)
    assert read is not None
    assert (read.replays, read.replayed_at) == (1, time.now)
    await store.confirm(session.session_id, 0, user_id=session.user_id, now=time.now)
    assert not await store.count_replay(read, now=time.now), "in use since"
    await revoke(store, session, time)
    assert not await store.count_replay(replace(read, confirmed=True), now=time.now)


async def test_a_pair_of_clients_is_alerted_once_a_day_and_at_most_sixteen_pairs(
    store: SessionStore, mongo: Mongo, session: Session, time: Time
) -> None:
    async def told(*pairs: str) -> int:
        return sum(
            await asyncio.gather(
                *(
                    store.note_told(session.session_id, pair, user_id=session.user_id, now=time.now)
                    for pair in pairs
                )
            )
        )

    assert await told(*["a"] * 6) == 1
    time.go(hours=23)
    assert await told("a", "b") == 1
    time.go(hours=1)
    assert await told("a", "b") == 1
    assert await told(*map(str, range(40))) == 14, "the last sixteen are all of today then"
    assert len((await document(mongo, session))["told"]) == 16


async def test_a_rotation_returns_the_session_before_and_after(
    store: SessionStore, session: Session, time: Time
) -> None:
    await store.confirm(session.session_id, 0, user_id=session.user_id, now=time.now)
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


async def test_only_one_of_fifty_callers_with_one_token_rotates(
    store: SessionStore, session: Session, time: Time
) -> None:
    outcomes = await asyncio.gather(*(rotate(store, session, time) for _ in range(50)))
    assert sum(outcome is not None for outcome in outcomes) == 1
    after = await store.get(session.session_id)
    assert after is not None
    assert after.generation == 1


async def test_in_a_burst_of_refreshes_all_are_queued_and_none_fails(store: SessionStore, time: Time) -> None:
    sessions = [make_session(time.now, session_id=secrets.token_hex(16)) for _ in range(800)]
    for start in range(0, len(sessions), 50):
        await asyncio.gather(*map(store.create, sessions[start : start + 50]))
    rotated = await asyncio.gather(*(rotate(store, session, time) for session in sessions))
    assert rotated == [Rotated(session, replace(session, generation=1)) for session in sessions]


async def test_each_rotation_of_a_batch_gets_its_own_result(store: SessionStore, mongo: Mongo, time: Time) -> None:
    """Two stores act as two nodes. Rotations of one turn are sent in one command."""
    other = SessionStore(mongo.database, revoked_kept=REVOKED_KEPT)
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


async def test_concurrent_batched_rotations_never_undo_a_revocation(
    store: SessionStore, mongo: Mongo, time: Time
) -> None:
    other = SessionStore(mongo.database, revoked_kept=REVOKED_KEPT)
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
        # A rotation applied just before the revocation may report the revocation instead.
        assert len(won) <= after.generation <= 1


async def test_the_number_of_stamps_is_bounded(
    mongo: Mongo, store: SessionStore, session: Session, time: Time
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
async def test_another_generation_or_nonce_does_not_rotate(
    store: SessionStore, session: Session, time: Time, changes: dict[str, Any]
) -> None:
    assert await rotate(store, session, time, **changes) is None
    assert await store.get(session.session_id) == session


async def test_a_revoked_session_is_not_written_again(
    mongo: Mongo, store: SessionStore, session: Session, time: Time
) -> None:
    await revoke(store, session, time)
    kept = await document(mongo, session)
    assert await rotate(store, session, time) is None
    assert await document(mongo, session) == kept


async def test_an_expired_session_does_not_rotate(store: SessionStore, session: Session, time: Time) -> None:
    time.now = session.expires_at - timedelta(milliseconds=1)
    slid = await rotate(store, session, time)
    assert slid is not None
    second = await store.get(session.session_id)
    assert second is not None
    time.now = second.expires_at
    assert await rotate(store, second, time) is None


async def test_the_expiry_is_extended_by_use_up_to_the_maximum_lifetime(
    mongo: Mongo, store: SessionStore, session: Session, time: Time
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
async def test_an_address_is_stored_literally(store: SessionStore, session: Session, time: Time, odd: str) -> None:
    """The rotation is an aggregation pipeline, in which a bare `$…` would be an expression."""
    await rotate(store, session, time, client=replace(LAPTOP, ip=odd), location=Location(odd, odd))
    after = await store.get(session.session_id)
    assert after is not None
    assert (after.ip, after.location) == (odd, Location(odd, odd))


async def test_a_concurrent_rotation_and_revocation_leave_it_revoked(store: SessionStore, time: Time) -> None:
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


# Confirmation and last seen -------------------------------------------------------------------------------


async def test_a_confirmation_applies_to_the_generation_that_was_used(
    store: SessionStore, session: Session, time: Time
) -> None:
    await store.confirm(session.session_id, 1, user_id=session.user_id, now=time.now)
    assert await store.get(session.session_id) == session
    now = time.go(seconds=1)
    await store.confirm(session.session_id, 0, user_id=session.user_id, now=now)
    assert await store.get(session.session_id) == replace(session, confirmed=True, last_seen_at=now)
    await rotate(store, session, time)
    await store.confirm(session.session_id, 0, user_id=session.user_id, now=time.now)
    after = await store.get(session.session_id)
    assert after is not None
    assert not after.confirmed


async def test_concurrent_confirmations_apply_to_their_own_sessions(store: SessionStore, time: Time) -> None:
    """They share one update; sessions of another generation, and revoked ones, are not changed."""
    good, rotated, revoked, unasked = made = [make_session(time.now) for _ in range(4)]
    for each in made:
        await store.create(each)
    await rotate(store, rotated, time)
    await revoke(store, revoked, time)
    before = {each.session_id: await store.get(each.session_id) for each in made}
    now = time.go(seconds=5)
    await asyncio.gather(
        *(
            store.confirm(each.session_id, 0, user_id=each.user_id, now=now)
            for each in (good, rotated, revoked, good)
        ),
        *(store.touch(each.session_id, user_id=each.user_id, now=now) for each in (rotated, revoked)),
    )
    after = {each.session_id: await store.get(each.session_id) for each in made}
    assert after[good.session_id] == replace(good, confirmed=True, last_seen_at=now)
    seen = before[rotated.session_id]
    assert seen is not None
    assert after[rotated.session_id] == replace(seen, last_seen_at=now)
    for untouched in (revoked, unasked):
        assert after[untouched.session_id] == before[untouched.session_id]


async def test_a_revoked_session_is_neither_confirmed_nor_seen(
    store: SessionStore, session: Session, time: Time
) -> None:
    ended = await revoke(store, session, time)
    now = time.go(minutes=1)
    await store.confirm(session.session_id, 0, user_id=session.user_id, now=now)
    await store.touch(session.session_id, user_id=session.user_id, now=now)
    assert await store.get(session.session_id) == ended


async def test_last_seen_never_decreases(store: SessionStore, session: Session, time: Time) -> None:
    later = time.now + timedelta(minutes=2)
    await store.touch(session.session_id, user_id=session.user_id, now=later)
    await store.touch(session.session_id, user_id=session.user_id, now=time.now)
    found = await store.get(session.session_id)
    assert found is not None
    assert found.last_seen_at == later


# Lists ----------------------------------------------------------------------------------------------------


async def test_a_list_contains_live_sessions_last_seen_first(store: SessionStore, time: Time) -> None:
    made = [make_session(time.now, user_id="ada") for _ in range(4)]
    expired = make_session(time.now, user_id="ada", expires_at=time.now)
    other = make_session(time.now)
    for each in (*made, expired, other):
        await store.create(each)
    for minutes, each in ((3, made[1]), (2, made[3]), (1, made[0])):
        await store.touch(each.session_id, user_id=each.user_id, now=time.now + timedelta(minutes=minutes))
    await revoke(store, made[2], time)
    listed = await store.live_of_user("ada", now=time.now)
    assert [each.session_id for each in listed] == [made[n].session_id for n in (1, 3, 0)]


async def test_a_list_is_cut_at_two_hundred(store: SessionStore, time: Time) -> None:
    made = [
        make_session(time.now, user_id="ada", last_seen_at=time.now - timedelta(seconds=n))
        for n in range(MAX_LISTED + 5)
    ]
    await asyncio.gather(*map(store.create, made))
    listed = await store.live_of_user("ada", now=time.now)
    assert listed == made[:MAX_LISTED]


@pytest.mark.parametrize("most", [3, MAX_LISTED + 5])
async def test_batched_lists_equal_separate_lists(store: SessionStore, time: Time, most: int) -> None:
    """Also if the combined result exceeds the limit of one query."""
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
    # Sessions with the same time may come in either order.
    for one, other in zip(together, alone, strict=True):
        assert {each.session_id for each in one} == {each.session_id for each in other}
        assert [each.last_seen_at for each in one] == [each.last_seen_at for each in other]
    assert [len(listed) for listed in together[-4:]] == [2, 1, 0, 0]


async def test_live_among(store: SessionStore, session: Session, time: Time) -> None:
    ended, expired = make_session(time.now), make_session(time.now, expires_at=time.now)
    for each in (ended, expired):
        await store.create(each)
    await revoke(store, ended, time)
    asked = [session.session_id, ended.session_id, expired.session_id, "unknown"]
    assert await store.live_among(asked, user_ids={session.user_id}, now=time.now) == {session.session_id}
    assert await store.live_among([], user_ids=(), now=time.now) == set()


async def test_sightings_of_other_sessions_are_read_last_seen_first(
    store: SessionStore, session: Session, time: Time
) -> None:
    assert await store.sightings(session) == []
    seen = Location("Utrecht", "NL", 52.1, 5.1)
    other = make_session(time.now, user_id=session.user_id, device=Device("Firefox on Ubuntu"), location=seen)
    stranger = make_session(time.now)
    for each in (other, stranger):
        await store.create(each)
    await store.touch(other.session_id, user_id=other.user_id, now=time.go(seconds=5))
    newest = make_session(time.now, user_id=session.user_id)
    await revoke(store, session, time)
    assert await store.sightings(newest) == [
        Sighting(other.device, seen, time.now),
        Sighting(session.device, session.location, session.last_seen_at),
    ]
    assert await store.sightings(stranger) == []


# Indexes --------------------------------------------------------------------------------------------------


async def test_every_query_uses_an_index(mongo: Mongo, store: SessionStore, session: Session) -> None:
    """With a million sessions a scan would block all logins."""
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


# Outage ----------------------------------------------------------------------------------------------------


async def test_without_mongodb_every_method_raises_unavailable(time: Time) -> None:
    """Nothing listens on the port. Motor only: PyMongo's client leaks a socket if closed while connecting."""
    mongo = Mongo("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", "nothing", "motor")
    store, one = SessionStore(mongo.database, revoked_kept=REVOKED_KEPT), make_session(time.now)
    calls = {
        "ensure_indexes": store.ensure_indexes(),
        "create": store.create(one),
        "get": store.get(one.session_id),
        "rotate": rotate(store, one, time),
        "confirm": store.confirm(one.session_id, 0, user_id=one.user_id, now=time.now),
        "touch": store.touch(one.session_id, user_id=one.user_id, now=time.now),
        "live_of_user": store.live_of_user(one.user_id, now=time.now),
        "live_among": store.live_among([one.session_id], user_ids=[one.user_id], now=time.now),
        "sightings": store.sightings(one),
        "revoke": revoke(store, one, time),
        "revoke_all": revoke_all(store, one.user_id, time),
        "expire_one": store.expire_one(now=time.now),
        "mark_published": store.mark_published(one.session_id, ["created"], user_id=one.user_id),
        "mark_unpublished": store.mark_unpublished(
            one.session_id, ["created"], user_id=one.user_id, since=time.now
        ),
        "claim_unpublished": store.claim_unpublished(before=time.now, now=time.now),
        "revoked_since": store.revoked_since(time.now),
        "users_with_live": anext(store.users_with_live(begun_by=time.now, now=time.now)),
        "count_replay": store.count_replay(one, now=time.now),
        "note_told": store.note_told(one.session_id, "pair", user_id=one.user_id, now=time.now),
        "assure": store.assure(one.session_id, user_id=one.user_id, amr=["otp"], now=time.now),
    }
    assert calls.keys() == {name for name in vars(SessionStore) if not name.startswith("_")}
    outcomes = await asyncio.gather(*calls.values(), return_exceptions=True)
    assert {name: type(outcome) for name, outcome in zip(calls, outcomes, strict=True)} == dict.fromkeys(
        calls, Unavailable
    )
    with pytest.raises(Unavailable):
        await mongo.ping()
    await mongo.close()
