"""Fixtures for the session store: a clock, the store on each driver, and a session in it."""

from collections.abc import AsyncIterator

import pytest
from support.databases import empty
from support.nodes import ServiceUrls
from support.session_store import REVOKED_KEPT
from support.session_world import Time, make_session

from auth.core.models import Session
from auth.stores.mongo import Mongo
from auth.stores.sessions.store import SessionStore


@pytest.fixture(params=["motor", "pymongo"])
async def mongo(
    request: pytest.FixtureRequest, services: ServiceUrls, indexed_database: str
) -> AsyncIterator[Mongo]:
    """An empty database with all indexes, through each driver in turn."""
    empty(services, indexed_database)
    connection = Mongo(services.patient_mongo, indexed_database, request.param)
    yield connection
    await connection.close()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store(mongo: Mongo) -> SessionStore:
    return SessionStore(mongo.database, revoked_kept=REVOKED_KEPT)


@pytest.fixture
async def session(store: SessionStore, time: Time) -> Session:
    made = make_session(time.now)
    await store.create(made)
    return made
