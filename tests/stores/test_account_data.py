"""All collections with user data are in the table for export and erasure."""

from datetime import timedelta
from pathlib import Path

from support.plans import watched_plans

from auth.core.clock import utc_now
from auth.core.mail import Mail
from auth.stores.identities import Identities, Identity
from auth.stores.mongo import Mongo
from auth.stores.outbox import OutboxStore
from auth.stores.users.account_data import ACCOUNT_COLLECTIONS, AccountData

# MongoDB's TTL index reads the real clock.
NOW = utc_now()
HOUR = timedelta(hours=1)
STORES = Path(__file__).parents[2] / "auth/stores"
# `users` is erased last and separately; the others have their own retention, and tell that the account was erased.
ELSEWHERE = {"users", "audit_events", "facts", "webhook_deliveries"}


def test_every_collection_with_user_data_is_in_the_table() -> None:
    known = {part.collection for part in ACCOUNT_COLLECTIONS} | ELSEWHERE
    for file in STORES.glob("*.py"):
        text = file.read_text()
        if 'database["' in text and ("userId" in text or "user_id" in text):
            collection = text.split('database["')[1].split('"')[0]
            assert collection in known, f"{file.name}: {collection}"


async def test_export_and_erasure_use_indexes(mongo: Mongo) -> None:
    """Exporting or erasing one account must not scan other users' data."""
    parts = AccountData(mongo.database)
    async with watched_plans(mongo) as plans:
        await parts.show("ada")
        await parts.erase("ada")
    assert {plan.partition(":")[0] for plan in plans} == {part.collection for part in ACCOUNT_COLLECTIONS}
    assert [plan for plan in plans if "COLLSCAN" in plan] == []


async def mail(mongo: Mongo, number: int, user_id: str, to: str) -> str:
    message = Mail(f"{number:032x}", "kind", to, "Subject", "a secret link", "<p>a secret link</p>")
    outbox = OutboxStore(mongo.database, keep_content=True)
    await outbox.add(message, user_id=user_id, now=NOW, due_at=NOW + HOUR, give_up_at=NOW + HOUR)
    return message.message_id


async def test_mails_are_erased_with_their_account_whatever_the_address(mongo: Mongo) -> None:
    outbox = OutboxStore(mongo.database, keep_content=True)
    sent = await mail(mongo, 1, "ada", "ada@example.org")
    await outbox.mark_sent(sent, now=NOW)
    waiting = await mail(mongo, 2, "ada", "ada@old.example")
    others = await mail(mongo, 3, "bob", "ada@old.example")
    parts = AccountData(mongo.database)
    await parts.erase("ada")
    await parts.erase("ada")
    assert [kept["_id"] for kept in await mongo.database["mails"].find({}).to_list(9)] == [others]
    # A job for an erased mail finds nothing to send.
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
    assert (await AccountData(mongo.database).show("ada"))["linkedLogins"] == [
        {
            "provider": "example",
            "issuer": "https://login.example",
            "subject": "1234",
            "label": "ada@example.org",
            "linkedAt": NOW,
            "lastUsedAt": NOW + HOUR,
        }
    ]


async def test_mails_are_exported_without_their_text(mongo: Mongo) -> None:
    await mail(mongo, 1, "ada", "ada@example.org")
    shown = await AccountData(mongo.database).show("ada")
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
    assert (await AccountData(mongo.database).show("bob"))["messages"] == []
