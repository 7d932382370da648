"""A bounded cache."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Keeps the `size` most recently put entries; reading an entry does not renew it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, or None if it was never put or has been evicted."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Store `value` as the most recent entry, evicting the oldest if the cache is full."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)

    def forget(self, key: K) -> None:
        """Remove the entry of `key`, if any."""
        self._values.pop(key, None)
