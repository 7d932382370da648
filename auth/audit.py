"""The audit trail: security events, kept for `VIGIL_AUDIT_DAYS` and then removed.

An event that cannot be written does not undo what it tells of: the login or revocation has already
happened, and refusing to answer would only hide it from its user. The event goes to the log instead, whole
and at level error, and is counted as `vigil_jobs_total{job="audit",outcome="failed"}`, so that somebody
hears of a trail with gaps. Nothing secret is ever handed in: no password, no token, no typed address of an
unknown account (people type passwords into the wrong field).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from auth.accounts import printable
from auth.errors import Unavailable
from auth.metrics import Metrics
from auth.models import Client
from auth.stores.audit_events import AuditEvent, AuditEvents

log = structlog.get_logger()

MAX_TEXT = 512


class AuditLog:
    """Writes security events down."""

    def __init__(self, *, store: AuditEvents, keep: timedelta, metrics: Metrics) -> None:
        self._store = store
        self._keep = keep
        self._metrics = metrics

    async def record(
        self,
        kind: str,
        *,
        user_id: str | None,
        session_id: str | None,
        client: Client | None,
        details: Mapping[str, str] | None = None,
        now: datetime,
    ) -> None:
        """Write one event. Never raises for a store that is down."""
        event = AuditEvent(
            kind=kind,
            at=now,
            user_id=user_id,
            session_id=session_id,
            ip=client.ip if client else None,
            user_agent=printable(client.user_agent, MAX_TEXT) if client else None,
            details={name: printable(text, MAX_TEXT) for name, text in (details or {}).items()},
        )
        try:
            await self._store.append(event, remove_at=now + self._keep)
        except Unavailable:
            self._metrics.jobs.labels("audit", "failed").inc()
            log.exception(
                "audit_event_not_stored",
                kind=kind,
                at=now.isoformat(),
                user_id=user_id,
                session_id=session_id,
                ip=event.ip,
                user_agent=event.user_agent,
                details=event.details,
            )
