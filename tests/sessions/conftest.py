"""The session operations with test doubles, and one user."""

import pytest
from support.session_world import World, make_user, make_world

from auth.core.models import User
from auth.stores.mongo import Mongo


@pytest.fixture
async def world(mongo: Mongo) -> World:
    return await make_world(mongo)


@pytest.fixture
def ada(world: World) -> User:
    return make_user(world.time.now, roles=("user", "admin"))
