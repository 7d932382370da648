"""Which nodes have sockets that watch a user. The scripts publish `device-status` to these nodes, too."""

import asyncio

from auth.platform.redis.link import RedisLink, as_text
from realtime.broker.bus import Bus
from realtime.broker.redis_keys import Keys
from realtime.broker.scripts import load

# Repeated that often, and forgotten after that long, so that dead nodes are.
REPEAT_SECONDS = 30.0
LIFE_MS = 90_000


class Watchers:
    """This node's entries, and messages to all nodes that watch a user."""

    def __init__(self, link: RedisLink, keys: Keys, bus: Bus, *, node_id: str) -> None:
        self._link = link
        self._keys = keys
        self._bus = bus
        self._node_id = node_id
        self._watch = load(link, "watch")

    async def note(self, user_id: str) -> None:
        """Note for `LIFE_MS` that this node watches a user. Raises `Unavailable`."""
        await self._watch(keys=[self._keys.watchers(user_id)], args=[self._node_id, LIFE_MS])

    async def forget(self, user_id: str) -> None:
        """Note that this node no longer watches a user. Raises `Unavailable`."""
        await self._link.execute("ZREM", self._keys.watchers(user_id), self._node_id)

    async def tell(self, user_id: str) -> None:
        """Let the nodes that watch a user read the user's presence again. Raises `Unavailable`."""
        nodes = await self._link.execute("ZRANGE", self._keys.watchers(user_id), 0, -1)
        message = {"t": "presence", "user": user_id}
        await asyncio.gather(*(self._bus.send(as_text(node), user_id, message) for node in nodes))
