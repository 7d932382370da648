"""Counts the open connections of each address on this node, HTTP and WebSocket, and limits them.

For an address behind a trusted proxy, requests in flight and live sockets are counted instead. The proxy's own
connections are not counted, since they are shared by many clients. An IPv6 address counts as its /64.
"""

import functools
from collections.abc import Sequence
from ipaddress import ip_address

from auth.platform.metrics import Metrics
from auth.platform.rate_limits import network_of
from auth.platform.settings.settings import Network

LIMIT = "connections"
# Retry-After, in seconds: other connections may have closed by then.
RETRY_SECONDS = 5.0


class OpenConnections:
    """Counts connections by address. `most` is the limit for each address; 0 means unlimited."""

    def __init__(self, most: int, *, proxies: Sequence[Network], metrics: Metrics) -> None:
        self._most = most
        self._open: dict[str, int] = {}
        self._refused = metrics.rate_limited.labels(LIMIT)
        self._proxies = tuple(proxies)
        # Cached: a connection has one peer and many requests.
        self.is_proxy = functools.lru_cache(maxsize=4096)(self._is_proxy)

    def __len__(self) -> int:
        return sum(self._open.values())

    def is_full(self, address: str) -> bool:
        """Whether the address exceeds its limit. A count equal to the limit does not: it includes the caller."""
        return 0 < self._most < self._open.get(network_of(address), 0)

    def enter(self, address: str, *, beyond: float = 0.0) -> bool:
        """Count a connection, unless the address has its limit plus the fraction `beyond` open; return whether
        it was counted.
        """
        if not self._most or self.is_proxy(address):
            return True
        key = network_of(address)
        count = self._open.get(key, 0)
        if count >= self._most * (1 + beyond):
            return False
        self._open[key] = count + 1
        return True

    def add(self, address: str) -> None:
        """Count a connection that was already accepted, regardless of the limit."""
        self.enter(address, beyond=float("inf"))

    def leave(self, address: str) -> None:
        """Stop counting a connection that has closed."""
        key = network_of(address)
        count = self._open.get(key, 0)
        if count > 1:
            self._open[key] = count - 1
        else:
            self._open.pop(key, None)

    def refused(self) -> None:
        """Count a rejected connection in the metrics."""
        self._refused.inc()

    def _is_proxy(self, address: str) -> bool:
        parsed = ip_address(address)
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._proxies)
