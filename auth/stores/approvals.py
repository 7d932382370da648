"""Approvals: the user's other devices were asked about a waiting login. One at most for each login.

Kept apart from the challenges because it is known by two names: by its own id to the devices that were asked,
and by its login to the one that waits.
"""

from datetime import datetime, timedelta
from typing import Any

from bson.binary import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from auth.models import Approval, ApprovalStatus, Device, Location
from auth.stores.mongo import Database, Document, outage_is_unavailable

# An answer stays for as long as the login that it is for can wait, and some more.
KEPT = timedelta(minutes=10)


class Approvals:
    """The collection `login_approvals`."""

    def __init__(self, database: Database) -> None:
        self._approvals = database["login_approvals"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Make the indexes by id and by user, and the one by which MongoDB removes what is over."""
        await self._approvals.create_index("approvalId", unique=True, name="approval")
        await self._approvals.create_index("userId", name="user")
        await self._approvals.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def begin(self, approval: Approval) -> Approval | None:
        """Keep a new approval of its login; None when there is one that waits, or was answered.

        One conditional upsert: of any number of callers one begins. What ran out unanswered is replaced, and its
        id with it.
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
        """The approval that a waiting login asked for last."""
        return _approval(await self._approvals.find_one({"_id": Binary(login_id)}))

    @outage_is_unavailable
    async def answer(
        self, approval_id: str, *, user_id: str, number: int | None, session_id: str, now: datetime
    ) -> Approval | None:
        """Answer it from a session of its user: approved by the right number, denied by a wrong one or none.

        One conditional update: the first answer holds, whoever gives others at the same time. None when there is
        nothing to answer: it was answered, ran out, is somebody else's, or never was.
        """
        right: Any = {"$eq": ["$number", number]} if number is not None else False
        document = await self._approvals.find_one_and_update(
            {"approvalId": approval_id, "userId": user_id, "answer": None, "expiresAt": {"$gt": now}},
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
        """What was denied, and not settled, for who denies it again: by a wrong number or none."""
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
        """Note that all that follows from a denial was done."""
        await self._approvals.update_one({"approvalId": approval_id}, {"$set": {"settledAt": now}})

    @outage_is_unavailable
    async def use(self, login_id: bytes, *, answered_since: datetime) -> Approval | None:
        """Use an approval given since then; of any number of callers one gets it, the others None."""
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
        """Forget one that nobody could be asked; a no-op once it was answered."""
        await self._approvals.delete_one({"approvalId": approval_id, "answer": None})


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
        device=Device(**document["device"]),
        location=Location(**location) if location else None,
        ip=document["ip"],
        asked_at=document["askedAt"],
        expires_at=document["expiresAt"],
        answer=ApprovalStatus(answer) if answer else None,
        answered_by=document["answeredBy"],
    )
