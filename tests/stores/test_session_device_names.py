"""Device names in the collection `sessions`: one conditional update."""

from dataclasses import replace

import pytest
from support.session_store import revoke
from support.session_world import IDLE_LIFE, Time

from auth.core.models import Session
from auth.stores.mongo import Mongo
from auth.stores.sessions.device_names import SessionDeviceNames
from auth.stores.sessions.store import SessionStore


@pytest.fixture
def names(mongo: Mongo) -> SessionDeviceNames:
    return SessionDeviceNames(mongo.database)


async def test_only_the_name_changes(
    names: SessionDeviceNames, store: SessionStore, session: Session, time: Time
) -> None:
    renamed = await names.rename(session.session_id, user_id=session.user_id, name="$set ✓", now=time.now)
    assert renamed == replace(session, device=replace(session.device, name="$set ✓"))
    assert await store.get(session.session_id) == renamed


async def test_a_session_of_another_user_is_not_renamed(
    names: SessionDeviceNames, store: SessionStore, session: Session, time: Time
) -> None:
    assert await names.rename(session.session_id, user_id="another", name="Mine", now=time.now) is None
    assert await names.rename("nobody's", user_id=session.user_id, name="Mine", now=time.now) is None
    assert await store.get(session.session_id) == session


async def test_a_session_that_was_revoked_or_has_expired_keeps_its_name(
    names: SessionDeviceNames, store: SessionStore, session: Session, time: Time
) -> None:
    later = time.now + IDLE_LIFE
    assert await names.rename(session.session_id, user_id=session.user_id, name="Late", now=later) is None
    await revoke(store, session, time)
    assert await names.rename(session.session_id, user_id=session.user_id, name="Late", now=time.now) is None
    kept = await store.get(session.session_id)
    assert kept is not None
    assert kept.device == session.device
