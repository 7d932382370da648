"""The audit trail: security events, kept for `VIGIL_AUDIT_DAYS` and then removed.

If an event cannot be stored, the login or revocation it records has still happened, and an error would only hide
that from the user. The complete event is then logged at level error and counted as
`vigil_jobs_total{job="audit",outcome="failed"}`, so that operators notice gaps in the trail. Events contain no
secrets: no password, no token, no address typed for an unknown account (people type passwords into the wrong
field).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.models import Client
from auth.core.text import MAX_USER_AGENT, printable
from auth.platform.metrics import Metrics
from auth.stores.audit_events import AuditEvent, AuditEvents

log = structlog.get_logger()

MAX_TEXT = 512


class AuditLog:
    """Records security events."""

    def __init__(self, *, store: AuditEvents, keep: timedelta, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._keep = keep
        self._failed = metrics.jobs.labels("audit", "failed")

    async def record(
        self,
        kind: str,
        *,
        user_id: str | None,
        session_id: str | None = None,
        client: Client | None = None,
        details: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> None:
        """Record one event, at `now` or the current time. Never raises `Unavailable`."""
        at = now or self._clock()
        event = AuditEvent(
            kind=kind,
            at=at,
            user_id=user_id,
            session_id=session_id,
            ip=client.ip if client else None,
            user_agent=printable(client.user_agent, MAX_USER_AGENT) if client else None,
            details={name: printable(text, MAX_TEXT) for name, text in (details or {}).items()},
        )
        try:
            await self._store.append(event, remove_at=at + self._keep)
        except Unavailable:
            self._failed.inc()
            log.exception(
                "audit_event_not_stored",
                kind=kind,
                at=at.isoformat(),
                user_id=user_id,
                session_id=session_id,
                ip=event.ip,
                user_agent=event.user_agent,
                details=event.details,
            )
