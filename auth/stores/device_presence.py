"""Which devices were last told to be online: the source of presence facts. Redis knows who is online now.

Each write is conditional, so that a device that goes on being online is one fact, whichever nodes report it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from auth.core.errors import Unavailable
from auth.stores.mongo import DUPLICATE_KEY, Database, outage_is_unavailable, write_errors

# How long a device that is offline is remembered.
KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """A device that a node saw come online or go offline."""

    user_id: str
    session_id: str
    online: bool
    at: datetime


class DevicePresence:
    """The collection `device_presence`."""

    def __init__(self, database: Database) -> None:
        self._devices = database["device_presence"]

    @outage_is_unavailable
    async def ensure_indexes(self) -> None:
        """Create the indexes, and the TTL index."""
        await self._devices.create_index("nodeId", partialFilterExpression={"online": True}, name="online_at")
        await self._devices.create_index("userId", name="user")
        await self._devices.create_index("removeAt", expireAfterSeconds=0, name="removal")

    @outage_is_unavailable
    async def note(self, seen: Sequence[DeviceSeen], *, node_id: str) -> None:
        """Record what a node saw. What is recorded already changes nothing, and is no fact."""
        try:
            await self._devices.bulk_write([_update(each, node_id) for each in seen], ordered=False)
        except BulkWriteError as error:
            # A device that is recorded as online at this node: the conditional update found nothing to change.
            if (error.details or {}).get("writeConcernErrors"):
                raise Unavailable from error  # no majority has the writes: they may be taken back
            if any(each["code"] != DUPLICATE_KEY for each in write_errors(error)):
                raise

    @outage_is_unavailable
    async def online_elsewhere(self, nodes: Collection[str], *, limit: int) -> list[tuple[str, str, str]]:
        """User, session and node of devices that are recorded as online at none of these nodes."""
        which = {"online": True, "nodeId": {"$nin": list(nodes)}}
        found = self._devices.find(which, {"userId": 1, "sessionId": 1, "nodeId": 1}, limit=limit)
        return [(each["userId"], each["sessionId"], each["nodeId"]) for each in await found.to_list(limit)]

    @outage_is_unavailable
    async def move(self, user_id: str, session_id: str, *, node_id: str) -> None:
        """Record that an online device is at another node than the recorded one."""
        await self._devices.update_one(
            {"_id": f"{user_id}|{session_id}", "online": True}, {"$set": {"nodeId": node_id}}
        )


def _update(seen: DeviceSeen, node_id: str) -> UpdateOne:
    key = {"_id": f"{seen.user_id}|{seen.session_id}"}
    if not seen.online:
        gone = {"online": False, "at": seen.at, "removeAt": seen.at + KEPT}
        return UpdateOne(key | {"online": True}, {"$set": gone})
    return UpdateOne(
        key | {"$or": [{"online": {"$ne": True}}, {"nodeId": {"$ne": node_id}}]},
        {
            "$set": {"online": True, "nodeId": node_id, "at": seen.at},
            "$setOnInsert": {"userId": seen.user_id, "sessionId": seen.session_id},
            "$unset": {"removeAt": ""},
        },
        upsert=True,
    )
