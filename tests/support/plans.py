"""Records MongoDB's query plans of the commands that a store sends."""

import contextlib
from collections.abc import AsyncIterator

from auth.stores.mongo import Mongo


@contextlib.asynccontextmanager
async def watched_plans(mongo: Mongo) -> AsyncIterator[list[str]]:
    """Record the plans of all queries in the block, such as `users: IXSCAN { emailKey: 1 }`."""
    plans: list[str] = []
    await mongo.database.command("profile", 2)
    try:
        yield plans
    finally:
        await mongo.database.command("profile", 0)
    async for entry in mongo.database["system.profile"].find({"planSummary": {"$exists": True}}):
        collection = entry["ns"].partition(".")[2]
        if collection != "system.profile":
            plans.append(f"{collection}: {entry['planSummary']}")
    await mongo.database["system.profile"].drop()
