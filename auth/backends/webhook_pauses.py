"""How long an endpoint gets nothing, or a fact is not repeated, after a failure. Pure.

The statuses are those that Standard Webhooks names ("Delivery success and failure").
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
# Between two tests of an endpoint that counts as dead or is overloaded.
LONGEST_TEST_PAUSE = timedelta(minutes=5)
# How long a fact waits before it is given up.
GIVE_UP = timedelta(days=3)
# The receiver wants nothing more.
GONE = 410
OVERLOADED = frozenset({429, 502, 504})


def pause_after(attempts: int, *, longest: timedelta = LONGEST_PAUSE) -> timedelta:
    """The pause after the failure number `attempts`, from 1 on."""
    return min(FIRST_PAUSE * (1 << min(max(attempts, 1) - 1, 16)), longest)


def asked_pause(status: int, retry_after: str, *, failures: int, now: datetime) -> timedelta:
    """The pause that a response asks for by its status or its `Retry-After`; none for most failures."""
    if status == GONE:
        return GIVE_UP
    asked = min(_until(retry_after, now), LONGEST_PAUSE)
    return asked or (pause_after(failures, longest=LONGEST_TEST_PAUSE) if status in OVERLOADED else timedelta())


def _until(retry_after: str, now: datetime) -> timedelta:
    """`Retry-After`: seconds or a date (RFC 9110, section 10.2.3); nothing for anything else or the past."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:9]))
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return timedelta()
    return max(at.replace(tzinfo=at.tzinfo or UTC) - now, timedelta())
