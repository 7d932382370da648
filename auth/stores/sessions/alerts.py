"""The unanswered alerts of sessions, stored with the session: they end with it."""

from collections.abc import Iterable
from datetime import datetime

from pymongo import ReturnDocument

from auth.core.models import Session
from auth.stores.mongo import Database, outage_is_unavailable
from auth.stores.sessions.documents import found, live_at, session_of


class SessionAlerts:
    """The collection `sessions`, for alerts that wait for the user's answer."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def add(self, session_id: str, kinds: Iterable[str], *, user_id: str, now: datetime) -> None:
        """Record alerts about a session; a repeated kind gets the later time."""
        await self._sessions.update_one(
            found(session_id, user_id), {"$set": {f"alerts.{kind}": now for kind in kinds}}
        )

    @outage_is_unavailable
    async def clear(self, session_id: str, *, user_id: str, now: datetime) -> Session | None:
        """Remove the alerts about a live session; the session as it was before, None without such a session."""
        before = await self._sessions.find_one_and_update(
            {**found(session_id, user_id), **live_at(now)},
            {"$unset": {"alerts": ""}},
            return_document=ReturnDocument.BEFORE,
        )
        return session_of(before) if before else None
