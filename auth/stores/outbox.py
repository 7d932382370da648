"""Mails and SMS on their way out: the truth that jobs only point to, and the outbox of a development server.

A mail is written here before anything is said of it to a queue, so that it survives a Redis that is down or
loses its memory. Its text, with the link in it, is erased once the mail is sent or given up, unless the
outbox is to be shown.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import DESCENDING, ReturnDocument

from auth.clock import iso
from auth.mail.message import Mail
from auth.stores.mongo import Database, Document, outage_is_unavailable

# How many mails a development outbox keeps.
SHOWN = 200
CONTENT_KEPT = timedelta(days=7)
TRACE_KEPT = timedelta(days=1)
NEWEST_FIRST = [("createdAt", DESCENDING), ("_id", DESCENDING)]


@dataclass(frozen=True, slots=True)
class Claim:
    """A mail that this caller alone may send now; `attempt` counts from 1."""

    mail: Mail
    attempt: int


class Outbox:
    """The collection `mails`. `keep_content`: keep sent mails to be shown."""

    def __init__(self, database: Database, *, keep_content: bool) -> None:
        self._mails = database["mails"]
        self._keep_content = keep_content

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Make the indexes by state, by time and by user, and the one by which MongoDB removes mails."""
        await self._mails.create_index("dueAt", partialFilterExpression={"state": "pending"}, name="pending")
        await self._mails.create_index(NEWEST_FIRST, name="newest")
        await self._mails.create_index("userId", name="user")
        await self._mails.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def add(
        self, mail: Mail, *, user_id: str, now: datetime, due_at: datetime, give_up_at: datetime
    ) -> None:
        """Keep a mail until it is sent or given up. It can be claimed at once, and is due at `due_at`.

        `user_id`: whose account it is about. An address is not enough to find it by once the account is erased:
        accounts change theirs.
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
        """Take a pending mail to send it; None when it is sent, given up, or claimed by someone else.

        Guarantee: at most one claim holds at a time. It ends at `until` if its holder says nothing, so a
        mail is sent at least once, and twice only by a holder that died after the mail server took it.
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
        """Note that the mail was sent. Only a pending mail changes."""
        await self._finish({"_id": message_id}, "sent", now)
        if self._keep_content:
            await self._trim()

    @outage_is_unavailable
    async def mark_failed(self, message_id: str, *, now: datetime) -> None:
        """Note that the mail will never be sent. Only a pending mail changes."""
        await self._finish({"_id": message_id}, "failed", now)

    @outage_is_unavailable
    async def give_up(self, *, now: datetime) -> int:
        """Note the mails whose time is over as failed; how many they were."""
        return await self._finish({"giveUpAt": {"$lte": now}, "claimedUntil": {"$lte": now}}, "failed", now)

    @outage_is_unavailable
    async def defer(self, message_id: str, *, now: datetime, due_at: datetime) -> None:
        """Give a claim back: anyone may claim the mail at once, and it is due again at `due_at`."""
        await self._mails.update_one(
            {"_id": message_id, "state": "pending"}, {"$set": {"claimedUntil": now, "dueAt": due_at}}
        )

    @outage_is_unavailable
    async def postpone(self, message_id: str, *, now: datetime, due_at: datetime) -> bool:
        """Make a mail due again at `due_at`; False where it is not due any more, as somebody else took it on.

        Guarantee: a claim made meanwhile stays whole.
        """
        done = await self._mails.update_one(
            {"_id": message_id, "state": "pending", "dueAt": {"$lte": now}}, {"$set": {"dueAt": due_at}}
        )
        return bool(done.modified_count)

    @outage_is_unavailable
    async def due(self, *, now: datetime, limit: int = 100) -> list[str]:
        """Ids of pending mails whose time has come, the longest due first."""
        found = self._mails.find(
            {"state": "pending", "dueAt": {"$lte": now}}, {"_id": 1}, sort=[("dueAt", 1)], limit=limit
        )
        return [document["_id"] for document in await found.to_list(limit)]

    @outage_is_unavailable
    async def pending(self) -> int:
        """How many mails wait to be sent."""
        return int(await self._mails.count_documents({"state": "pending"}))

    @outage_is_unavailable
    async def newest(self, limit: int = SHOWN) -> list[Document]:
        """The development outbox as protocol.md shows it, newest first; none where mails are not kept.

        What is about to be sent is in it too: a developer need not wait for the queue.
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
        """Keep the newest `SHOWN` sent mails."""
        found = self._mails.find({"state": "sent"}, {"_id": 1}, sort=NEWEST_FIRST, skip=SHOWN, limit=SHOWN)
        old = [document["_id"] for document in await found.to_list(SHOWN)]
        if old:
            await self._mails.delete_many({"_id": {"$in": old}})
