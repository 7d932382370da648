"""For the tests of the session store: its time, the store on either driver, and one session in it."""

import pytest
from support.session_store import REVOKED_KEPT
from support.session_world import Time, make_session

from auth.models import Session
from auth.stores.mongo import Mongo
from auth.stores.sessions import Sessions


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
