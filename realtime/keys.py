"""Names of the keys and channels in Redis. One prefix keeps several installations on one server apart."""


class Keys:
    """Every name, made of the prefix and what it is about."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes = f"{prefix}:nodes"
        self.channels = f"{prefix}:bus:"
        self.claims = f"{prefix}:clearing:"

    def deny(self, session_id: str) -> str:
        """The deny-list entry of a session."""
        return f"{self._prefix}:deny:{session_id}"

    def sockets(self, user_id: str) -> str:
        """A user's sockets: socket id to `node|session`."""
        return f"{self._prefix}:user:{user_id}:sockets"

    def log(self, user_id: str) -> str:
        """A user's log."""
        return f"{self._prefix}:user:{user_id}:log"

    def meta(self, user_id: str) -> str:
        """What stands beside the log: its last event id and the version of the session list."""
        return f"{self._prefix}:user:{user_id}:meta"

    def node_sockets(self, node_id: str) -> str:
        """A node's sockets: `user|session|socket`."""
        return f"{self._prefix}:node:{node_id}:sockets"

    def channel(self, node_id: str) -> str:
        """The channel that a node hears."""
        return self.channels + node_id
