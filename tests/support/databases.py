"""Helpers for test databases."""

import shutil
from pathlib import Path

from auth.platform.settings.settings import Settings
from auth.stores.stores import Stores
from support.nodes import SECRET, ServiceUrls, mongo_client

IN_MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 << 30


def memory() -> str | None:
    """Return an in-memory file system with enough space for a run, so that writes need no disk; else None."""
    return str(IN_MEMORY) if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ENOUGH_BYTES else None


async def make_indexes(services: ServiceUrls, database: str) -> None:
    """Create all indexes that a node creates."""
    settings = Settings.load(
        {
            "VIGIL_MONGO_URL": services.mongo,
            "VIGIL_MONGO_DATABASE": database,
            "VIGIL_REDIS_URL": services.redis,
            "VIGIL_SECRET_KEY": SECRET,
        }
    )
    stores = Stores(settings, services.mongo)
    await stores.prepare()
    await stores.mongo.close()


def empty(services: ServiceUrls, database: str) -> None:
    """Delete all documents of a database and keep its indexes, which take longer to create than most tests."""
    opened = mongo_client(services.mongo)[database]
    for collection in opened.list_collection_names():
        opened[collection].delete_many({})
