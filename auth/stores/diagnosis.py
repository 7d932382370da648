"""Facts about the MongoDB and its database, for `server.py doctor`. Nothing is changed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo import IndexModel

from auth.core.clock import Clock
from auth.stores.mongo import Database, outage_is_unavailable, server_time


@dataclass(frozen=True, slots=True)
class MongoFacts:
    """What the server says of itself. `ahead`: by how much its clock is ahead of ours; `members`: of the set."""

    version: str
    is_standalone: bool
    is_sharded: bool
    members: int
    ahead: timedelta
    takes_at_most: timedelta


class Diagnosis:
    """Reads facts about a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @outage_is_unavailable
    async def facts(self, clock: Clock) -> MongoFacts:
        """Ask the server that takes the writes."""
        version = (await self._database.client.admin.command("buildInfo"))["version"]
        asked = clock()
        hello = await self._database.command("hello")
        answered = clock()
        theirs = server_time(hello)
        is_sharded = hello.get("msg") == "isdbgrid"
        return MongoFacts(
            version=version,
            is_standalone="setName" not in hello and not is_sharded,
            is_sharded=is_sharded,
            members=len(hello.get("hosts", ())),
            ahead=theirs - (asked + (answered - asked) / 2),
            takes_at_most=answered - asked,
        )

    @outage_is_unavailable
    async def indexes(self) -> set[str]:
        """The existing indexes, as `collection.name`."""
        found = set()
        for collection in await self._database.list_collection_names():
            for name in await self._database[collection].index_information():
                found.add(f"{collection}.{name}")
        return found


class DeclaredIndexes:
    """Takes the place of a database for `ensure_indexes` of the stores, and records what they would create."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, collection: str) -> "_DeclaredCollection":
        return _DeclaredCollection(self.names, collection)


class _DeclaredCollection:
    def __init__(self, names: set[str], collection: str) -> None:
        self._names = names
        self._collection = collection

    async def create_index(self, keys: str | Sequence[tuple[str, int]], **options: Any) -> None:
        await asyncio.sleep(0)
        document: Mapping[str, Any] = IndexModel(keys, **options).document
        self._names.add(f"{self._collection}.{document['name']}")
