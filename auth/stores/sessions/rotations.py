"""A rotation as a MongoDB update: its condition, its change, and how to tell whether it was applied.

Each rotation writes a unique stamp into the session. Many rotations can then be sent in one command, whose
result says how many were applied but not which.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from auth.core.models import ClientKind, Location, Session
from auth.stores.mongo import Document
from auth.stores.sessions.documents import EXPIRED_KEPT, found, kind_document, location_document, session_of

STAMP_BYTES = 8
STAMPS_KEPT = 8
# Fields saved before a rotation, for risk detection.
BEFORE = ("ip", "location", "confirmed", "rotatedAt", "rotatedBy", "lastSeenAt", "expiresAt")


@dataclass(frozen=True, slots=True)
class Rotated:
    """A session before and after its rotation."""

    before: Session
    after: Session


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """A pending rotation, compared by identity."""

    session_id: str
    # None if the token does not name it.
    user_id: str | None
    nonce_hash: bytes
    from_generation: int
    ip: str
    location: Location | None
    # None if unknown: the previous value is kept.
    kind: ClientKind | None
    now: datetime
    expires_at: datetime
    stamp: bytes = field(default_factory=lambda: secrets.token_bytes(STAMP_BYTES))

    @property
    def condition(self) -> Document:
        """The query for a session that may be rotated."""
        return {
            **found(self.session_id, self.user_id),
            "generation": self.from_generation,
            "nonceHash": self.nonce_hash,
            "revokedAt": None,
            # A node whose clock is ahead may have announced the expiry, which is final.
            "expiredAt": None,
            "expiresAt": {"$gt": self.now},
        }

    @property
    def change(self) -> list[Document]:
        """The update pipeline."""
        known = {"rotatedBy": {"$literal": kind_document(self.kind)}} if self.kind else {}
        stamps = {"$concatArrays": [{"$ifNull": ["$stamps", []]}, [self.stamp]]}
        return [
            {
                "$set": {
                    "generation": self.from_generation + 1,
                    "confirmed": False,
                    "rotatedAt": self.now,
                    "lastSeenAt": self.now,
                    "ip": {"$literal": self.ip},
                    "location": {"$literal": location_document(self.location)},
                    "replays": 0,
                    "replayedAt": None,
                    "expiresAt": {"$min": [self.expires_at, "$endsAt"]},
                    "stamps": {"$slice": [stamps, -STAMPS_KEPT]},
                    "before": {field: f"${field}" for field in BEFORE},
                    **known,
                }
            },
            {"$set": {"purgeAt": {"$add": ["$expiresAt", int(EXPIRED_KEPT.total_seconds() * 1000)]}}},
        ]

    def is_in(self, document: Document) -> bool:
        """Whether the session has this rotation's stamp."""
        return self.stamp in document.get("stamps", ())

    def outcome(self, document: Document) -> Rotated:
        """The result, from the session `document` with this rotation's stamp.

        A later rotation may have followed; the result still has this rotation's generation.
        """
        before = document | document["before"] | {"generation": self.from_generation}
        after = document | {"generation": self.from_generation + 1}
        return Rotated(session_of(before), session_of(after))
