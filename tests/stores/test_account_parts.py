"""Whatever knows users is in the table of an account's parts, so that none of it outlives its account."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.plans import watched_plans

from auth.clock import utc_now
from auth.mail.message import Mail
from auth.settings import Settings
from auth.stores.account_parts import PARTS, AccountParts
from auth.stores.identities import Identities, Identity
from auth.stores.mongo import Mongo
from auth.stores.outbox import Outbox
from stores import Stores

# MongoDB's TTL index reads the real clock.
NOW = utc_now()
HOUR = timedelta(hours=1)
STORES = Path(__file__).parents[2] / "auth/stores"
# Erased last and by itself; kept for its own time.
ELSEWHERE = {"users", "audit_events"}


def test_every_collection_that_knows_users_is_a_part() -> None:
    known = {part.collection for part in PARTS} | ELSEWHERE
    for file in STORES.glob("*.py"):
        text = file.read_text()
        if 'database["' in text and ("userId" in text or "user_id" in text):
            collection = text.split('database["')[1].split('"')[0]
            assert collection in known, f"{file.name}: {collection}"


@pytest.fixture
async def indexed(mongo: Mongo, services: Any, database_name: str) -> Mongo:
    """The database with every index that a node makes."""
    settings = Settings.load(
        {
            "VIGIL_MONGO_URL": services.mongo,
            "VIGIL_MONGO_DATABASE": database_name,
            "VIGIL_REDIS_URL": services.redis,
            "VIGIL_SECRET_KEY": "s" * 32,
        }
    )
    stores = Stores(settings, services.mongo)
    await stores.ensure_indexes()
    await stores.mongo.close()
    return mongo


async def test_every_part_is_found_and_erased_by_an_index(indexed: Mongo) -> None:
    """One account's export or end must not read everybody's mails."""
    parts = AccountParts(indexed.database)
    async with watched_plans(indexed) as plans:
        await parts.show("ada")
        await parts.erase("ada")
    assert {plan.partition(":")[0] for plan in plans} == {part.collection for part in PARTS}
    assert [plan for plan in plans if "COLLSCAN" in plan] == []


async def mail(mongo: Mongo, number: int, user_id: str, to: str) -> str:
    message = Mail(f"{number:032x}", "kind", to, "Subject", "a secret link", "<p>a secret link</p>")
    outbox = Outbox(mongo.database, keep_content=True)
    await outbox.add(message, user_id=user_id, now=NOW, due_at=NOW + HOUR, give_up_at=NOW + HOUR)
    return message.message_id


async def test_mails_go_with_the_account_they_are_about_whatever_address_they_went_to(mongo: Mongo) -> None:
    outbox = Outbox(mongo.database, keep_content=True)
    sent = await mail(mongo, 1, "ada", "ada@example.org")
    await outbox.mark_sent(sent, now=NOW)
    waiting = await mail(mongo, 2, "ada", "ada@old.example")
    others = await mail(mongo, 3, "bob", "ada@old.example")
    parts = AccountParts(mongo.database)
    await parts.erase("ada")
    await parts.erase("ada")
    assert [kept["_id"] for kept in await mongo.database["mails"].find({}).to_list(9)] == [others]
    # A job that points to an erased mail finds nothing to send.
    assert await outbox.claim(waiting, now=NOW, until=NOW + HOUR) is None


async def test_a_linked_provider_is_shown_by_its_name_and_dates(mongo: Mongo) -> None:
    identity = Identity(
        identity_id="i",
        issuer="https://login.example",
        subject="1234",
        user_id="ada",
        provider_id="example",
        label="ada@example.org",
        linked_at=NOW,
        last_used_at=NOW + HOUR,
        registration_id="r",
    )
    await Identities(mongo.database).claim(identity)
    assert (await AccountParts(mongo.database).show("ada"))["linkedLogins"] == [
        {
            "provider": "example",
            "issuer": "https://login.example",
            "subject": "1234",
            "label": "ada@example.org",
            "linkedAt": NOW,
            "lastUsedAt": NOW + HOUR,
        }
    ]


async def test_mails_are_shown_to_their_user_without_what_they_say(mongo: Mongo) -> None:
    await mail(mongo, 1, "ada", "ada@example.org")
    shown = await AccountParts(mongo.database).show("ada")
    assert shown["messages"] == [
        {
            "kind": "kind",
            "channel": "email",
            "to": "ada@example.org",
            "subject": "Subject",
            "createdAt": NOW,
            "sentAt": None,
        }
    ]
    assert (await AccountParts(mongo.database).show("bob"))["messages"] == []
