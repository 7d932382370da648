"""Mails in MongoDB: claimed by one node at a time, erased once sent, shown in development."""

import asyncio
from datetime import datetime, timedelta

import pytest

from auth.core.clock import iso, utc_now
from auth.core.mail import Mail
from auth.stores import outbox as module
from auth.stores.mongo import Mongo
from auth.stores.outbox import OutboxStore

# The TTL index uses the real clock: documents with a fixed date would be removed one day.
NOW = utc_now()
MINUTE = timedelta(minutes=1)


@pytest.fixture
def outbox(mongo: Mongo) -> OutboxStore:
    return OutboxStore(mongo.database, keep_content=True)


def a_mail(number: int = 0) -> Mail:
    return Mail(f"{number:032x}", "kind", "ada@example.org", f"Subject {number}", "text", "<p>html</p>")


async def add(outbox: OutboxStore, number: int = 0, now: datetime = NOW) -> str:
    await outbox.add(a_mail(number), user_id="ada", now=now, due_at=now + MINUTE, give_up_at=now + 60 * MINUTE)
    return a_mail(number).message_id


async def test_only_one_of_many_concurrent_claims_succeeds_until_it_expires(outbox: OutboxStore) -> None:
    message_id = await add(outbox)
    claims = await asyncio.gather(*(outbox.claim(message_id, now=NOW, until=NOW + MINUTE) for _ in range(20)))
    [claim] = [claim for claim in claims if claim]
    assert (claim.mail, claim.attempt) == (a_mail(), 1)
    assert await outbox.claim(message_id, now=NOW + MINUTE / 2, until=NOW + MINUTE) is None
    again = await outbox.claim(message_id, now=NOW + MINUTE, until=NOW + 2 * MINUTE)
    assert again is not None
    assert again.attempt == 2


async def test_a_released_claim_is_free_immediately_and_due_later(outbox: OutboxStore) -> None:
    message_id = await add(outbox)
    await outbox.claim(message_id, now=NOW, until=NOW + MINUTE)
    await outbox.defer(message_id, now=NOW, due_at=NOW + 5 * MINUTE)
    assert await outbox.due(now=NOW + 2 * MINUTE) == []
    assert await outbox.due(now=NOW + 5 * MINUTE) == [message_id]
    assert await outbox.claim(message_id, now=NOW, until=NOW + MINUTE) is not None


async def test_a_due_mail_is_postponed_once_and_a_concurrent_claim_holds(outbox: OutboxStore) -> None:
    message_id = await add(outbox)
    taken = await asyncio.gather(
        *(outbox.postpone(message_id, now=NOW + MINUTE, due_at=NOW + 2 * MINUTE) for _ in range(20))
    )
    assert sorted(taken) == [False] * 19 + [True]
    assert await outbox.due(now=NOW + MINUTE) == []
    assert await outbox.claim(message_id, now=NOW + MINUTE, until=NOW + 3 * MINUTE) is not None
    assert not await outbox.postpone(message_id, now=NOW + 2 * MINUTE, due_at=NOW + 5 * MINUTE)
    assert await outbox.claim(message_id, now=NOW + 2 * MINUTE, until=NOW + 4 * MINUTE) is None


async def test_mails_are_due_in_order_until_they_are_sent_or_failed(outbox: OutboxStore) -> None:
    ids = [await add(outbox, number, NOW + number * MINUTE) for number in range(4)]
    assert await outbox.due(now=NOW + 3 * MINUTE) == ids[:3]
    assert await outbox.due(now=NOW + 3 * MINUTE, limit=1) == ids[:1]
    await outbox.mark_sent(ids[0], now=NOW)
    await outbox.mark_failed(ids[1], now=NOW)
    assert await outbox.due(now=NOW + 10 * MINUTE) == ids[2:]
    assert await outbox.pending() == 2
    for message_id in ids[:2]:
        assert await outbox.claim(message_id, now=NOW + 10 * MINUTE, until=NOW + 11 * MINUTE) is None


async def test_a_sent_mail_does_not_become_failed(outbox: OutboxStore) -> None:
    message_id = await add(outbox)
    await outbox.mark_sent(message_id, now=NOW)
    await outbox.mark_failed(message_id, now=NOW)
    await outbox.defer(message_id, now=NOW, due_at=NOW)
    assert await outbox.give_up(now=NOW + 100 * MINUTE) == 0
    assert len(await outbox.newest()) == 1


async def test_overdue_mails_are_given_up_unless_claimed(outbox: OutboxStore) -> None:
    await add(outbox, 1)
    sending = await add(outbox, 2)
    await outbox.claim(sending, now=NOW + 59 * MINUTE, until=NOW + 61 * MINUTE)
    assert await outbox.give_up(now=NOW + 60 * MINUTE) == 1
    assert await outbox.pending() == 1


async def test_the_development_outbox_shows_mails_newest_first(outbox: OutboxStore) -> None:
    for number in range(3):
        await add(outbox, number, NOW + number * MINUTE)
    await outbox.mark_sent(a_mail(0).message_id, now=NOW + 9 * MINUTE)
    await outbox.mark_failed(a_mail(1).message_id, now=NOW + 9 * MINUTE)
    assert await outbox.newest(5) == [
        {
            "to": "ada@example.org",
            "channel": "email",
            "subject": f"Subject {number}",
            "text": "text",
            "html": "<p>html</p>",
            "sentAt": sent_at,
        }
        for number, sent_at in ((2, iso(NOW + 2 * MINUTE)), (0, iso(NOW + 9 * MINUTE)))
    ]


async def test_the_development_outbox_is_bounded(
    outbox: OutboxStore, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOWN", 3)
    for number in range(8):
        await add(outbox, number, NOW + number * MINUTE)
        await outbox.mark_sent(a_mail(number).message_id, now=NOW)
    assert [mail["subject"] for mail in await outbox.newest(10)] == [f"Subject {n}" for n in (7, 6, 5)]
    assert await mongo.database["mails"].count_documents({}) == 3


async def test_without_the_outbox_a_mail_is_hidden_and_erased_when_sent(mongo: Mongo) -> None:
    outbox = OutboxStore(mongo.database, keep_content=False)
    message_id = await add(outbox)
    assert await outbox.newest() == []
    await outbox.mark_sent(message_id, now=NOW)
    [document] = await mongo.database["mails"].find({}).to_list(None)
    assert (document["text"], document["html"]) == (None, None)
    assert document["removeAt"] == NOW + timedelta(days=1)
