"""Time as the whole server reads and writes it: aware UTC, whole milliseconds.

MongoDB keeps milliseconds and no more, so a finer clock would make a value differ from itself after a
round trip through the store.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Now, in UTC, cut to whole milliseconds."""
    return from_ms(time.time_ns() // 1_000_000)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z` (protocol.md, section 1)."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The inverse of `to_ms`."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
