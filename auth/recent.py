"""A memory of what was met lately, of a size that is known beforehand."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A value for each of the keys last put; the oldest leave first, so it never grows past `size`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, or None when it was never put or is forgotten."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Remember `value` for `key` as the most recent."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)

    def forget(self, key: K) -> None:
        """Drop what is remembered for `key`."""
        self._values.pop(key, None)
