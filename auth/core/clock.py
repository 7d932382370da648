"""Time: aware UTC datetimes in whole milliseconds.

MongoDB stores milliseconds, so a finer clock would produce values that change when they are stored and read
back.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current UTC time, truncated to whole milliseconds."""
    return from_ms(time.time_ns() // 1_000_000)


def iso(moment: datetime) -> str:
    """Format as ISO 8601 in UTC with milliseconds and `Z` (protocol.md, section 1)."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch, rounded."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The inverse of `to_ms`."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
