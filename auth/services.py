"""The services that most operations use, and the base class of operations."""

from collections.abc import Mapping
from dataclasses import dataclass

from auth.audit import AuditLog
from auth.core.clock import Clock
from auth.core.models import Client, User
from auth.notifications.mail_contents import Notice
from auth.notifications.mailer import Mailer
from auth.platform.metrics import Metrics
from auth.platform.rate_limits import RateLimits
from auth.stores.users.store import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Users, audit trail, rate limits, mailer, metrics and clock."""

    users: Users
    audit: AuditLog
    limits: RateLimits
    mailer: Mailer
    metrics: Metrics
    clock: Clock


class Operation:
    """Base class of operations, with access to the services."""

    def __init__(self, services: Services) -> None:
        self._users = services.users
        self._audit = services.audit
        self._limits = services.limits
        self._mailer = services.mailer
        self._metrics = services.metrics
        self._clock = services.clock

    async def _record_and_tell(
        self,
        user: User,
        notice: Notice,
        *,
        session_id: str | None,
        client: Client | None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        """Record a notice in the user's audit trail and mail it to the user; never raises."""
        await self._audit.record(
            notice.kind, user_id=user.user_id, session_id=session_id, client=client, details=details, now=notice.at
        )
        await self._mailer.tell(user, notice)
