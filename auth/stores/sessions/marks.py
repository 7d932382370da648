"""Removal of the marks of published news, of many sessions in one command."""

from collections.abc import Sequence

from auth.stores.mongo import Database, outage_is_unavailable

# A session's id, its user's, and the marks to remove.
PublishedNews = tuple[str, str, tuple[str, ...]]


class SessionMarks:
    """The field `unpublished` of the collection `sessions`."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

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
