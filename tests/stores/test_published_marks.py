"""Marks of published facts, removed together after the answer."""

from datetime import timedelta

from support.session_store import document, revoke, until
from support.session_world import Time, make_session

from auth.core.models import Session
from auth.stores.mongo import Mongo
from auth.stores.sessions.marks import SessionMarks
from auth.stores.sessions.store import SessionStore
from realtime.delivery.published_marks import PublishedMarks


async def test_marks_of_published_facts_are_removed_without_anybody_waiting(
    mongo: Mongo, store: SessionStore, session: Session, time: Time
) -> None:
    other = make_session(time.now)
    await store.create(other)
    await revoke(store, other, time)
    marks = PublishedMarks(SessionMarks(mongo.database))
    marks.remove_soon(session, "created")
    marks.remove_soon(other, "ended")

    async def are_removed() -> bool:
        kept = [(await document(mongo, each))["unpublished"] for each in (session, other)]
        return kept == [[], ["created"]]

    await until(are_removed)


async def test_a_node_that_stops_first_removes_the_marks_it_has_collected(
    mongo: Mongo, store: SessionStore, session: Session, time: Time
) -> None:
    marks = PublishedMarks(SessionMarks(mongo.database))
    marks.remove_soon(session, "created")
    await marks.close()
    assert await store.claim_unpublished(before=time.now + timedelta(seconds=1), now=time.now) is None
