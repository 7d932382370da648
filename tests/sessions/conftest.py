"""The world around the session operations, and one user in it."""

from collections.abc import AsyncIterator

import pytest
from support.nodes import ServiceUrls
from support.session_world import World, make_user, make_world

from auth.models import User
from auth.stores.mongo import Mongo


@pytest.fixture
async def mongo(services: ServiceUrls, database_name: str) -> AsyncIterator[Mongo]:
    """The default driver only: that both do the same is tests/stores' business."""
    connection = Mongo(services.mongo, database_name, "motor")
    yield connection
    await connection.close()


@pytest.fixture
async def world(mongo: Mongo) -> World:
    return await make_world(mongo)


@pytest.fixture
def ada(world: World) -> User:
    return make_user(world.time.now, roles=("user", "admin"))
