"""A user's own data: the security log, and an export of all stored data (GDPR, articles 15 and 20)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.clients.devices import Devices
from auth.clients.locations import Locations
from auth.core.clock import iso
from auth.core.json_values import object_of
from auth.core.models import Client, Device, Location, Principal, User
from auth.core.paging import Cursor, Page
from auth.factors.manage import FactorOverview, TwoFactor
from auth.factors.step_up import StepUp
from auth.services import Operation, Services
from auth.stores.audit_events import AuditEvent, AuditEvents, AuditFilter
from auth.stores.users.account_data import AccountData

# Limit on the events in an export; the complete log is available page by page.
MAX_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class SecurityLogEntry:
    """A security event as shown to its user."""

    event: AuditEvent
    device: Device | None
    location: Location | None


class DataExport(Operation):
    """Gives users access to their stored data."""

    def __init__(
        self,
        services: Services,
        *,
        events: AuditEvents,
        parts: AccountData,
        factors: TwoFactor,
        devices: Devices,
        locations: Locations,
        step_up: StepUp,
    ) -> None:
        super().__init__(services)
        self._events = events
        self._parts = parts
        self._factors = factors
        self._devices = devices
        self._locations = locations
        self._step_up = step_up

    async def security_log(
        self, principal: Principal, *, before: Cursor | None, limit: int
    ) -> Page[SecurityLogEntry]:
        """Return the principal's security events, newest first. Raises `InvalidRequest` for an invalid cursor."""
        page = await self._events.search(AuditFilter(user_id=principal.user_id), before=before, limit=limit)
        return Page(tuple(map(self._log_entry, page.rows)), page.next)

    async def export(self, principal: Principal, *, client: Client) -> Mapping[str, Any]:
        """Return all data stored for the principal's account, without secrets, hashes and keys.

        Limited by account, because it reads thousands of documents. Raises `StepUpRequired`, `RateLimited` or
        `Unavailable`.
        """
        user = await self._step_up.require(principal)
        await self._limits.hit("export", user.user_id)
        now = self._clock()
        await self._audit.record(
            "data_exported", user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        log = await self._events.of_user(user.user_id, limit=MAX_EVENTS)
        parts = await self._parts.show(user.user_id)
        data = {
            "exportedAt": now,
            "account": _account(user),
            "secondFactors": _factors(user, await self._factors.overview_of(user)),
            **parts,
            "securityLog": list(map(_event_values, log)),
        }
        return {name: _plain(value) for name, value in data.items()}

    def _log_entry(self, event: AuditEvent) -> SecurityLogEntry:
        agent = event.user_agent
        return SecurityLogEntry(
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
        "metadata": object_of(user.metadata),
    }


def _factors(user: User, overview: FactorOverview) -> dict[str, Any]:
    """The user's second factors; passkeys are exported separately."""
    enabled_at, left = overview.totp_enabled_at, overview.codes_left
    return {
        "totp": None if enabled_at is None else {"enabledAt": enabled_at},
        "recoveryCodes": None if left is None else {"left": left},
        "loginApproval": user.login_approval,
    }


def _event_values(event: AuditEvent) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "at": event.at,
        "sessionId": event.session_id,
        "ip": event.ip,
        "userAgent": event.user_agent,
        "details": dict(event.details),
    }


def _plain(value: Any) -> Any:
    """Convert a value to JSON types, with times in the format of the API."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
