"""Sessions that were revoked, in the order of the times of it. Those that expired are not among them."""

from datetime import datetime

from auth.core.models import Revocation, RevocationReason
from auth.stores.mongo import Database, Document, outage_is_unavailable

FIELDS = {"userId": 1, "revokedAt": 1, "revokedReason": 1}


class SessionRevocations:
    """The collection `sessions`, for reading which have been revoked."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def since(self, moment: datetime) -> list[Revocation]:
        """Every session that was revoked at `moment` or later, earliest first."""
        cursor = self._sessions.find({"revokedAt": {"$gte": moment}}, FIELDS)
        return sorted([_revocation(each) async for each in cursor], key=lambda each: each.at)

    @outage_is_unavailable
    async def page(self, moment: datetime, session_id: str, *, limit: int) -> list[Revocation]:
        """The first `limit` of those that were revoked after `moment`, or at `moment` with a greater id."""
        later = {"$or": [{"revokedAt": {"$gt": moment}}, {"revokedAt": moment, "_id": {"$gt": session_id}}]}
        cursor = self._sessions.find({"revokedAt": {"$gte": moment}, **later}, FIELDS)
        found = await cursor.sort([("revokedAt", 1), ("_id", 1)]).limit(limit).to_list(limit)
        return [_revocation(each) for each in found]


def _revocation(document: Document) -> Revocation:
    return Revocation(
        document["_id"],
        document["userId"],
        RevocationReason(document["revokedReason"]),
        document["revokedAt"],
    )
