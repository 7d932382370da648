"""The MongoDB connection, the choice of the driver, and the mapping of driver errors to `Unavailable`.

Stores use only calls that Motor and PyMongo's asynchronous client share (`find(…).to_list(n)`, never
`aggregate`), so they work with either.
"""

import asyncio
import contextlib
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pymongo.lock
from pymongo import AsyncMongoClient
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)
from pymongo.monitoring import CommandListener

from auth.core.errors import Unavailable
from auth.platform.settings.settings import SettingsError

# `Any`, since the two drivers share no base class.
Database = Any
Document = dict[str, Any]

P = ParamSpec("P")
R = TypeVar("R")

DUPLICATE_KEY = 11000
# Codes that mean the statement is wrong and retrying is useless: a server defect (mongo/base/error_codes.yml:
# BadValue, FailedToParse, TypeMismatch, ConflictingUpdateOperators, DollarPrefixedFieldName, NotSingleValueField,
# EmptyFieldName, DottedFieldName, ImmutableField, CannotCreateIndex, InvalidOptions, InvalidNamespace,
# IndexOptionsConflict, IndexKeySpecsConflict, DocumentValidationFailure, InvalidIndexSpecificationOption,
# BSONObjectTooLarge, DuplicateKey).
STATEMENT_ERRORS = frozenset(
    {2, 9, 14, 40, 52, 54, 56, 57, 66, 67, 72, 73, 85, 86, 121, 197, 10334, DUPLICATE_KEY}
)


async def _wait_for(work: Awaitable[R], timeout: float | None) -> R:
    """`asyncio.wait_for` of Python 3.12, which runs `work` in the caller's task."""
    async with asyncio.timeout(timeout):
        return await work


if sys.version_info < (3, 12):
    # PyMongo waits by it for a Condition, whose lock the caller holds again afterwards. That of 3.11 waits in a
    # task of its own: if the caller is cancelled just as the time is over, the task takes the lock and nobody
    # releases it. Each later operation of the process would wait for ever (python/cpython#86766).
    pymongo.lock.wait_for = _wait_for  # type: ignore[attr-defined,assignment]

# Unauthorized, AuthenticationFailed, and AtlasError, which MongoDB Atlas uses for the latter.
REFUSAL_CODES = frozenset({13, 18, 8000})


@contextlib.contextmanager
def refusal_as_settings_error() -> Iterator[None]:
    """At start: raise `SettingsError` if MongoDB rejects the URL's user or denies it the required operations."""
    try:
        yield
    except Unavailable as down:
        refusal = down.__cause__
        if not isinstance(refusal, OperationFailure) or refusal.code not in REFUSAL_CODES:
            raise
        raise SettingsError(
            "VIGIL_MONGO_URL is wrong: MongoDB rejects its user or password, or that user lacks permissions"
        ) from None


# In milliseconds. The options of the URL override them.
DEFAULTS = {
    "serverSelectionTimeoutMS": 2000,
    "connectTimeoutMS": 2000,
    # For a whole operation, including retries and the wait for a connection, so that clients get `unavailable`
    # before they give up, even if MongoDB accepts a command and does not answer.
    "timeoutMS": 3000,
    "waitQueueTimeoutMS": 2000,
    "maxPoolSize": 64,
}


class Mongo:
    """A client and its database: the one configured, else the URL's, else `vigil`. `listeners` hear of commands.

    Writes wait for a majority, so that none is rolled back, whatever the URL says. Raises `SettingsError` for an
    unusable URL.
    """

    def __init__(
        self,
        url: str,
        database: str | None,
        driver: Literal["motor", "pymongo"],
        *,
        listeners: Sequence[CommandListener] = (),
    ) -> None:
        try:
            asked = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
            defaults = {name: value for name, value in DEFAULTS.items() if name.lower() not in asked}
            self._client = _client_class(driver)(
                url, tz_aware=True, w="majority", appname="vigil", event_listeners=list(listeners), **defaults
            )
        except (ConfigurationError, ValueError):
            # The driver's message is not shown: it can contain parts of the URL, including its password.
            raise SettingsError("VIGIL_MONGO_URL is wrong: it is not a usable MongoDB URL") from None
        self.database: Database = (
            self._client.get_default_database("vigil") if database is None else self._client[database]
        )

    async def ping(self) -> None:
        """Raise `Unavailable` unless MongoDB answers."""
        await _ping(self.database)

    async def time(self) -> datetime:
        """The time of the server that takes the writes. Raises `Unavailable`."""
        return server_time(await _hello(self.database))

    async def close(self) -> None:
        """Close all connections."""
        closing = self._client.close()
        if closing is not None:
            await closing


def _client_class(driver: Literal["motor", "pymongo"]) -> Any:
    if driver == "pymongo":
        return AsyncMongoClient
    # Imported only if chosen, for the cost of Motor's import.
    from auth.stores.motor_driver import AsyncIOMotorClient

    return AsyncIOMotorClient


async def opened(cursor: Any) -> Any:
    """The cursor of an aggregation or change stream: PyMongo's is awaited, Motor's is not."""
    return await cursor if inspect.isawaitable(cursor) else cursor


def outage_is_unavailable(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Raise driver errors as `Unavailable`, except those caused by a wrong statement, which are bugs and raised
    unchanged.
    """

    @functools.wraps(method)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except PyMongoError as error:
            if is_outage(error):
                raise Unavailable from error
            raise

    return guarded


def is_outage(error: PyMongoError) -> bool:
    """Whether MongoDB failed for a reason other than the statement, so that a retry may succeed.

    Unreachable, stepping down, shutting down, too slow, no majority, disk full, authentication lost.
    """
    if isinstance(error, DuplicateKeyError):
        return False
    if isinstance(error, BulkWriteError):
        return STATEMENT_ERRORS.isdisjoint(each["code"] for each in write_errors(error))
    return not isinstance(error, OperationFailure) or error.code not in STATEMENT_ERRORS


def write_errors(error: BulkWriteError) -> Sequence[Document]:
    """The writes that failed, as MongoDB reports them: `code`, `op`, and `keyPattern` of a duplicate."""
    failed: Sequence[Document] = (error.details or {}).get("writeErrors", ())
    return failed


@outage_is_unavailable
async def _ping(database: Database) -> None:
    await database.command("ping")


@outage_is_unavailable
async def _hello(database: Database) -> Document:
    answer: Document = await database.command("hello")
    return answer


def server_time(hello: Document) -> datetime:
    """The time in the answer to `hello`: commands answer without a zone."""
    theirs: datetime = hello["localTime"].replace(tzinfo=UTC)
    return theirs
