"""During a MongoDB outage, every store method raises `Unavailable`."""

import importlib
import inspect
import pkgutil
from typing import Any

import pymongo.errors
import pytest
from pymongo.errors import BulkWriteError, OperationFailure

import auth.stores
from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.stores.mongo import Mongo, outage_is_unavailable
from auth.stores.one_time_tokens import OneTimeTokens, Purpose
from auth.stores.stores import Collections
from auth.stores.users.store import Users

# The TTL index uses the real clock: documents with a fixed date would be removed one day.
NOW = utc_now()


def stores() -> list[type]:
    """All store classes."""
    names = [each.name for each in pkgutil.iter_modules(auth.stores.__path__)]
    modules = [importlib.import_module(f"auth.stores.{name}") for name in names]
    return [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and kind not in {Mongo, Collections}
        if "database" in getattr(kind.__init__, "__annotations__", {})
    ]


def is_asynchronous(method: object) -> bool:
    return callable(method) and inspect.iscoroutinefunction(inspect.unwrap(method))


@pytest.mark.parametrize("store", stores())
def test_every_public_method_raises_unavailable(store: type) -> None:
    methods = {name: value for name, value in vars(store).items() if not name.startswith("_")}
    asking = {name: method for name, method in methods.items() if is_asynchronous(method)}
    assert asking
    for name, method in asking.items():
        assert hasattr(method, "__wrapped__"), name


async def test_an_unreachable_mongodb_is_unavailable() -> None:
    # Motor only: PyMongo's client leaks a socket if closed while connecting.
    mongo = Mongo("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", "nothing", "motor")
    with pytest.raises(Unavailable):
        await Users(mongo.database).by_id("u")
    with pytest.raises(Unavailable):
        await OneTimeTokens(mongo.database).of_user("u", Purpose.VERIFY_EMAIL)
    await mongo.close()


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([11602], Unavailable), ([189, 10107], Unavailable), ([], Unavailable), ([11602, 121], BulkWriteError)],
)
async def test_a_bulk_write_failure_is_an_outage_unless_a_statement_is_wrong(
    codes: list[int], expected: type[Exception]
) -> None:
    """A server that steps down halfway fails some statements; without failed statements, the majority was not
    reached in time.
    """

    @outage_is_unavailable
    async def write() -> None:
        raise BulkWriteError({"writeErrors": [{"index": 0, "code": code} for code in codes]})

    with pytest.raises(expected):
        await write()


def raised_by_the_driver() -> list[Exception]:
    """One instance of each PyMongo exception, except those about statements and client-side encryption."""
    named = inspect.getmembers(pymongo.errors, inspect.isclass)
    kinds = [kind for name, kind in named if not name.startswith("Encrypt")]
    made: list[Exception] = []
    for kind in kinds:
        if not issubclass(kind, pymongo.errors.PyMongoError) or issubclass(kind, pymongo.errors.DuplicateKeyError):
            continue
        arguments: tuple[Any, ...] = ("so it is",)
        if issubclass(kind, BulkWriteError):
            arguments = ({"writeErrors": [], "writeConcernErrors": [{"code": 64}]},)
        elif kind.__name__ == "ClientBulkWriteException":
            arguments = ({"writeErrors": []}, False)
        made.append(kind(*arguments))
    return made


@pytest.mark.parametrize("error", raised_by_the_driver(), ids=lambda error: type(error).__name__)
async def test_every_driver_exception_is_an_outage(error: Exception) -> None:
    @outage_is_unavailable
    async def ask() -> None:
        raise error

    with pytest.raises(Unavailable) as outage:
        await ask()
    assert outage.value.__cause__ is error


# By mongo/base/error_codes.yml: HostUnreachable, HostNotFound, UserNotFound, Unauthorized, AuthenticationFailed,
# LockTimeout, CursorNotFound, MaxTimeMSExpired, WriteConcernFailed, NetworkTimeout, ShutdownInProgress,
# UnsatisfiableWriteConcern, WriteConflict, FailedToSatisfyReadPreference, ReadConcernMajorityNotAvailableYet,
# ExceededMemoryLimit, QueryPlanKilled, PrimarySteppedDown, CursorKilled, SnapshotUnavailable, NoSuchTransaction,
# ExceededTimeLimit, TemporarilyUnavailable, IngressRequestRateLimitExceeded, AtlasError, SocketException,
# NotWritablePrimary, InterruptedAtShutdown, Interrupted, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk,
# NotPrimaryOrSecondary, OutOfDiskSpace; and an unknown one.
SERVERS_OWN: tuple[int, ...] = (
    6,
    7,
    11,
    13,
    18,
    24,
    43,
    50,
    64,
    89,
    91,
    100,
    112,
    133,
    134,
    146,
    175,
    189,
    237,
    246,
    251,
    262,
    365,
)
SERVERS_OWN += (462, 8000, 9001, 10107, 11600, 11601, 11602, 13435, 13436, 14031, 987654)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((code, Unavailable) for code in SERVERS_OWN),
        *((code, OperationFailure) for code in (2, 9, 14, 40, 52, 57, 66, 85, 86, 121, 10334, 11000)),
    ],
)
async def test_an_error_code_is_an_outage_unless_the_statement_is_wrong(
    code: int, expected: type[Exception]
) -> None:
    @outage_is_unavailable
    async def ask() -> None:
        raise OperationFailure("so it is", code)

    with pytest.raises(expected):
        await ask()
