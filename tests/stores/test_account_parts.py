"""Whatever knows users is in the table of an account's parts, so that none of it outlives its account."""

from pathlib import Path

from auth.stores.account_parts import PARTS

STORES = Path(__file__).parents[2] / "auth/stores"
# Erased last and by itself; kept for its own time; known by address alone and gone within days.
ELSEWHERE = {"users", "audit_events", "mails"}


def test_every_collection_that_knows_users_is_a_part() -> None:
    known = {part.collection for part in PARTS} | ELSEWHERE
    for file in STORES.glob("*.py"):
        text = file.read_text()
        if 'database["' in text and ("userId" in text or "user_id" in text):
            collection = text.split('database["')[1].split('"')[0]
            assert collection in known, f"{file.name}: {collection}"
