"""Measures the size of a server's data: Redis keys of sockets, and MongoDB documents.

Documents are real ones. Many copies with other ids are added, since a few documents do not fill index pages.
"""

import secrets
import statistics
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from bench.peers import Login
from realtime.broker.redis_keys import Keys
from realtime.broker.user_log import LOG_LENGTH

# The drivers' types do not cover all methods used here.
Redis = Any
Database = Any
Document = dict[str, Any]

COLLECTIONS = ("users", "sessions", "audit_events")
ORIGINALS, BATCH = 200, 2000
# Indexed fields, which get new values in each copy.
IDS = ("userId", "sessionId")
NAMES = ("emailKey", "email", "usernameKey", "username")
TIMES = ("lastSeenAt", "expiresAt", "purgeAt", "at", "removeAt", "loggedInAt", "rotatedAt")


async def key_sizes(store: Redis, keys: Keys, logins: Sequence[Login]) -> dict[str, float]:
    """Return the mean `MEMORY USAGE` of users' keys, and of one member of the node's set."""
    users = sorted({login.user_id for login in logins})

    async def mean(read: Callable[..., Awaitable[Any]], key: Callable[[str], str], **options: int) -> float:
        found = [await read(key(user), **options) for user in users]
        return statistics.mean(size or 0 for size in found)

    sizes = {
        "sockets_key": await mean(store.memory_usage, keys.sockets, samples=0),
        "log_key": await mean(store.memory_usage, keys.log, samples=0),
        "meta_key": await mean(store.memory_usage, keys.meta, samples=0),
        "log_events": await mean(store.llen, keys.log),
        "states_key": await mean(store.memory_usage, keys.states, samples=0),
    }
    sets = [key async for key in store.scan_iter("*:node:*:sockets", count=1000)]
    members = sum([await store.scard(key) for key in sets])
    sizes["node_member"] = sum([await store.memory_usage(key, samples=0) for key in sets]) / members
    return sizes


async def full_log_size(store: Redis, log: str) -> float:
    """Return the `MEMORY USAGE` of a log of maximum length, filled with copies of the events of a log."""
    frames = await store.lrange(log, 0, -1)
    copy = f"{log}:full"
    await store.rpush(copy, *(frames * LOG_LENGTH)[:LOG_LENGTH])
    size = await store.memory_usage(copy, samples=0)
    await store.delete(copy)
    return float(size)


async def document_sizes(database: Database, copies: int) -> dict[str, dict[str, Any]]:
    """Return the bytes per document and per index entry of each collection, after adding `copies` copies."""
    for name in COLLECTIONS:
        originals = [document async for document in database[name].find({}, limit=ORIGINALS)]
        for begin in range(0, copies, BATCH):
            numbers = range(begin, min(begin + BATCH, copies))
            batch = [_copy(originals[number % len(originals)]) for number in numbers]
            await database[name].insert_many(batch, ordered=False)
    await database.client.admin.command("fsync")
    return {name: _of_one(await database.command("collStats", name)) for name in COLLECTIONS}


def _of_one(stats: Document) -> dict[str, Any]:
    count = stats["count"]
    return {
        "document": stats["avgObjSize"],
        "stored": stats["storageSize"] / count,
        "indexes": stats["totalIndexSize"] / count,
        "count": count,
        "each_index": {key: round(value / count, 1) for key, value in stats["indexSizes"].items()},
    }


def _copy(document: Document) -> Document:
    copy = dict(document)
    aside = timedelta(seconds=secrets.randbelow(600_000), milliseconds=secrets.randbelow(1000))
    if isinstance(copy["_id"], str):
        copy["_id"] = secrets.token_hex(16)
    else:
        del copy["_id"]
    for name in IDS:
        if copy.get(name):
            copy[name] = secrets.token_hex(16)
    for name in NAMES:
        if name in copy:
            copy[name] = secrets.token_hex(5) + copy[name]
    for name in TIMES:
        if copy.get(name) is not None:
            copy[name] += aside
    return copy
