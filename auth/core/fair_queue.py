"""A round-robin queue: owners are served in turn, however many items each has. Pure."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items grouped by owner. Not thread-safe."""

    def __init__(self) -> None:
        # Owners in the order of service. An owner with items left moves to the end after being served.
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, owner: str, item: T) -> None:
        """Append `item` to the items of `owner`."""
        self._waiting.setdefault(owner, deque()).append(item)
        self._length += 1

    def take(self) -> T | None:
        """Remove and return the oldest item of the next owner; None if the queue is empty."""
        if not self._waiting:
            return None
        owner, items = self._waiting.popitem(last=False)
        if len(items) > 1:
            self._waiting[owner] = items
        self._length -= 1
        return items.popleft()

    def remove(self, owner: str, item: T) -> None:
        """Remove an item; a no-op if it is not queued."""
        items = self._waiting.get(owner, deque())
        if item in items:
            items.remove(item)
            self._length -= 1
        if not items:
            self._waiting.pop(owner, None)

    def waiting_for(self, owner: str) -> int:
        """The number of items of `owner`."""
        return len(self._waiting.get(owner, ()))

    def take_from_longest(self) -> T:
        """Remove and return the newest item of the owner with the most items. The queue must not be empty."""
        owner = max(self._waiting, key=self.waiting_for)
        item = self._waiting[owner].pop()
        self._length -= 1
        if not self._waiting[owner]:
            del self._waiting[owner]
        return item

    @property
    def longest(self) -> int:
        """The largest number of items that one owner has."""
        return max(map(len, self._waiting.values()), default=0)
