"""One rotation as MongoDB is asked for it: what must hold, what changes, and how it is known that it was done.

Each leaves a stamp of its own in the session it moved on, so that many can travel in one command, which tells
how many of them were done but not which.
"""

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime

from bson.binary import Binary

from auth.models import Location, Session
from auth.stores.mongo import Document
from auth.stores.session_documents import EXPIRED_KEPT, location_document, session_of

STAMP_BYTES = 8
STAMPS_KEPT = 8
# What the last rotation found, for whoever judges what is odd about it.
BEFORE = ("ip", "location", "confirmed", "rotatedAt", "lastSeenAt", "expiresAt")


@dataclass(frozen=True, slots=True)
class Rotated:
    """A session before and after its rotation."""

    before: Session
    after: Session


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """A rotation on its way; each is itself alone, however alike two may be."""

    session_id: str
    nonce_hash: bytes
    from_generation: int
    ip: str
    location: Location | None
    now: datetime
    expires_at: datetime
    stamp: bytes = field(default_factory=lambda: secrets.token_bytes(STAMP_BYTES))

    @property
    def condition(self) -> Document:
        """What the session must be for it."""
        return {
            "_id": self.session_id,
            "generation": self.from_generation,
            "nonceHash": Binary(self.nonce_hash),
            "revokedAt": None,
            # Announced as expired by a node whose clock is ahead: an end that was told stays one.
            "expiredAt": None,
            "expiresAt": {"$gt": self.now},
        }

    @property
    def change(self) -> list[Document]:
        """What the session becomes by it."""
        stamps = {"$concatArrays": [{"$ifNull": ["$stamps", []]}, [Binary(self.stamp)]]}
        return [
            {
                "$set": {
                    "generation": self.from_generation + 1,
                    "confirmed": False,
                    "rotatedAt": self.now,
                    "lastSeenAt": self.now,
                    "ip": {"$literal": self.ip},
                    "location": {"$literal": location_document(self.location)},
                    "expiresAt": {"$min": [self.expires_at, "$endsAt"]},
                    "stamps": {"$slice": [stamps, -STAMPS_KEPT]},
                    "before": {field: f"${field}" for field in BEFORE},
                }
            },
            {"$set": {"purgeAt": {"$add": ["$expiresAt", int(EXPIRED_KEPT.total_seconds() * 1000)]}}},
        ]

    def is_in(self, document: Document) -> bool:
        """Whether the session was rotated by it."""
        return self.stamp in map(bytes, document.get("stamps", ()))

    def outcome(self, document: Document) -> Rotated:
        """What came of it; `document`: the session with its stamp.

        Another may have followed it meanwhile: what is handed out here is its own generation all the same.
        """
        after = replace(session_of(document), generation=self.from_generation + 1)
        before = session_of(document | document["before"])
        return Rotated(replace(before, generation=self.from_generation), after)
