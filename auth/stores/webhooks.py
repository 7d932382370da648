"""Webhook endpoints: where facts are sent. Secrets are sealed; see auth/backends/webhooks.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ReturnDocument

from auth.core.webhooks import Webhook
from auth.stores.mongo import Database, Document, outage_is_unavailable

MAX_WEBHOOKS = 50
# Two, so that a receiver can change to the new one at any time.
MAX_SECRETS = 2


class WebhookStore:
    """The collection `webhooks`."""

    def __init__(self, database: Database) -> None:
        self._webhooks = database["webhooks"]

    @outage_is_unavailable
    async def add(self, webhook: Webhook) -> None:
        """Store a new endpoint."""
        await self._webhooks.insert_one(
            {
                "_id": webhook.webhook_id,
                "url": webhook.url,
                "events": list(webhook.events),
                "format": webhook.format,
                "secrets": list(webhook.sealed_secrets),
                "createdAt": webhook.created_at,
                "number": webhook.number,
            }
        )

    @outage_is_unavailable
    async def all(self) -> Sequence[Webhook]:
        """Every endpoint, oldest first."""
        found = self._webhooks.find({}, sort=[("createdAt", 1), ("_id", 1)], limit=MAX_WEBHOOKS)
        return [_webhook(document) for document in await found.to_list(MAX_WEBHOOKS)]

    @outage_is_unavailable
    async def ids(self) -> Sequence[str]:
        """The id of every endpoint."""
        found = self._webhooks.find({}, {"_id": 1}, limit=MAX_WEBHOOKS)
        return [document["_id"] for document in await found.to_list(MAX_WEBHOOKS)]

    @outage_is_unavailable
    async def get(self, webhook_id: str) -> Webhook | None:
        """The endpoint of this id."""
        document = await self._webhooks.find_one({"_id": webhook_id})
        return _webhook(document) if document else None

    @outage_is_unavailable
    async def remove(self, webhook_id: str) -> bool:
        """Remove an endpoint; False if there is none."""
        return bool((await self._webhooks.delete_one({"_id": webhook_id})).deleted_count)

    @outage_is_unavailable
    async def add_secret(self, webhook_id: str, sealed: bytes) -> Webhook | None:
        """Add a secret, before the others; the oldest beyond `MAX_SECRETS` is removed."""
        document = await self._webhooks.find_one_and_update(
            {"_id": webhook_id},
            {"$push": {"secrets": {"$each": [sealed], "$position": 0, "$slice": MAX_SECRETS}}},
            return_document=ReturnDocument.AFTER,
        )
        return _webhook(document) if document else None

    @outage_is_unavailable
    async def replace_secrets(self, webhook_id: str, sealed: Sequence[bytes], renewed: Sequence[bytes]) -> bool:
        """Replace the seals of secrets, unless they were changed meanwhile."""
        done = await self._webhooks.update_one(
            {"_id": webhook_id, "secrets": list(sealed)}, {"$set": {"secrets": list(renewed)}}
        )
        return bool(done.modified_count)

    @outage_is_unavailable
    async def advance(self, webhook_id: str, number: int) -> None:
        """Record that every fact up to `number` was sent or stored for a repeat."""
        await self._webhooks.update_one({"_id": webhook_id}, {"$max": {"number": number}})

    @outage_is_unavailable
    async def note(self, webhook_id: str, changes: Mapping[str, Any]) -> None:
        """Record how the endpoint does: `failures`, `pausedUntil`, `lastError`, `lastSuccessAt`."""
        await self._webhooks.update_one({"_id": webhook_id}, {"$set": dict(changes)})


def _webhook(document: Document) -> Webhook:
    return Webhook(
        webhook_id=document["_id"],
        url=document["url"],
        events=tuple(document["events"]),
        format=document["format"],
        sealed_secrets=tuple(map(bytes, document["secrets"])),
        created_at=document["createdAt"],
        number=document["number"],
        failures=document.get("failures", 0),
        paused_until=document.get("pausedUntil"),
        last_error=document.get("lastError"),
        last_success_at=document.get("lastSuccessAt"),
    )
