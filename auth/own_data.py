"""A user's own data: their security log, and all that is kept of them as one document (GDPR, articles 15 and
20)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from auth.audit import AuditLog
from auth.clock import Clock, iso
from auth.models import Client, Device, Location, Principal, User
from auth.paging import Cursor, Page
from auth.rate_limits import RateLimits
from auth.session_terms import DeviceReader, LocationReader
from auth.step_up import StepUp
from auth.stores.audit_events import AuditEvent, AuditEvents, AuditFilter
from auth.two_factor import FactorOverview

# Of the log, in an export; the whole of it is a page away.
MOST_EVENTS = 1000


class FactorReader(Protocol):
    """Knows what second factors a user has set up."""

    async def overview_of(self, user: User) -> FactorOverview:
        """What they have."""


class Parts(Protocol):
    """What is kept of an account beside its own document."""

    async def show(self, user_id: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Each part by its name."""


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """A security event as its user reads it."""

    event: AuditEvent
    device: Device | None
    location: Location | None


class OwnData:
    """Shows users what is kept of them."""

    def __init__(
        self,
        *,
        events: AuditEvents,
        parts: Parts,
        factors: FactorReader,
        devices: DeviceReader,
        locations: LocationReader,
        step_up: StepUp,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._events = events
        self._parts = parts
        self._factors = factors
        self._devices = devices
        self._locations = locations
        self._step_up = step_up
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def security_log(self, principal: Principal, *, before: Cursor | None, limit: int) -> Page[OwnEvent]:
        """What was done to the principal's account, newest first. Raises `InvalidRequest` for a foreign cursor."""
        page = await self._events.search(AuditFilter(user_id=principal.user_id), before=before, limit=limit)
        return Page(tuple(map(self._own, page.rows)), page.next)

    async def export(self, principal: Principal, *, client: Client) -> Mapping[str, Any]:
        """All that is kept of the principal's account, as plain values: no secret, no hash, no key.

        Counted for the account, since each reads thousands of documents. Raises `StepUpRequired`, `RateLimited` or
        `Unavailable`.
        """
        user = await self._step_up.require(principal)
        await self._limits.hit("export", user.user_id)
        now = self._clock()
        await self._audit.record(
            "data_exported", user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        log = await self._events.of_user(user.user_id, limit=MOST_EVENTS)
        parts = await self._parts.show(user.user_id)
        data = {
            "exportedAt": now,
            "account": _account(user),
            "secondFactors": _factors(user, await self._factors.overview_of(user)),
            **parts,
            "securityLog": list(map(_entry, log)),
        }
        return {name: _plain(value) for name, value in data.items()}

    def _own(self, event: AuditEvent) -> OwnEvent:
        agent = event.user_agent
        return OwnEvent(
            event=event,
            device=self._devices.read(Client(event.ip or "", agent)) if agent else None,
            location=self._locations.locate(event.ip) if event.ip else None,
        )


def _account(user: User) -> dict[str, Any]:
    return {
        "userId": user.user_id,
        "email": user.email,
        "emailVerifiedAt": user.email_verified_at,
        "phoneNumber": user.phone_number,
        "phoneVerifiedAt": user.phone_verified_at,
        "name": user.name,
        "username": user.username,
        "roles": list(user.roles),
        "createdAt": user.created_at,
        "lockedAt": user.locked_at,
        "deletionAt": user.deletion_at,
        "hasPassword": user.password_hash is not None,
    }


def _factors(user: User, overview: FactorOverview) -> dict[str, Any]:
    """Which there are, and since when; passkeys have a part of their own."""
    enabled_at, left = overview.totp_enabled_at, overview.codes_left
    return {
        "totp": None if enabled_at is None else {"enabledAt": enabled_at},
        "recoveryCodes": None if left is None else {"left": left},
        "loginApproval": user.login_approval,
    }


def _entry(event: AuditEvent) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "at": event.at,
        "sessionId": event.session_id,
        "ip": event.ip,
        "userAgent": event.user_agent,
        "details": dict(event.details),
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it: times as the contract writes them."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
