"""Outgoing mails and SMS: the source of truth for the job queue, and the development outbox.

A mail is stored here before it is queued, so that it survives an outage or data loss of Redis. Its text,
including the link, is deleted once the mail is sent or given up, unless the development outbox shows it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import DESCENDING, ReturnDocument

from auth.core.clock import iso
from auth.core.mail import Mail
from auth.stores.mongo import Database, Document, outage_is_unavailable

# Number of sent mails kept by the development outbox.
SHOWN = 200
CONTENT_KEPT = timedelta(days=7)
TRACE_KEPT = timedelta(days=1)
NEWEST_FIRST = [("createdAt", DESCENDING), ("_id", DESCENDING)]


@dataclass(frozen=True, slots=True)
class Claim:
    """An exclusive claim to send a mail; `attempt` counts from 1."""

    mail: Mail
    attempt: int


class OutboxStore:
    """The collection `mails`. `keep_content`: keep the text of sent mails for the development outbox."""

    def __init__(self, database: Database, *, keep_content: bool) -> None:
        self._mails = database["mails"]
        self._keep_content = keep_content

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes by state, time and user, and the TTL index."""
        await self._mails.create_index("dueAt", partialFilterExpression={"state": "pending"}, name="pending")
        await self._mails.create_index(NEWEST_FIRST, name="newest")
        await self._mails.create_index("userId", name="user")
        await self._mails.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def add(
        self, mail: Mail, *, user_id: str, now: datetime, due_at: datetime, give_up_at: datetime
    ) -> None:
        """Store a mail until it is sent or given up. It can be claimed immediately, and is due at `due_at`.

        `user_id` is the account it concerns. The address does not identify the account when it is erased, since
        accounts can change addresses.
        """
        await self._mails.insert_one(
            {
                "_id": mail.message_id,
                "userId": user_id,
                "state": "pending",
                "kind": mail.kind,
                "channel": mail.channel,
                "to": mail.to,
                "subject": mail.subject,
                "text": mail.text,
                "html": mail.html,
                "createdAt": now,
                "sentAt": None,
                "claimedUntil": now,
                "dueAt": due_at,
                "giveUpAt": give_up_at,
                "attempts": 0,
                "removeAt": give_up_at + CONTENT_KEPT,
            }
        )

    @outage_is_unavailable
    async def claim(self, message_id: str, *, now: datetime, until: datetime) -> Claim | None:
        """Claim a pending mail for sending; None if it is sent, given up, or claimed.

        Guarantee: at most one claim is valid at a time. It expires at `until`, so a mail is sent at least once,
        and twice only if the claimer dies after the mail server accepted it.
        """
        document = await self._mails.find_one_and_update(
            {"_id": message_id, "state": "pending", "claimedUntil": {"$lte": now}},
            {"$set": {"claimedUntil": until, "dueAt": until}, "$inc": {"attempts": 1}},
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            return None
        mail = Mail(
            message_id=document["_id"],
            kind=document["kind"],
            to=document["to"],
            subject=document["subject"],
            text=document["text"],
            html=document["html"],
            channel=document.get("channel", "email"),
        )
        return Claim(mail, document["attempts"])

    @outage_is_unavailable
    async def mark_sent(self, message_id: str, *, now: datetime) -> None:
        """Mark a pending mail as sent; a no-op for any other."""
        await self._finish({"_id": message_id}, "sent", now)
        if self._keep_content:
            await self._trim()

    @outage_is_unavailable
    async def mark_failed(self, message_id: str, *, now: datetime) -> None:
        """Mark a pending mail as failed permanently; a no-op for any other."""
        await self._finish({"_id": message_id}, "failed", now)

    @outage_is_unavailable
    async def give_up(self, *, now: datetime) -> int:
        """Mark overdue mails as failed; return how many."""
        return await self._finish({"giveUpAt": {"$lte": now}, "claimedUntil": {"$lte": now}}, "failed", now)

    @outage_is_unavailable
    async def defer(self, message_id: str, *, now: datetime, due_at: datetime) -> None:
        """Release a claim: the mail can be claimed immediately, and is due again at `due_at`."""
        await self._mails.update_one(
            {"_id": message_id, "state": "pending"}, {"$set": {"claimedUntil": now, "dueAt": due_at}}
        )

    @outage_is_unavailable
    async def postpone(self, message_id: str, *, now: datetime, due_at: datetime) -> bool:
        """Make a mail due again at `due_at`; False if it is no longer due because another caller took it.

        Guarantee: a concurrent claim is not affected.
        """
        done = await self._mails.update_one(
            {"_id": message_id, "state": "pending", "dueAt": {"$lte": now}}, {"$set": {"dueAt": due_at}}
        )
        return bool(done.modified_count)

    @outage_is_unavailable
    async def due(self, *, now: datetime, limit: int = 100) -> list[str]:
        """Ids of due pending mails, longest overdue first."""
        found = self._mails.find(
            {"state": "pending", "dueAt": {"$lte": now}}, {"_id": 1}, sort=[("dueAt", 1)], limit=limit
        )
        return [document["_id"] for document in await found.to_list(limit)]

    @outage_is_unavailable
    async def pending(self) -> int:
        """The number of pending mails."""
        return int(await self._mails.count_documents({"state": "pending"}))

    @outage_is_unavailable
    async def newest(self, limit: int = SHOWN) -> list[Document]:
        """The development outbox in the format of protocol.md, newest first; empty if mails are not kept.

        Includes pending mails, so that developers need not wait for the queue.
        """
        if not self._keep_content:
            return []
        shown = {"state": {"$in": ["pending", "sent"]}, "text": {"$ne": None}}
        found = self._mails.find(shown, sort=NEWEST_FIRST, limit=limit)
        return [
            {
                "to": document["to"],
                "channel": document.get("channel", "email"),
                "subject": document["subject"],
                "text": document["text"],
                "html": document["html"] or None,
                "sentAt": iso(document["sentAt"] or document["createdAt"]),
            }
            for document in await found.to_list(limit)
        ]

    async def _finish(self, which: Document, state: str, now: datetime) -> int:
        kept = state == "sent" and self._keep_content
        change: Document = {
            "state": state,
            "sentAt": now if state == "sent" else None,
            "removeAt": now + (CONTENT_KEPT if kept else TRACE_KEPT),
        }
        if not kept:
            change |= {"text": None, "html": None}
        done = await self._mails.update_many(which | {"state": "pending"}, {"$set": change})
        return int(done.modified_count)

    async def _trim(self) -> None:
        """Delete sent mails beyond the newest `SHOWN`."""
        found = self._mails.find({"state": "sent"}, {"_id": 1}, sort=NEWEST_FIRST, skip=SHOWN, limit=SHOWN)
        old = [document["_id"] for document in await found.to_list(SHOWN)]
        if old:
            await self._mails.delete_many({"_id": {"$in": old}})
