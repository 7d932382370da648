"""Length of a node's lease: how long after its last renewal a node counts as alive, and its sockets as online."""

from datetime import timedelta

NODE_LEASE = timedelta(seconds=10)
