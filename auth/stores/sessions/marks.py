"""The marks of unpublished news: whether there are any, and their removal, of many sessions in one command."""

from collections.abc import Sequence
from datetime import datetime

from auth.stores.mongo import Database, outage_is_unavailable
from auth.stores.sessions.documents import newly_expired, news_before

# A session's id, its user's, and the marks to remove.
PublishedNews = tuple[str, str, tuple[str, ...]]


class SessionMarks:
    """The field `unpublished` of the collection `sessions`."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    @outage_is_unavailable
    async def are_due(self, *, before: datetime, now: datetime) -> bool:
        """Whether a session has news older than `before`, or has expired by `now` and this is not marked.

        Nearly always False, and costs less than the claims that would find that out: `claim_unpublished` and
        `expire_one` are writes.
        """
        due = {"$or": [news_before(before), newly_expired(now)]}
        return await self._sessions.find_one(due, {"_id": 1}) is not None

    @outage_is_unavailable
    async def remove(self, published: Sequence[PublishedNews]) -> None:
        """Remove the marks; sessions with the same marks share a command. Raises `Unavailable`."""
        for news in {news for *_, news in published}:
            sessions = [(session_id, user_id) for session_id, user_id, of in published if of == news]
            ids, users = map(list, zip(*sessions, strict=True))
            await self._sessions.update_many(
                {"_id": {"$in": ids}, "userId": {"$in": users}},
                [
                    {"$set": {"unpublished": {"$setDifference": ["$unpublished", list(news)]}}},
                    {
                        "$set": {
                            "unpublishedSince": {
                                "$cond": [{"$eq": ["$unpublished", []]}, "$$REMOVE", "$unpublishedSince"]
                            }
                        }
                    },
                ],
            )
