"""Fixtures for the session store: a clock, the store on each driver, and a session in it."""

from collections.abc import AsyncIterator

import pytest
from support.nodes import ServiceUrls
from support.session_store import REVOKED_KEPT
from support.session_world import Time, make_session

from auth.core.models import Session
from auth.stores.mongo import Mongo
from auth.stores.sessions.store import SessionStore


@pytest.fixture(params=["motor", "pymongo"])
async def mongo(request: pytest.FixtureRequest, services: ServiceUrls, database_name: str) -> AsyncIterator[Mongo]:
    """A database without indexes, on each driver in turn."""
    connection = Mongo(services.patient_mongo, database_name, request.param)
    yield connection
    await connection.close()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def store(mongo: Mongo) -> SessionStore:
    store = SessionStore(mongo.database, revoked_kept=REVOKED_KEPT)
    await store.ensure_indexes()
    return store


@pytest.fixture
async def session(store: SessionStore, time: Time) -> Session:
    made = make_session(time.now)
    await store.create(made)
    return made
