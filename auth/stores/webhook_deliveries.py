"""Facts that an endpoint did not accept at once: repeated until it does, or given up and kept to be shown.

A fact that is accepted at the first try has no document here. Of each user the first one is `waiting` and is
repeated; the user's later ones are `behind` it, so that each user's facts arrive in order and nobody else's wait.
"""

from collections.abc import Sequence
from datetime import datetime

from pymongo import DESCENDING, UpdateOne

from auth.core.webhooks import DeliveryState, WebhookDelivery
from auth.stores.mongo import Database, Document, opened, outage_is_unavailable

MAX_LISTED = 200
# Users. After an outage of a receiver there are thousands.
PROMOTED_AT_ONCE = 500

OPEN: Sequence[DeliveryState] = ("waiting", "behind")


class WebhookDeliveries:
    """The collection `webhook_deliveries`."""

    def __init__(self, database: Database) -> None:
        self._deliveries = database["webhook_deliveries"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes, and the TTL index."""
        await self._deliveries.create_index([("webhookId", 1), ("number", 1)], name="of_webhook")
        await self._deliveries.create_index([("webhookId", 1), ("state", 1), ("dueAt", 1)], name="due")
        # Of a user with thousands of facts, only the first one is read.
        await self._deliveries.create_index(
            [("webhookId", 1), ("state", 1), ("userId", 1), ("number", 1)], name="first_of_user"
        )
        await self._deliveries.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def store(self, waiting: Sequence[WebhookDelivery], *, remove_at: datetime) -> None:
        """Store facts that wait; those stored already are left as they are."""
        updates = [
            UpdateOne(
                {"_id": _id(each.webhook_id, each.number)},
                {
                    "$setOnInsert": {
                        "webhookId": each.webhook_id,
                        "number": each.number,
                        "type": each.type,
                        "userId": each.user_id,
                        "state": each.state,
                        "attempts": each.attempts,
                        "storedAt": each.stored_at,
                        "dueAt": each.due_at,
                        "lastError": each.last_error,
                        "removeAt": remove_at,
                    }
                },
                upsert=True,
            )
            for each in waiting
        ]
        if updates:
            await self._deliveries.bulk_write(updates, ordered=False)

    @outage_is_unavailable
    async def due(self, webhook_id: str, *, now: datetime, limit: int) -> list[WebhookDelivery]:
        """Facts to be sent now, at most one of each user, longest overdue first."""
        which = {"webhookId": webhook_id, "state": "waiting", "dueAt": {"$lte": now}}
        found = self._deliveries.find(which, sort=[("dueAt", 1), ("number", 1)], limit=limit)
        return [_delivery(document) for document in await found.to_list(limit)]

    @outage_is_unavailable
    async def users_waiting(
        self, webhook_id: str, user_ids: Sequence[str | None], *, states: Sequence[DeliveryState] = OPEN
    ) -> set[str | None]:
        """Those of these users who have a fact that waits for an endpoint."""
        which = {"webhookId": webhook_id, "state": {"$in": states}, "userId": {"$in": list(user_ids)}}
        return set(await self._deliveries.distinct("userId", which))

    @outage_is_unavailable
    async def promote(self, webhook_id: str, user_id: str | None, *, now: datetime) -> None:
        """Let the first fact that is behind others of its user be sent, due now."""
        await self._deliveries.find_one_and_update(
            {"webhookId": webhook_id, "userId": user_id, "state": "behind"},
            {"$set": {"state": "waiting", "dueAt": now}},
            sort=[("number", 1)],
        )

    @outage_is_unavailable
    async def promote_orphans(self, webhook_id: str, *, now: datetime) -> None:
        """Promote what is behind a fact that is not there any more, because its process died in between."""
        first_of_each = [
            {"$match": {"webhookId": webhook_id, "state": "behind"}},
            {"$sort": {"userId": 1, "number": 1}},
            {"$group": {"_id": "$userId", "number": {"$first": "$number"}}},
        ]
        firsts = await opened(self._deliveries.aggregate(first_of_each, batchSize=PROMOTED_AT_ONCE))
        try:
            while some := await firsts.to_list(PROMOTED_AT_ONCE):
                numbers = {each["_id"]: each["number"] for each in some}
                for user_id in await self.users_waiting(webhook_id, list(numbers), states=["waiting"]):
                    del numbers[user_id]
                await self._deliveries.update_many(
                    {"_id": {"$in": [_id(webhook_id, number) for number in numbers.values()]}, "state": "behind"},
                    {"$set": {"state": "waiting", "dueAt": now}},
                )
        finally:
            await firsts.close()

    @outage_is_unavailable
    async def give_up(self, webhook_id: str, *, stored_by: datetime) -> int:
        """Give up what waits since `stored_by`; the number of them."""
        which = {"webhookId": webhook_id, "state": {"$in": OPEN}, "storedAt": {"$lte": stored_by}}
        return int((await self._deliveries.update_many(which, {"$set": {"state": "failed"}})).modified_count)

    @outage_is_unavailable
    async def listed(self, webhook_id: str) -> list[WebhookDelivery]:
        """Facts that wait or were given up, newest first, at most 200."""
        found = self._deliveries.find(
            {"webhookId": webhook_id},
            sort=[("number", DESCENDING)],
            limit=MAX_LISTED,
        )
        return [_delivery(document) for document in await found.to_list(MAX_LISTED)]

    @outage_is_unavailable
    async def done(self, webhook_id: str, number: int) -> None:
        """Remove what was accepted."""
        await self._deliveries.delete_one({"_id": _id(webhook_id, number)})

    @outage_is_unavailable
    async def failed(self, webhook_id: str, number: int, *, error: str, due_at: datetime, give_up: bool) -> None:
        """Record a failed attempt: it is due again at `due_at`, or given up."""
        change = {"dueAt": due_at, "lastError": error, "state": "failed" if give_up else "waiting"}
        await self._deliveries.update_one(
            {"_id": _id(webhook_id, number)}, {"$set": change, "$inc": {"attempts": 1}}
        )

    @outage_is_unavailable
    async def send_again(self, webhook_id: str, number: int | None, *, now: datetime) -> int:
        """Send facts again that were given up, and now those that wait; the number of them.

        `number`: only this fact. They are sent behind what waits for the same user already.
        """
        which: Document = {"webhookId": webhook_id} if number is None else {"_id": _id(webhook_id, number)}
        again = await self._deliveries.update_many(
            which | {"state": "failed"}, {"$set": {"state": "behind", "storedAt": now, "dueAt": now}}
        )
        soon = await self._deliveries.update_many(which | {"state": "waiting"}, {"$set": {"dueAt": now}})
        await self.promote_orphans(webhook_id, now=now)
        return int(again.modified_count) + int(soon.matched_count)

    @outage_is_unavailable
    async def forget(self, webhook_id: str) -> None:
        """Remove everything of an endpoint."""
        await self._deliveries.delete_many({"webhookId": webhook_id})


def _id(webhook_id: str, number: int) -> str:
    return f"{webhook_id}:{number}"


def _delivery(document: Document) -> WebhookDelivery:
    return WebhookDelivery(
        webhook_id=document["webhookId"],
        number=document["number"],
        type=document["type"],
        user_id=document["userId"],
        state=document["state"],
        attempts=document["attempts"],
        stored_at=document["storedAt"],
        due_at=document["dueAt"],
        last_error=document["lastError"],
    )
