"""Names of keys and channels in Redis. A prefix separates installations that share a server."""


class Keys:
    """Builds the names from the prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes = f"{prefix}:nodes"
        self.terms = f"{prefix}:terms"
        self.channels = f"{prefix}:bus:"
        self.claims = f"{prefix}:clearing:"
        self.denied = f"{prefix}:denied"

    def sockets(self, user_id: str) -> str:
        """Hash of a user's sockets: socket id to `node|session`."""
        return f"{self._prefix}:user:{user_id}:sockets"

    def log(self, user_id: str) -> str:
        """Stream: a user's log."""
        return f"{self._prefix}:user:{user_id}:log"

    def meta(self, user_id: str) -> str:
        """Hash of a user's last event id, session list version, and id of the last change of roles."""
        return f"{self._prefix}:user:{user_id}:meta"

    def node_sockets(self, node_id: str) -> str:
        """Set of a node's sockets: `user|session|socket`, with suffix `|told` after the disconnect hooks."""
        prefix, suffix = self.around_node_id
        return f"{prefix}{node_id}{suffix}"

    @property
    def around_node_id(self) -> tuple[str, str]:
        """Prefix and suffix around a node's id in the key of its sockets."""
        return f"{self._prefix}:node:", ":sockets"

    def heartbeat(self, node_id: str) -> str:
        """A node's last heartbeat."""
        return f"{self._prefix}:node:{node_id}:heartbeat"

    def channel(self, node_id: str) -> str:
        """The channel that a node subscribes to."""
        return self.channels + node_id
