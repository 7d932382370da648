"""Names of keys and channels in Redis. A prefix separates installations that share a server.

A user belongs to one of 1,024 shards, and so does a room. All keys that a script uses together carry the tag of
the shard, so that a cluster keeps them on one master. On a server that is no cluster the names are the same.
"""

from auth.core.shards import SHARDS, shard_of
from auth.platform.redis.slots import slot_of

ALL_SHARDS = frozenset(range(SHARDS))
_TAGS = tuple(f"{{v{shard}}}" for shard in range(SHARDS))
# The hash slot of each shard.
SLOT_OF = tuple(map(slot_of, _TAGS))


class Keys:
    """Builds the names from the prefix."""

    def __init__(self, prefix: str) -> None:
        self._shards = tuple(f"{prefix}:{tag}:" for tag in _TAGS)
        # Of all nodes.
        self.leases = f"{prefix}:{{nodes}}:leases"
        self.terms = f"{prefix}:{{nodes}}:terms"
        self.counts = f"{prefix}:{{nodes}}:counts"
        self.claims = f"{prefix}:{{nodes}}:clearing:"

    def sockets(self, user_id: str) -> str:
        """Hash of a user's sockets: socket id to `node|session`."""
        return f"{self._shards[shard_of(user_id)]}user:{user_id}:sockets"

    def states(self, user_id: str) -> str:
        """Hash of the last `device-status` of a user's sessions: session id to `event id|payload`."""
        return f"{self._shards[shard_of(user_id)]}user:{user_id}:states"

    def watchers(self, user_id: str) -> str:
        """Sorted set of the nodes with sockets that watch a user, by until when."""
        return f"{self._shards[shard_of(user_id)]}user:{user_id}:watchers"

    def chosen_state(self, user_id: str) -> str:
        """The state that a user has chosen, sealed."""
        return f"{self._shards[shard_of(user_id)]}user:{user_id}:chosen"

    def log(self, user_id: str) -> str:
        """List: a user's log, oldest event first."""
        return f"{self._shards[shard_of(user_id)]}user:{user_id}:log"

    def meta(self, user_id: str) -> str:
        """Hash of a user's last event id, that of the last one in the log, the bytes of the log, session list
        version, and id of the last change of roles.
        """
        return f"{self._shards[shard_of(user_id)]}user:{user_id}:meta"

    def once(self, user_id: str, name: str) -> str:
        """The id of the event that was appended for a request, for ten minutes."""
        return f"{self._shards[shard_of(user_id)]}user:{user_id}:once:{name}"

    def room(self, room: str) -> str:
        """Stream: a room's log."""
        return f"{self._shards[shard_of(room)]}room:{room}:log"

    def room_last(self, room: str) -> str:
        """The id of the last event of a room's log, also after that event has left the log."""
        return f"{self._shards[shard_of(room)]}room:{room}:last"

    def room_once(self, room: str, name: str) -> str:
        """The id of the event that was appended to a room's log for a request, for ten minutes."""
        return f"{self._shards[shard_of(room)]}room:{room}:once:{name}"

    def denied(self, shard: int) -> str:
        """Sorted set: the deny-list of a shard, with its mark `whole`."""
        return f"{self._shards[shard]}denied"

    def node_sockets(self, node_id: str, shard: int) -> str:
        """Set of a node's sockets in a shard: `user|session|socket`, with `|told` after the disconnect hooks."""
        return f"{self._shards[shard]}node:{node_id}:sockets"

    def heartbeat(self, node_id: str, shard: int) -> str:
        """A node's last heartbeat through the master of a shard."""
        return f"{self._shards[shard]}node:{node_id}:heartbeat"

    def channel(self, node_id: str, shard: int) -> str:
        """The channel on which a node receives what concerns a shard."""
        return self.channels(shard) + node_id

    def channels(self, shard: int) -> str:
        """The prefix of the channels of a shard; a node's id follows."""
        return f"{self._shards[shard]}bus:"
