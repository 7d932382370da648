"""Members of rooms that a backend has set: users, with all their sockets, or single sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from auth.core.shards import shard_of
from auth.stores.batched_reads import BatchedReads
from auth.stores.mongo import Database, Document, outage_is_unavailable


@dataclass(frozen=True, slots=True)
class Membership:
    """A user in a room, or one session of the user, which ends with it at `ends_at` at the latest.

    `since`: the last event in the room's history before it was added; 0 if that is not known.
    """

    room: str
    user_id: str
    session_id: str | None = None
    ends_at: datetime | None = None
    since: int = 0


class RoomMembers:
    """The collection `room_members`."""

    def __init__(self, database: Database) -> None:
        self._members = database["room_members"]
        self._of_user = BatchedReads(self._read)

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes by user and by shard, and the TTL index of sessions."""
        await self._members.create_index("userId", name="user")
        await self._members.create_index("shard", name="shard")
        await self._members.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def add(self, membership: Membership) -> None:
        """Add a member; no effect if it is one."""
        await self._members.update_one(
            {"_id": _id(membership)},
            {
                "$set": {
                    "room": membership.room,
                    "userId": membership.user_id,
                    "shard": shard_of(membership.user_id),
                    "sessionId": membership.session_id,
                    "removeAt": membership.ends_at,
                },
                "$setOnInsert": {"since": membership.since},
            },
            upsert=True,
        )

    @outage_is_unavailable
    async def remove(self, membership: Membership) -> bool:
        """Remove a member; False if it is none."""
        done = await self._members.delete_one({"_id": _id(membership)})
        return bool(done.deleted_count)

    @outage_is_unavailable
    async def shards(self) -> set[int]:
        """The shards of users that are in a room."""
        return set(await self._members.distinct("shard"))

    @outage_is_unavailable
    async def of_user(self, user_id: str) -> Sequence[Membership]:
        """The memberships of a user and of the user's sessions."""
        return await self._of_user.ask(user_id) or ()

    async def _read(self, user_ids: Sequence[str]) -> dict[str, list[Membership]]:
        found: dict[str, list[Membership]] = {}
        async for document in self._members.find({"userId": {"$in": user_ids}}):
            found.setdefault(document["userId"], []).append(_membership(document))
        return found


def _id(membership: Membership) -> str:
    who = f"user {membership.user_id}" if membership.session_id is None else f"session {membership.session_id}"
    return f"{membership.room} {who}"


def _membership(document: Document) -> Membership:
    return Membership(
        document["room"],
        document["userId"],
        document["sessionId"],
        document["removeAt"],
        int(document.get("since", 0)),
    )
