"""What is written down of who did what."""

from datetime import timedelta
from typing import Any

import pytest
import structlog

from auth.audit import AuditLog
from auth.core.clock import utc_now
from auth.core.errors import Unavailable
from auth.core.models import Client

# MongoDB's TTL index reads the real clock: tests of a fixed date would lose their documents to it one day.
NOW = utc_now()


async def test_an_event_is_kept_with_its_origin_and_for_as_long_as_the_setting_says(world: Any) -> None:
    audit = AuditLog(store=world.events, keep=timedelta(days=7), metrics=world.metrics, clock=utc_now)
    await audit.record(
        "session_revoked",
        user_id="u",
        session_id="s",
        client=Client("192.0.2.1", "Firefox\x00\ud800" + "x" * 2000),
        details={"reason": "logout\n" + "y" * 2000},
        now=NOW,
    )
    [event] = await world.events.of_user("u")
    assert (event.kind, event.session_id, event.ip, event.at) == ("session_revoked", "s", "192.0.2.1", NOW)
    assert event.user_agent.startswith("Firefoxx")
    assert {len(event.user_agent), len(event.details["reason"])} == {512}
    [document] = await world.mongo.database["audit_events"].find({}).to_list(None)
    assert document["removeAt"] == NOW + timedelta(days=7)


async def test_an_event_without_a_client_is_kept_too(world: Any) -> None:
    await world.audit.record("keys_rotated", user_id=None, session_id=None, client=None, now=NOW)
    [event] = await world.events.of_user(None)
    assert (event.ip, event.user_agent, event.details) == (None, None, {})


async def test_an_event_that_cannot_be_stored_is_in_the_log_and_counted(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any, **__: Any) -> None:
        raise Unavailable

    monkeypatch.setattr(world.events, "append", unavailable)
    with structlog.testing.capture_logs() as logged:
        await world.audit.record(
            "login", user_id="u", session_id="s", client=world.client(), details={"amr": "pwd"}, now=NOW
        )
    [line] = logged
    assert (line["event"], line["log_level"]) == ("audit_event_not_stored", "error")
    assert (line["kind"], line["user_id"], line["details"]) == ("login", "u", {"amr": "pwd"})
    assert world.metrics.jobs.labels("audit", "failed")._value.get() == 1
