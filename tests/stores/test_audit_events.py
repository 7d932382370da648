"""The audit trail in MongoDB."""

from datetime import timedelta

import pytest

from auth.core.clock import utc_now
from auth.stores.audit_events import AuditEvent, AuditEvents
from auth.stores.mongo import Mongo

# The TTL index uses the real clock: documents with a fixed date would be removed one day.
NOW = utc_now()


@pytest.fixture
def events(mongo: Mongo) -> AuditEvents:
    return AuditEvents(mongo.database)


async def test_events_of_a_user_come_back_newest_first(events: AuditEvents) -> None:
    written = [
        AuditEvent("login", NOW + timedelta(seconds=n), user_id, f"s{n}", "192.0.2.1", "UA", {"n": str(n)})
        for n, user_id in enumerate(["ada", "bob", "ada", None])
    ]
    for event in written:
        await events.append(event, remove_at=utc_now() + timedelta(days=1))
    assert await events.of_user("ada") == [written[2], written[0]]
    assert await events.of_user("ada", limit=1) == [written[2]]
    assert await events.of_user(None) == [written[3]]


async def test_mongodb_removes_events_by_itself(events: AuditEvents, mongo: Mongo) -> None:
    indexes = await mongo.database["audit_events"].index_information()
    assert indexes["removal"]["expireAfterSeconds"] == 0
    assert indexes["removal"]["key"] == [("removeAt", 1)]
