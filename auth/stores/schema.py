"""The version of the database's schema, and the migrations from each version to the next.

- A start creates missing indexes and changes nothing else. A database without accounts gets the current version.
- An older database is served: what a migration changes, the code reads in the old form too, with the limitation
  that the migration's text names. So nodes are updated one by one; after the last, `server.py migrate` runs once.
- A newer database is refused: its documents may have a form that this version would misread or overwrite.

Each migration is idempotent and changes few documents at a time, while nodes run.
"""

from dataclasses import dataclass

from pymongo.errors import DuplicateKeyError

from auth.core.errors import StartRefused
from auth.stores.mongo import Database, Document, outage_is_unavailable

# The version of a database that has none: that of the releases before there were versions.
FIRST = 1
BATCH = 1000
# From this version on, refresh tokens name their user.
NAMED_TOKENS = 3


class DatabaseTooNew(StartRefused):
    """A later version of Vigil has migrated the database."""


@dataclass(frozen=True, slots=True)
class Migration:
    """The step to `version`: the update of all documents of a collection that are `outdated`."""

    version: int
    what: str
    collection: str
    outdated: Document
    change: list[Document]


MIGRATIONS = (
    Migration(
        2,
        "split names into words; until then the search finds only accounts whose name was set by 0.3 or later",
        "users",
        {"nameKey": {"$type": "string"}},
        [{"$set": {"nameWords": {"$split": ["$nameKey", " "]}}}, {"$unset": "nameKey"}],
    ),
    Migration(
        NAMED_TOKENS,
        "name the user in refresh tokens, from the next start of each node",
        "sessions",
        {"_id": {"$in": []}},  # tokens are renewed by each refresh
        [],
    ),
)
VERSION = MIGRATIONS[-1].version


class Schema:
    """The collection `schema`: one document with the version."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._schema = database["schema"]
        self._version = 0

    def tokens_name_users(self) -> bool:
        """Whether every node accepts refresh tokens that name their user, by the version that was read last."""
        return self._version >= NAMED_TOKENS

    @outage_is_unavailable
    async def check(self) -> int:
        """Return the database's version; a new database gets the current one.

        Raises `DatabaseTooNew`, or `Unavailable`.
        """
        version = await self.read()
        if version is not None:
            return version
        try:
            await self._schema.insert_one({"_id": "version", "version": VERSION})
        except DuplicateKeyError:  # another node started at the same time
            return await self.check()
        self._version = VERSION
        return VERSION

    @outage_is_unavailable
    async def read(self) -> int | None:
        """Return the database's version; None for a new database. Raises `DatabaseTooNew`, or `Unavailable`."""
        document = await self._schema.find_one({"_id": "version"})
        if document is None and await self._database["users"].find_one({}, {"_id": 1}) is None:
            return None
        version = FIRST if document is None else int(document["version"])
        if version > VERSION:
            raise DatabaseTooNew(
                f"the database has the schema {version}, and this version of Vigil knows only {VERSION}: "
                "update Vigil, or restore a backup from before the update"
            )
        self._version = version
        return version

    @outage_is_unavailable
    async def outdated(self, migration: Migration) -> int:
        """Count the documents that a migration would change now."""
        return int(await self._database[migration.collection].count_documents(migration.outdated))

    @outage_is_unavailable
    async def change_some(self, migration: Migration) -> int:
        """Change the next documents, at most a thousand; return how many, 0 at the end."""
        collection = self._database[migration.collection]
        found = await collection.find(migration.outdated, {"_id": 1}, limit=BATCH).to_list(BATCH)
        if not found:
            return 0
        ids = [document["_id"] for document in found]
        # Found again by the condition: a node may have changed one of them meanwhile.
        await collection.update_many({"_id": {"$in": ids}, **migration.outdated}, migration.change)
        return len(ids)

    @outage_is_unavailable
    async def reached(self, version: int) -> None:
        """Record that the database has this version; one that is later stays."""
        await self._schema.update_one({"_id": "version"}, {"$max": {"version": version}}, upsert=True)
