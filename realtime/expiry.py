"""When a socket is warned of its token's end, when that comes, and when its grace is over."""

from dataclasses import dataclass
from datetime import datetime, timedelta

# The warning comes at most this share of the token's life ahead (protocol.md, section 5), and up to a
# quarter of the lead later: tokens that end in the same second must not all be refreshed in one.
LEAD_SHARE = 0.2
JITTER_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class ExpirySchedule:
    """Moments in a token's last minutes."""

    warn_at: datetime
    expires_at: datetime
    grace_ends_at: datetime


def schedule(
    *, issued_at: datetime, expires_at: datetime, lead: timedelta, grace: timedelta, jitter: float
) -> ExpirySchedule:
    """The schedule of one token; `jitter` is drawn between 0 and 1."""
    lead = min(lead, (expires_at - issued_at) * LEAD_SHARE)
    return ExpirySchedule(
        warn_at=expires_at - lead * (1 - JITTER_SHARE * jitter),
        expires_at=expires_at,
        grace_ends_at=expires_at + grace,
    )
