"""Failed hooks, stored with their session: one node retries them, and none is lost."""

import asyncio
from datetime import timedelta

import pytest
from support.session_store import document
from support.session_world import Time

from auth.core.models import Session
from auth.stores.mongo import Mongo
from auth.stores.sessions.hooks import SessionHookStore

MINUTE = timedelta(minutes=1)


@pytest.fixture
def due(mongo: Mongo) -> SessionHookStore:
    return SessionHookStore(mongo.database)


async def test_hooks_are_claimed_once_and_only_when_due(
    due: SessionHookStore, session: Session, time: Time
) -> None:
    await due.add(session.session_id, ["one", "two"], user_id=session.user_id, at=time.now + MINUTE)
    assert await due.claim(now=time.now, until=time.now + MINUTE) is None
    then = time.now + MINUTE
    claims = await asyncio.gather(*(due.claim(now=then, until=then + MINUTE) for _ in range(5)))
    [(claimed, hooks, tries)] = [claim for claim in claims if claim is not None]
    assert (claimed.session_id, hooks, tries) == (session.session_id, {"one", "two"}, 1)
    # The node that claimed them died.
    again = await due.claim(now=then + MINUTE, until=then + 2 * MINUTE)
    assert again is not None
    assert again[1:] == ({"one", "two"}, 2)


async def test_completed_hooks_are_removed_and_hooks_added_meanwhile_stay(
    due: SessionHookStore, session: Session, time: Time, mongo: Mongo
) -> None:
    await due.add(session.session_id, ["one", "two"], user_id=session.user_id, at=time.now)
    await due.claim(now=time.now, until=time.now + MINUTE)
    await due.add(session.session_id, ["three"], user_id=session.user_id, at=time.now)
    await due.settle(session.session_id, ["one", "two"], user_id=session.user_id, again_at=time.now + MINUTE)
    assert await due.claim(now=time.now, until=time.now + MINUTE) is None
    claimed = await due.claim(now=time.now + MINUTE, until=time.now + 2 * MINUTE)
    assert claimed is not None
    assert claimed[1] == {"three"}
    await due.settle(session.session_id, ["three"], user_id=session.user_id, again_at=time.now)
    assert await due.claim(now=time.now + timedelta(days=1), until=time.now) is None
    assert "hooksDueAt" not in await document(mongo, session)
