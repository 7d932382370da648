"""The collection `sessions`, on either driver: revocation, expiry, announcement and removal."""

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

from support.session_store import document, revoke, revoke_all, until
from support.session_world import Time, make_session

from auth.core.models import Actor, RevocationReason, Session
from auth.stores.mongo import Mongo
from auth.stores.sessions.documents import EXPIRED_KEPT
from auth.stores.sessions.marks import SessionMarks
from auth.stores.sessions.store import MAX_LISTED, SessionStore

# Revocation -----------------------------------------------------------------------------------------------


async def test_a_session_is_revoked_once_by_the_first_caller(
    mongo: Mongo, store: SessionStore, session: Session, time: Time
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


async def test_only_its_owner_revokes_a_session(store: SessionStore, session: Session, time: Time) -> None:
    assert await revoke(store, session, time, user_id="somebody else") is None
    assert await revoke(store, replace(session, session_id="unknown"), time) is None
    assert await store.get(session.session_id) == session


async def test_an_expired_session_is_not_revoked(store: SessionStore, session: Session, time: Time) -> None:
    time.now = session.expires_at
    assert await revoke(store, session, time) is None
    assert await revoke_all(store, session.user_id, time) == []


async def test_all_are_revoked_but_the_one_kept_and_those_of_others(
    store: SessionStore, session: Session, time: Time
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


async def test_more_sessions_than_a_list_shows_are_revoked(store: SessionStore, time: Time) -> None:
    made = [make_session(time.now, user_id="many") for _ in range(MAX_LISTED + 50)]
    # In batches, since each write has a timeout of seconds, even on a busy machine.
    for start in range(0, len(made), 50):
        await asyncio.gather(*map(store.create, made[start : start + 50]))
    assert len(await revoke_all(store, "many", time)) == MAX_LISTED + 50
    assert await store.live_of_user("many", now=time.now) == []


async def test_concurrent_calls_each_report_the_sessions_that_they_ended(store: SessionStore, time: Time) -> None:
    """Otherwise an end would be announced twice, or never."""
    for _ in range(5):
        user_id = secrets.token_hex(8)
        made = [make_session(time.now, user_id=user_id) for _ in range(10)]
        for each in made:
            await store.create(each)
        reports: list[Any] = await asyncio.gather(
            *(revoke_all(store, user_id, time) for _ in range(4)), revoke(store, made[0], time)
        )
        single = reports.pop()
        told = [each.session_id for report in reports for each in report] + ([single.session_id] if single else [])
        assert sorted(told) == sorted(each.session_id for each in made)


async def test_revoked_since_fills_a_deny_list(store: SessionStore, session: Session, time: Time) -> None:
    before = make_session(time.now)
    await store.create(before)
    await revoke(store, before, time)
    moment = time.go(minutes=1)
    await revoke(store, session, time)
    assert await store.revoked_since(moment) == [(session.user_id, session.session_id, moment)]
    both = await store.revoked_since(moment - timedelta(minutes=1))
    assert {session_id for _, session_id, _ in both} == {before.session_id, session.session_id}


# Unpublished news ------------------------------------------------------------------------------------------


async def claim(store: SessionStore, time: Time) -> tuple[str, frozenset[str]] | None:
    claimed = await store.claim_unpublished(before=time.now - timedelta(seconds=2), now=time.now)
    return (claimed[0].session_id, claimed[1]) if claimed else None


async def test_a_login_stays_marked_until_published(store: SessionStore, session: Session, time: Time) -> None:
    assert await claim(store, time) is None, "it may still be on its way"
    time.go(seconds=3)
    assert await claim(store, time) == (session.session_id, frozenset({"created"}))
    await store.mark_published(session.session_id, ["created"], user_id=session.user_id)
    time.go(seconds=3)
    assert await claim(store, time) is None


async def test_another_node_can_claim_only_after_the_first_one_failed(
    store: SessionStore, session: Session, time: Time
) -> None:
    time.go(seconds=3)
    claims = await asyncio.gather(*(claim(store, time) for _ in range(10)))
    assert [each for each in claims if each] == [(session.session_id, frozenset({"created"}))]
    time.go(seconds=1)
    assert await claim(store, time) is None
    time.go(seconds=2)
    assert await claim(store, time) is not None


async def test_each_session_is_claimed_once_oldest_first(store: SessionStore, time: Time) -> None:
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
    store: SessionStore, session: Session, time: Time
) -> None:
    """A crash right after it delays the announcement but does not lose it."""
    await store.mark_published(session.session_id, ["created"], user_id=session.user_id)
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


async def test_there_is_something_to_do_once_news_is_old_or_a_session_has_expired(
    mongo: Mongo, store: SessionStore, session: Session, time: Time
) -> None:
    marks = SessionMarks(mongo.database)

    async def are_due() -> bool:
        return await marks.are_due(before=time.now - timedelta(seconds=2), now=time.now)

    assert not await are_due()
    time.go(seconds=3)
    assert await are_due()
    await store.mark_published(session.session_id, ["created"], user_id=session.user_id)
    assert not await are_due()
    time.now = session.expires_at
    assert await are_due()
    assert await store.expire_one(now=time.now) is not None
    assert not await are_due()
    time.go(seconds=3)
    assert await are_due()


async def test_marks_are_removed_singly(mongo: Mongo, store: SessionStore, session: Session, time: Time) -> None:
    await store.mark_unpublished(
        session.session_id, ["updated", "alert:new_device"], user_id=session.user_id, since=time.now
    )
    await store.mark_unpublished(session.session_id, ["updated"], user_id=session.user_id, since=time.now)
    await store.mark_published(session.session_id, ["created", "never marked"], user_id=session.user_id)
    kept = await document(mongo, session)
    assert sorted(kept["unpublished"]) == ["alert:new_device", "updated"]
    assert kept["unpublishedSince"] == time.now
    await store.mark_published(session.session_id, ["alert:new_device", "updated"], user_id=session.user_id)
    kept = await document(mongo, session)
    assert kept["unpublished"] == []
    assert "unpublishedSince" not in kept
    await store.mark_published("unknown", ["created"], user_id="unknown")
    await store.mark_unpublished("unknown", ["created"], user_id="unknown", since=time.now)


async def test_news_marked_while_older_news_is_published_stays(
    store: SessionStore, session: Session, time: Time
) -> None:
    time.go(seconds=3)
    assert await claim(store, time) is not None
    await revoke(store, session, time)
    await store.mark_published(session.session_id, ["created"], user_id=session.user_id)
    time.go(seconds=3)
    assert await claim(store, time) == (session.session_id, frozenset({"ended"}))


async def test_an_expired_session_is_announced_once(store: SessionStore, session: Session, time: Time) -> None:
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


async def test_an_expiry_is_marked_in_the_same_write(store: SessionStore, session: Session, time: Time) -> None:
    await store.mark_published(session.session_id, ["created"], user_id=session.user_id)
    time.now = session.expires_at
    assert await store.expire_one(now=time.now)
    time.go(seconds=3)
    assert await claim(store, time) == (session.session_id, frozenset({"ended"}))


# Removal by MongoDB ----------------------------------------------------------------------------------------


async def test_only_documents_past_their_retention_are_removed(
    mongo: Mongo, store: SessionStore, time: Time
) -> None:
    """Expired sessions after an hour, in which their end is announced; revoked ones after ninety days."""
    now = time.now
    gone = make_session(now - timedelta(days=8), expires_at=now - EXPIRED_KEPT - timedelta(seconds=1))
    just_expired = make_session(now - timedelta(days=7), expires_at=now - timedelta(minutes=1))
    live = make_session(now)
    revoked_long_ago = make_session(now - timedelta(days=100), expires_at=now)
    revoked = make_session(now - timedelta(days=95), expires_at=now)
    for each in (just_expired, live, revoked_long_ago, revoked):
        await store.create(each)
    past = [
        (revoked_long_ago, timedelta(days=90, seconds=1)),
        (revoked, timedelta(days=89, hours=23)),
    ]
    collection = mongo.database["sessions"]
    # Given past dates; inserted after the sessions that stay, so that their removal proves a complete TTL pass.
    for each, ago in past:
        await collection.update_one({"_id": each.session_id}, {"$unset": {"purgeAt": ""}})
        assert await revoke(store, each, Time(now - ago))
    await store.create(gone)

    async def removed() -> bool:
        return await store.get(gone.session_id) is None and await store.get(revoked_long_ago.session_id) is None

    await until(removed)
    for each in (just_expired, live, revoked):
        assert await store.get(each.session_id) is not None


async def test_a_revoked_session_stays_as_long_as_the_setting_says(mongo: Mongo, time: Time) -> None:
    for days in (1, 90, 3650):
        store = SessionStore(mongo.database, revoked_kept=timedelta(days=days))
        made = make_session(time.now)
        await store.create(made)
        await revoke(store, made, time)
        assert (await document(mongo, made))["purgeAt"] == time.now + timedelta(days=days)
