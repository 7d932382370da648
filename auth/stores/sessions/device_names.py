"""Device names: the label of a session, which its user can change."""

from datetime import datetime

from pymongo import ReturnDocument

from auth.core.models import Session
from auth.stores.mongo import Database, outage_is_unavailable
from auth.stores.sessions.documents import live_at, session_of


class SessionDeviceNames:
    """The collection `sessions`, for the names of devices."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def rename(self, session_id: str, *, user_id: str, name: str, now: datetime) -> Session | None:
        """Name the device of a live session of `user_id`; None if there is no such live session.

        One conditional update: a session that has ended keeps the name under which it ended.
        """
        document = await self._sessions.find_one_and_update(
            {"_id": session_id, "userId": user_id, **live_at(now)},
            {"$set": {"device.name": name}},
            return_document=ReturnDocument.AFTER,
        )
        return session_of(document) if document else None
