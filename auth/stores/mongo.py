"""The MongoDB connection: one function chooses the driver, one decorator says what an outage means.

Stores use only calls that Motor and PyMongo's own asynchronous client share (`find(…).to_list(n)`,
never `aggregate`), so that the choice is invisible to them.
"""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec, TypeVar

from pymongo import AsyncMongoClient
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from auth.errors import Unavailable
from auth.settings import SettingsError

# The two drivers share no base class; what the stores use of them is the same.
Database = Any
Document = dict[str, Any]

P = ParamSpec("P")
R = TypeVar("R")

# ConfigurationError: a mongodb+srv name is looked up at the first call, and DNS may not know it.
OUTAGES = (ConfigurationError, ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError, WTimeoutError)

# Codes with which a server that is shutting down or stepping down ends running operations
# (mongo/base/error_codes.yml: ShutdownInProgress, InterruptedAtShutdown, InterruptedDueToReplStateChange).
OUTAGE_CODES = frozenset({91, 11600, 11602})


# The same for one statement of several, with those that the driver knows by itself when a whole command has them
# (MaxTimeMSExpired, PrimarySteppedDown, NotWritablePrimary, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary).
STATEMENT_OUTAGE_CODES = OUTAGE_CODES | {50, 189, 10107, 13435, 13436}


class Mongo:
    """An open client and its database: the one named, else the URL's, else `vigil`.

    Writes wait for a majority, so that none is rolled back. Raises `SettingsError` for a URL that will not do.
    """

    def __init__(self, url: str, database: str | None, driver: Literal["motor", "pymongo"]) -> None:
        options: dict[str, Any] = {
            "tz_aware": True,
            "w": "majority",
            "serverSelectionTimeoutMS": 2000,
            "connectTimeoutMS": 2000,
            # For a whole operation, its repetition and the wait for a connection too: a client is told
            # `unavailable` while it still waits, also by a MongoDB that has taken the question and is silent.
            "timeoutMS": 3000,
            "waitQueueTimeoutMS": 2000,
            "maxPoolSize": 64,
            "appname": "vigil",
        }
        self._driver = driver
        try:
            self._client = _client_class(driver)(url, **options)
        except (ConfigurationError, ValueError):
            # The driver's own words can repeat parts of the URL, and with them its password.
            raise SettingsError("VIGIL_MONGO_URL is wrong: it is no MongoDB URL that can be used") from None
        self.database: Database = (
            self._client.get_default_database("vigil") if database is None else self._client[database]
        )

    async def ping(self) -> None:
        """Raise `Unavailable` unless MongoDB answers."""
        await _ping(self.database)

    async def close(self) -> None:
        """Close every connection."""
        closing = self._client.close()
        if closing is not None:
            await closing


def _client_class(driver: Literal["motor", "pymongo"]) -> Any:
    if driver == "pymongo":
        return AsyncMongoClient
    from motor.motor_asyncio import AsyncIOMotorClient

    return AsyncIOMotorClient


def outage_is_unavailable(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Turn a driver's connection trouble into `Unavailable`; other errors are bugs and pass."""

    @functools.wraps(method)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except OUTAGES as error:
            raise Unavailable from error
        except BulkWriteError as error:
            if _is_outage_of_statements(error):
                raise Unavailable from error
            raise
        except OperationFailure as error:
            if error.code in OUTAGE_CODES:
                raise Unavailable from error
            raise

    return guarded


def _is_outage_of_statements(error: BulkWriteError) -> bool:
    """Whether each statement that failed met a server on its way out, or not a majority in time."""
    details = error.details or {}
    codes = {failed["code"] for failed in details.get("writeErrors", ())}
    return codes <= STATEMENT_OUTAGE_CODES


@outage_is_unavailable
async def _ping(database: Database) -> None:
    await database.command("ping")
