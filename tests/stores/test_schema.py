"""The version of the database and its migrations; for the command see tests/faults/test_migrate.py."""

import asyncio

import pytest

from auth.core.clock import utc_now
from auth.core.models import User
from auth.core.paging import Page
from auth.stores.mongo import Mongo
from auth.stores.schema import FIRST, MIGRATIONS, VERSION, DatabaseTooNew, Schema
from auth.stores.users.directory import Directory
from auth.stores.users.store import Users


@pytest.fixture
def schema(mongo: Mongo) -> Schema:
    return Schema(mongo.database)


async def version_of(mongo: Mongo) -> int | None:
    document = await mongo.database["schema"].find_one({"_id": "version"})
    return document and document["version"]


async def test_a_new_database_gets_the_current_version_from_whoever_starts_first(
    mongo: Mongo, schema: Schema
) -> None:
    assert await asyncio.gather(*(schema.check() for _ in range(5))) == [VERSION] * 5
    assert await version_of(mongo) == VERSION


async def test_a_database_with_accounts_and_without_a_version_is_the_first_and_stays_so(
    mongo: Mongo, schema: Schema
) -> None:
    await mongo.database["users"].insert_one({"_id": "ada"})
    assert await schema.check() == FIRST
    assert await version_of(mongo) is None


async def test_a_newer_database_is_refused_in_one_line(mongo: Mongo, schema: Schema) -> None:
    await schema.reached(VERSION + 1)
    with pytest.raises(
        DatabaseTooNew, match=rf"^the database has the schema {VERSION + 1}, [^\n]+ only {VERSION}: "
    ):
        await schema.check()


async def test_the_version_never_decreases(mongo: Mongo, schema: Schema) -> None:
    await schema.reached(VERSION)
    await schema.reached(FIRST)
    assert await version_of(mongo) == VERSION


def test_every_version_has_one_migration_in_order() -> None:
    assert [step.version for step in MIGRATIONS] == list(range(FIRST + 1, VERSION + 1))


async def test_after_the_migration_a_name_stored_before_is_found_by_any_word_and_a_second_run_changes_nothing(
    mongo: Mongo, schema: Schema
) -> None:
    users, directory = Users(mongo.database), Directory(mongo.database)
    (step,) = (step for step in MIGRATIONS if step.version == 2)
    for number in range(3):
        user = User(f"u{number}", f"u{number}@example.org", "Grace Hopper", None, (), utc_now())
        await users.create(user)
    old = {"$set": {"nameKey": "grace hopper"}, "$unset": {"nameWords": ""}}
    await mongo.database["users"].update_many({"_id": {"$ne": "u0"}}, old)

    async def found() -> set[str]:
        page = await directory.search(query="hopper", role=None, locked=None, before=None, limit=10)
        assert isinstance(page, Page)
        return {user.user_id for user in page.rows}

    assert await found() == {"u0"}
    assert await schema.outdated(step) == 2
    assert await schema.change_some(step) == 2
    assert await found() == {"u0", "u1", "u2"}
    assert (await schema.outdated(step), await schema.change_some(step)) == (0, 0)
