"""Endpoints for a user's own data: security log, export, account deletion."""

from typing import Any

from pydantic import Field

from auth.accounts.deletion import AccountDeletion
from auth.accounts.export import DataExport, SecurityLogEntry
from auth.core.errors import Conflict, StepUpRequired
from auth.core.paging import Cursor
from auth.core.views import DeviceView, LocationView, Moment, Query, UserView, View, omittable
from auth.http.context import clear_browser_data
from auth.http.routing import Call, endpoint
from auth.http.schemas.admin import BEFORE, Limit, Name
from auth.http.schemas.common import Nothing, RecoveryCodesView, TotpView, UserAnswer

Record = dict[str, Any]


class SecurityLogQuery(Query):
    """Paging of the security log."""

    before: Name | None = omittable(BEFORE)
    limit: Limit = 50


class OwnEventView(View):
    """An event of the account's security log."""

    id: str
    kind: str = Field(examples=["login", "password_changed", "session_revoked"])
    at: Moment
    ip: str | None
    location: LocationView | None
    device: DeviceView | None
    details: dict[str, str]

    @classmethod
    def of(cls, own: SecurityLogEntry) -> "OwnEventView":
        event = own.event
        return cls(
            id=event.event_id,
            kind=event.kind,
            at=event.at,
            ip=event.ip,
            location=LocationView.of(own.location) if own.location else None,
            device=DeviceView.of(own.device) if own.device else None,
            details=dict(event.details),
        )


class SecurityLogAnswer(View):
    """A page of the security log, newest first."""

    events: tuple[OwnEventView, ...]
    next: str | None = Field(description="Value of `before` for the next page; null on the last page.")


class SecondFactorsExport(View):
    """The second factors that are set up, without secrets."""

    totp: TotpView | None
    recovery_codes: RecoveryCodesView | None
    login_approval: bool = Field(description="Whether other devices may approve a login.")


class ExportView(View):
    """An account with all its stored data."""

    exported_at: Moment
    account: Record = Field(description="Address, phone number, names and roles, with their dates.")
    second_factors: SecondFactorsExport
    sessions: tuple[Record, ...]
    passkeys: tuple[Record, ...] = Field(description="Names and times, without keys.")
    linked_logins: tuple[Record, ...] = Field(description="Identities at providers.")
    messages: tuple[Record, ...] = Field(description="E-mails and SMS still stored, without their content.")
    security_log: tuple[Record, ...] = Field(
        description="Newest first, at most a thousand; older events are at `/me/security-log`."
    )


class ExportAnswer(View):
    """All stored data of the account."""

    export: ExportView


class DeletionAnswer(View):
    """When the data will be deleted."""

    deleted_at: Moment


class ExportAndDeletionRoutes:
    """Endpoints for a user's own data."""

    tag = "Account"

    def __init__(self, data: DataExport, deletion: AccountDeletion) -> None:
        self._data = data
        self._deletion = deletion

    @endpoint("GET", "/me/security-log", summary="Get my security log")
    async def security_log(self, call: Call, query: SecurityLogQuery) -> SecurityLogAnswer:
        before = Cursor.parse(query.before) if query.before else None
        page = await self._data.security_log(call.principal, before=before, limit=query.limit)
        return SecurityLogAnswer(
            events=tuple(map(OwnEventView.of, page.rows)), next=str(page.next) if page.next else None
        )

    @endpoint("GET", "/me/export", summary="Export all my data", errors=(StepUpRequired,))
    async def export(self, call: Call, _: Nothing) -> ExportAnswer:
        return ExportAnswer(
            export=ExportView.model_validate(await self._data.export(call.principal, client=call.client))
        )

    @endpoint("DELETE", "/me", summary="Delete my account", errors=(StepUpRequired, Conflict))
    async def delete_me(self, call: Call, _: Nothing) -> DeletionAnswer:
        """Ends all sessions now; deletes the data after fourteen days, unless cancelled before."""
        deleted_at = await self._deletion.ask(call.principal, client=call.client)
        clear_browser_data(call.request)
        return DeletionAnswer(deleted_at=deleted_at)

    @endpoint("POST", "/me/restore", summary="Cancel the deletion of my account")
    async def restore_me(self, call: Call, _: Nothing) -> UserAnswer:
        return UserAnswer(user=UserView.of(await self._deletion.cancel(call.principal, client=call.client)))
