"""Login approvals: requests to the user's other devices to approve a waiting login. At most one per login.

Separate from the challenges because an approval is found by two keys: by its id from the devices asked, and by
its login from the device that waits.
"""

from datetime import datetime, timedelta
from typing import Any

from bson.binary import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from auth.core.models import Approval, ApprovalStatus, Device, Location
from auth.stores.mongo import Database, Document, outage_is_unavailable

# How long an approval is kept after it expires: longer than its login can wait.
KEPT = timedelta(minutes=10)


class ApprovalStore:
    """The collection `login_approvals`."""

    def __init__(self, database: Database) -> None:
        self._approvals = database["login_approvals"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes by id and user, and the TTL index."""
        await self._approvals.create_index("approvalId", unique=True, name="approval")
        await self._approvals.create_index("userId", name="user")
        await self._approvals.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def begin(self, approval: Approval) -> Approval | None:
        """Store a new approval of its login; None if one is pending or has been answered.

        One conditional upsert: of concurrent callers, one succeeds. An unanswered expired approval is replaced,
        including its id.
        """
        document = _document(approval)
        try:
            await self._approvals.replace_one(
                {"_id": document["_id"], "answer": None, "expiresAt": {"$lte": approval.asked_at}},
                document,
                upsert=True,
            )
        except DuplicateKeyError:
            return None
        return approval

    @outage_is_unavailable
    async def of_login(self, login_id: bytes) -> Approval | None:
        """The latest approval requested by a waiting login."""
        return _approval(await self._approvals.find_one({"_id": Binary(login_id)}))

    @outage_is_unavailable
    async def pending(self, approval_id: str, *, user_id: str, now: datetime) -> Approval | None:
        """The user's approval of this id, while it can be answered."""
        return _approval(await self._approvals.find_one(_answerable(approval_id, user_id, now)))

    @outage_is_unavailable
    async def renumber(
        self, approval_id: str, *, user_id: str, renewed: Approval, now: datetime
    ) -> Approval | None:
        """Replace the id and the numbers of an approval by those of `renewed`, with one try less.

        One conditional update: None if it can no longer be answered, or has no further try.
        """
        document = await self._approvals.find_one_and_update(
            _answerable(approval_id, user_id, now) | {"triesLeft": {"$gt": 1}},
            {
                "$set": {
                    "approvalId": renewed.approval_id,
                    "number": renewed.number,
                    "numbers": list(renewed.numbers),
                },
                "$inc": {"triesLeft": -1},
            },
            return_document=ReturnDocument.AFTER,
        )
        return _approval(document)

    @outage_is_unavailable
    async def answer(
        self, approval_id: str, *, user_id: str, number: int | None, session_id: str, now: datetime
    ) -> Approval | None:
        """Answer from a session of the same user: the right number approves, a wrong one or None denies.

        One conditional update: of concurrent answers the first wins. None if the approval is already answered,
        expired, another user's, or unknown.
        """
        right: Any = {"$eq": ["$number", number]} if number is not None else False
        document = await self._approvals.find_one_and_update(
            _answerable(approval_id, user_id, now),
            [
                {
                    "$set": {
                        "answer": {"$cond": [right, ApprovalStatus.APPROVED.value, ApprovalStatus.DENIED.value]},
                        "answeredBy": session_id,
                        "answeredAt": now,
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )
        return _approval(document)

    @outage_is_unavailable
    async def unsettled_denial(self, approval_id: str, *, user_id: str, number: int | None) -> Approval | None:
        """The denied approval whose follow-up is not finished, for a caller that repeats the denial with a
        wrong number or none.
        """
        document = await self._approvals.find_one(
            {
                "approvalId": approval_id,
                "userId": user_id,
                "answer": ApprovalStatus.DENIED.value,
                "number": {"$ne": number},
                "settledAt": None,
            }
        )
        return _approval(document)

    @outage_is_unavailable
    async def settle(self, approval_id: str, *, now: datetime) -> None:
        """Record that the follow-up of a denial is finished."""
        await self._approvals.update_one({"approvalId": approval_id}, {"$set": {"settledAt": now}})

    @outage_is_unavailable
    async def use(self, login_id: bytes, *, answered_since: datetime) -> Approval | None:
        """Use an approval that was given after `answered_since`; of concurrent callers one gets it, the others
        None.
        """
        document = await self._approvals.find_one_and_update(
            {
                "_id": Binary(login_id),
                "answer": ApprovalStatus.APPROVED.value,
                "answeredAt": {"$gt": answered_since},
                "usedAt": None,
            },
            [{"$set": {"usedAt": "$answeredAt"}}],
            return_document=ReturnDocument.AFTER,
        )
        return _approval(document)

    @outage_is_unavailable
    async def withdraw(self, approval_id: str) -> None:
        """Delete an approval request that reached no device; a no-op if it was answered."""
        await self._approvals.delete_one({"approvalId": approval_id, "answer": None})


def _answerable(approval_id: str, user_id: str, now: datetime) -> Document:
    return {"approvalId": approval_id, "userId": user_id, "answer": None, "expiresAt": {"$gt": now}}


def _document(approval: Approval) -> Document:
    device, location = approval.device, approval.location
    return {
        "_id": Binary(approval.login_id),
        "approvalId": approval.approval_id,
        "userId": approval.user_id,
        "number": approval.number,
        "numbers": list(approval.numbers),
        "device": {"name": device.name, "browser": device.browser, "os": device.os, "kind": device.kind},
        "location": {"city": location.city, "country": location.country} if location else None,
        "ip": approval.ip,
        "askedAt": approval.asked_at,
        "expiresAt": approval.expires_at,
        "removeAt": approval.expires_at + KEPT,
        "triesLeft": approval.tries_left,
        "answer": None,
        "answeredBy": None,
        "answeredAt": None,
        "settledAt": None,
        "usedAt": None,
    }


def _approval(document: Document | None) -> Approval | None:
    if document is None:
        return None
    location, answer = document["location"], document["answer"]
    return Approval(
        approval_id=document["approvalId"],
        login_id=bytes(document["_id"]),
        user_id=document["userId"],
        number=document["number"],
        numbers=tuple(document["numbers"]),
        # The device that asks is never named by itself.
        device=Device(**document["device"], detected=document["device"]["name"]),
        location=Location(**location) if location else None,
        ip=document["ip"],
        asked_at=document["askedAt"],
        expires_at=document["expiresAt"],
        tries_left=document.get("triesLeft", 1),
        answer=ApprovalStatus(answer) if answer else None,
        answered_by=document["answeredBy"],
    )
