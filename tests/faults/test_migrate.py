"""`server.py migrate`, and nodes on a database of another version."""

import asyncio
from collections.abc import Callable
from typing import Any

from support.clients import Api
from support.commands import Ended, run_command
from support.nodes import Installation, Node

from auth.stores.schema import VERSION

On = Callable[[Node], Api]


async def migrate(installed: Installation, *arguments: str) -> Ended:
    return await asyncio.to_thread(run_command, "migrate", *arguments, environ=installed.environ())


async def test_a_node_serves_an_older_database_until_it_is_migrated_beside_it(
    installed: Installation, database: Any, on: On
) -> None:
    database["users"].insert_one({"_id": "grace", "nameKey": "grace hopper", "emailKey": "grace@example.org"})
    node = await asyncio.to_thread(installed.start)
    (warned,) = await node.logged("schema_is_older")
    assert "server.py migrate" in warned
    await on(node).login(await on(node).register())

    planned = await migrate(installed, "--dry-run")
    assert planned.status == 0, planned
    assert "documents to change: 1" in planned.out
    assert planned.out.splitlines()[-1] == f"the database has the schema 1; the current one is {VERSION}"
    assert database["users"].find_one({"_id": "grace"})["nameKey"] == "grace hopper"
    assert database["schema"].find_one() is None

    done = await migrate(installed)
    assert done.status == 0, done
    assert "changed 1" in done.out
    assert database["users"].find_one({"_id": "grace"})["nameWords"] == ["grace", "hopper"]
    assert database["schema"].find_one({"_id": "version"})["version"] == VERSION
    again = await migrate(installed)
    assert again.out == f"the database has the schema {VERSION}; the current one is {VERSION}\n"
    await on(node).login(await on(node).register())
    assert await asyncio.to_thread(node.stop) == 0


async def test_a_newer_database_is_refused_by_the_server_and_by_commands_with_one_line(
    installed: Installation, database: Any
) -> None:
    database["schema"].insert_one({"_id": "version", "version": VERSION + 1})
    for arguments in ([], ["worker"], ["migrate"], ["keys", "rotate"], ["grant", "ada@example.org", "admin"]):
        refused = await asyncio.to_thread(run_command, *arguments, environ=installed.environ())
        assert (refused.status, refused.out) == (2, ""), arguments
        (line,) = refused.err.splitlines()
        assert line.startswith(f"vigil: the database has the schema {VERSION + 1}")
    assert database.list_collection_names() == ["schema"]
