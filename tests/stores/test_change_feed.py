"""Facts are read from MongoDB's own log: in order, on either driver, and again from any position."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pymongo import WriteConcern
from support.session_world import Time, make_session

from auth.core.errors import Unavailable
from auth.core.facts import FactType, NewFact
from auth.core.models import Actor, Client, RevocationReason, Session, User
from auth.stores.change_feed import Change, ChangeFeed, FeedStart, PositionLost, SessionsOfChanges, fact_of
from auth.stores.device_presence import DevicePresence, DeviceSeen
from auth.stores.facts import FactStore, NumberTaken
from auth.stores.mongo import Mongo
from auth.stores.sessions.alerts import SessionAlerts
from auth.stores.sessions.device_names import SessionDeviceNames
from auth.stores.sessions.store import SessionStore
from auth.stores.users.directory import Directory
from auth.stores.users.store import Users

WEEK = timedelta(days=7)


@pytest.fixture
def facts(mongo: Mongo) -> FactStore:
    return FactStore(mongo.database, kept=WEEK)


@pytest.fixture
async def feed(mongo: Mongo, facts: FactStore) -> AsyncIterator[ChangeFeed]:
    """A feed that is open before the test writes."""
    # It begins with the operation of that time: one that is no fact, and not the clearing after the last test.
    await mongo.database["other"].insert_one({})
    await facts.begin()
    opened = ChangeFeed(mongo.database)
    await opened.open((await facts.state()).start)
    yield opened
    await opened.close()


async def read(mongo: Mongo, feed: ChangeFeed, count: int) -> list[tuple[Change, NewFact]]:
    """Wait for `count` facts."""
    found: list[tuple[Change, NewFact]] = []
    for _ in range(60):
        if len(found) == count:
            return found
        change = await feed.next()
        if change is not None:
            fact = fact_of(change, await SessionsOfChanges(mongo.database).of([change]))
            found += [(change, fact)] if fact is not None else []
    raise AssertionError(f"{count} facts did not come: {found}")


def types(found: list[tuple[Change, NewFact]]) -> list[str]:
    return [fact.type for _, fact in found]


async def rotate(store: SessionStore, session: Session, time: Time, ip: str) -> None:
    rotated = await store.rotate(
        session.session_id,
        user_id=session.user_id,
        nonce_hash=session.nonce_hash,
        from_generation=session.generation,
        client=Client(ip),
        location=None,
        kind=None,
        now=time.now,
        idle_life=WEEK,
    )
    assert rotated is not None


async def test_what_happens_to_a_session_is_told_and_rotations_in_place_are_not(
    mongo: Mongo, feed: ChangeFeed, store: SessionStore, time: Time
) -> None:
    session = make_session(time.now)
    here = session.session_id, session.user_id
    await store.create(session)
    await rotate(store, session, time, session.ip)
    await store.confirm(here[0], 2, user_id=here[1], now=time.now)
    await rotate(store, (await store.get(here[0])) or session, time, "203.0.113.7")
    await SessionDeviceNames(mongo.database).rename(here[0], user_id=here[1], name="Phone", now=time.now)
    alerts = SessionAlerts(mongo.database)
    await alerts.add(here[0], ["new_device"], user_id=here[1], now=time.now)
    await alerts.add(here[0], ["new_country"], user_id=here[1], now=time.now)
    await alerts.clear(here[0], user_id=here[1], now=time.now)
    by = Actor("user", "another-session", message="not told")
    await store.revoke(here[0], user_id=here[1], reason=RevocationReason.REVOKED, by=by, ip=None, now=time.now)
    found = await read(mongo, feed, 6)
    assert types(found) == [
        FactType.SESSION_CREATED,
        FactType.SESSION_UPDATED,
        FactType.SESSION_UPDATED,
        FactType.ALERT_RAISED,
        FactType.ALERT_RAISED,
        FactType.SESSION_ENDED,
    ]
    told = [fact for _, fact in found]
    assert {(fact.session_id, fact.user_id) for fact in told} == {here}
    assert told[2].data["device"]["name"] == "Phone"
    assert (told[2].data["ip"], told[4].data) == ("203.0.113.7", {"alerts": ["new_country"]})
    assert told[5].data == {"reason": "revoked", "by": {"kind": "user", "sessionId": "another-session"}}
    assert told[5].at == time.now


async def test_the_end_of_a_session_is_told_although_its_account_is_erased_before_it_is_read(
    mongo: Mongo, feed: ChangeFeed, store: SessionStore, time: Time
) -> None:
    session = make_session(time.now)
    await store.create(session)
    await store.revoke_all(
        session.user_id,
        revocation_id="r",
        keep=None,
        reason=RevocationReason.ACCOUNT_DELETED,
        by=Actor("system"),
        ip=None,
        now=time.now,
    )
    await mongo.database["sessions"].delete_many({})
    (_, created), (_, ended) = await read(mongo, feed, 2)
    assert (ended.user_id, ended.session_id) == (created.user_id, created.session_id)
    assert ended.data["reason"] == "account_deleted"


async def test_what_happens_to_an_account_is_told_without_its_values(
    mongo: Mongo, feed: ChangeFeed, time: Time
) -> None:
    users, directory = Users(mongo.database), Directory(mongo.database)
    user = User("ada", "ada@example.org", "Ada", None, (), time.now)
    await users.create(user)
    await users.note_registration("ada", now=time.now)
    await users.set_password_hash("ada", old_hash="no", new_hash="yes")
    await users.update_profile("ada", {"name": "Countess", "metadata": "{}"})
    await directory.set_roles("ada", ["admin"], after=0, now=time.now)
    await mongo.database["users"].update_one({"_id": "ada"}, {"$set": {"lockedAt": time.now}})
    await directory.unlock("ada")
    await mongo.database["users"].update_one({"_id": "ada"}, {"$set": {"deletionAt": time.now}})
    await users.claim_deletion(now=time.now, until=time.now)
    await users.erase("ada")
    found = await read(mongo, feed, 7)
    assert types(found) == [
        FactType.USER_CREATED,
        FactType.USER_CHANGED,
        FactType.USER_ROLES,
        FactType.USER_LOCKED,
        FactType.USER_UNLOCKED,
        FactType.USER_CHANGED,
        FactType.USER_DELETED,
    ]
    assert [fact.data for _, fact in found][:3] == [
        {"verified": False, "roles": []},
        {"changed": ["metadata", "name"]},
        {"version": 1},
    ]
    assert {fact.user_id for _, fact in found} == {"ada"}


async def test_a_device_is_not_taken_as_recorded_without_a_majority(mongo: Mongo, time: Time) -> None:
    # More members than there are: the write is made, and could be taken back.
    presence = DevicePresence(mongo.database.with_options(write_concern=WriteConcern(2, wtimeout=100)))
    with pytest.raises(Unavailable):
        await presence.note([DeviceSeen("ada", "phone", online=True, at=time.now)], node_id="one")


async def test_a_device_that_goes_on_being_online_is_one_fact_whichever_nodes_report_it(
    mongo: Mongo, feed: ChangeFeed, time: Time
) -> None:
    presence = DevicePresence(mongo.database)

    def seen(online: bool) -> list[DeviceSeen]:
        return [DeviceSeen("ada", "phone", online, time.now)]

    await presence.note(seen(online=False), node_id="one")
    for node_id in ("one", "one", "two"):
        await presence.note(seen(online=True), node_id=node_id)
    assert await presence.online_elsewhere(["one"], limit=9) == [("ada", "phone", "two")]
    for node_id in ("two", "one"):
        await presence.note(seen(online=False), node_id=node_id)
    await presence.note(seen(online=True), node_id="one")
    found = await read(mongo, feed, 3)
    assert types(found) == [FactType.PRESENCE_ONLINE, FactType.PRESENCE_OFFLINE, FactType.PRESENCE_ONLINE]
    assert {(fact.user_id, fact.session_id) for _, fact in found} == {("ada", "phone")}


async def test_another_feed_goes_on_exactly_after_a_position(
    mongo: Mongo, feed: ChangeFeed, store: SessionStore, time: Time
) -> None:
    made = [make_session(time.now) for _ in range(3)]
    for session in made:
        await store.create(session)
    positions = [change.position for change, _ in await read(mongo, feed, 3)]
    assert positions == sorted(positions)
    other = ChangeFeed(mongo.database)
    await other.open(FeedStart(positions[0]))
    found = await read(mongo, other, 2)
    assert [fact.session_id for _, fact in found] == [session.session_id for session in made[1:]]
    await other.close()


async def test_a_position_that_mongodb_s_log_does_not_have_is_lost(
    mongo: Mongo, feed: ChangeFeed, store: SessionStore, time: Time
) -> None:
    await store.create(make_session(time.now))
    ((change, _),) = await read(mongo, feed, 1)
    # A position begins with a type and the time in seconds.
    earlier = f"{int(change.position[2:10], 16) - 1:08X}"
    other = ChangeFeed(mongo.database)
    with pytest.raises(PositionLost):
        await read_from(other, change.position[:2] + earlier + change.position[10:])
    await other.close()


async def read_from(feed: ChangeFeed, position: str) -> None:
    await feed.open(FeedStart(position))
    await feed.next()


async def test_of_two_that_append_one_fails_and_numbers_have_no_gap(facts: FactStore, time: Time) -> None:
    def some(*names: str) -> list[tuple[NewFact, str]]:
        return [(NewFact(FactType.USER_CREATED, time.now, name), f"position {name}") for name in names]

    await facts.begin()
    assert await facts.append(some("a", "b"), after=0, now=time.now) == 2
    with pytest.raises(NumberTaken):
        await facts.append(some("c"), after=1, now=time.now)
    assert await facts.append(some("c"), after=2, now=time.now) == 3
    state = await facts.state()
    assert (state.number, state.start.position) == (3, "position c")
    page = await facts.after(0, limit=9)
    assert [(each.number, each.fact.user_id) for each in page.facts] == [(1, "a"), (2, "b"), (3, "c")]
    assert (page.last, page.recovered) == (3, True)
    await facts.note_position(3, "position z")
    assert (await facts.state()).start.position == "position z"
    await facts.note_position(1, "too late")
    assert (await facts.state()).start.position == "position z"


async def test_a_cursor_before_the_oldest_kept_fact_is_not_recovered(
    mongo: Mongo, facts: FactStore, time: Time
) -> None:
    await facts.begin()
    each = [(NewFact(FactType.USER_CREATED, time.now, "a"), "p")] * 3
    await facts.append(each, after=0, now=time.now)
    await facts.note_position(3, "p")
    await mongo.database["facts"].delete_many({"_id": {"$lte": 2}})
    assert [(await facts.after(number, limit=9)).recovered for number in (0, 1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    await mongo.database["facts"].delete_many({})
    assert [(await facts.after(number, limit=9)).recovered for number in (2, 3)] == [False, True]
    assert await facts.bounds() == (4, 3)


async def test_one_process_at_a_time_has_the_lease(facts: FactStore, time: Time) -> None:
    await facts.begin()
    later = time.now + timedelta(seconds=10)
    assert await facts.claim("one", now=time.now, until=later)
    assert not await facts.claim("two", now=time.now, until=later)
    assert await facts.claim("one", now=time.now, until=later)
    await facts.release("two")
    assert not await facts.claim("two", now=time.now, until=later)
    await facts.release("one")
    assert await facts.claim("two", now=time.now, until=later)
    assert await facts.claim("one", now=later, until=later)
