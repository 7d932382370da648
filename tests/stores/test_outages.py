"""What an outage of MongoDB is to whoever asks a store of accounts: `Unavailable`, whatever was asked."""

import inspect

import pytest
from pymongo.errors import BulkWriteError

from auth.clock import utc_now
from auth.errors import Unavailable
from auth.stores.account_parts import AccountParts
from auth.stores.audit_events import AuditEvents
from auth.stores.directory import Directory
from auth.stores.identities import Identities
from auth.stores.mongo import Mongo, outage_is_unavailable
from auth.stores.one_time_tokens import OneTimeTokens, Purpose
from auth.stores.outbox import Outbox
from auth.stores.passkeys import Passkeys
from auth.stores.session_places import SessionPlaces
from auth.stores.session_roles import SessionRoles
from auth.stores.users import Users

# MongoDB's TTL index reads the real clock: tests of a fixed date would lose their documents to it one day.
NOW = utc_now()


@pytest.mark.parametrize(
    "store",
    [
        AccountParts,
        AuditEvents,
        Directory,
        Identities,
        OneTimeTokens,
        Outbox,
        Passkeys,
        SessionPlaces,
        SessionRoles,
        Users,
    ],
)
def test_every_public_method_says_unavailable(store: type) -> None:
    methods = {name: value for name, value in vars(store).items() if not name.startswith("_")}
    assert methods
    for name, method in methods.items():
        assert inspect.iscoroutinefunction(inspect.unwrap(method)), name
        assert hasattr(method, "__wrapped__"), name


async def test_a_mongodb_that_is_not_there_is_unavailable() -> None:
    # Motor only: PyMongo's own client leaves a socket open when it is closed while it tries to connect.
    mongo = Mongo("mongodb://127.0.0.1:1/", "nothing", "motor")
    with pytest.raises(Unavailable):
        await Users(mongo.database).by_id("u")
    with pytest.raises(Unavailable):
        await OneTimeTokens(mongo.database).of_user("u", Purpose.VERIFY_EMAIL)
    await mongo.close()


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([11602], Unavailable), ([189, 10107], Unavailable), ([], Unavailable), ([11602, 121], BulkWriteError)],
)
async def test_of_several_statements_an_outage_is_one_and_a_defect_is_another(
    codes: list[int], expected: type[Exception]
) -> None:
    """A server that steps down halfway fails some of them; without any, a majority did not answer in time."""

    @outage_is_unavailable
    async def write() -> None:
        raise BulkWriteError({"writeErrors": [{"index": 0, "code": code} for code in codes]})

    with pytest.raises(expected):
        await write()
