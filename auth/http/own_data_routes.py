"""One's own account over HTTP: its security log, all its data, and its end."""

from typing import Any

from pydantic import Field

from auth.account_deletion import AccountDeletion
from auth.errors import Conflict, StepUpRequired
from auth.http.admin_schemas import BEFORE, Limit, Name
from auth.http.routing import Call, endpoint
from auth.http.schemas import Nothing, RecoveryCodesView, TotpView, UserAnswer
from auth.own_data import OwnData, OwnEvent
from auth.paging import Cursor
from auth.views import DeviceView, LocationView, Moment, Query, UserView, View, omittable

TAG = "Account"

Thing = dict[str, Any]


class SecurityLogQuery(Query):
    """From where on, and how many."""

    before: Name | None = omittable(BEFORE)
    limit: Limit = 50


class OwnEventView(View):
    """Something that was done to the account."""

    id: str
    kind: str = Field(examples=["login", "password_changed", "session_revoked"])
    at: Moment
    ip: str | None
    location: LocationView | None
    device: DeviceView | None
    details: dict[str, str]

    @classmethod
    def of(cls, own: OwnEvent) -> "OwnEventView":
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
    """A page of the security log, the newest first."""

    events: tuple[OwnEventView, ...]
    next: str | None = Field(description="For `before` of the next page; null: this is the last.")


class SecondFactorsExport(View):
    """Which second factors are set up: never their secrets."""

    totp: TotpView | None
    recovery_codes: RecoveryCodesView | None
    login_approval: bool = Field(description="Whether other devices may approve a login.")


class ExportView(View):
    """An account and all its parts, each thing with the fields that are kept of it."""

    exported_at: Moment
    account: Thing = Field(description="Address, phone number, names, roles, and since when each holds.")
    second_factors: SecondFactorsExport
    sessions: tuple[Thing, ...]
    passkeys: tuple[Thing, ...] = Field(description="Names and times; no key.")
    linked_logins: tuple[Thing, ...] = Field(description="Identities at providers.")
    messages: tuple[Thing, ...] = Field(description="Mails and SMS that are still kept; not what they say.")
    security_log: tuple[Thing, ...] = Field(description="The newest first; beyond a thousand, by its own path.")


class ExportAnswer(View):
    """Everything that is kept of the account."""

    export: ExportView


class DeletionAnswer(View):
    """When the data will be gone."""

    deleted_at: Moment


class OwnDataRoutes:
    """Endpoints for a user's own data."""

    def __init__(self, data: OwnData, deletion: AccountDeletion) -> None:
        self._data = data
        self._deletion = deletion

    @endpoint(
        "GET",
        "/me/security-log",
        summary="What was done to my account",
        tag=TAG,
        query=SecurityLogQuery,
        answer=SecurityLogAnswer,
    )
    async def security_log(self, call: Call, query: SecurityLogQuery) -> SecurityLogAnswer:
        before = Cursor.parse(query.before) if query.before else None
        page = await self._data.security_log(call.principal, before=before, limit=query.limit)
        return SecurityLogAnswer(
            events=tuple(map(OwnEventView.of, page.rows)), next=str(page.next) if page.next else None
        )

    @endpoint(
        "GET",
        "/me/export",
        summary="All my data",
        tag=TAG,
        answer=ExportAnswer,
        errors=(StepUpRequired,),
    )
    async def export(self, call: Call, _: Nothing) -> ExportAnswer:
        return ExportAnswer(
            export=ExportView.model_validate(await self._data.export(call.principal, client=call.client))
        )

    @endpoint(
        "DELETE",
        "/me",
        summary="Delete my account",
        tag=TAG,
        answer=DeletionAnswer,
        errors=(StepUpRequired, Conflict),
    )
    async def delete_me(self, call: Call, _: Nothing) -> DeletionAnswer:
        """Every session ends now; the data go after fourteen days, unless it is taken back by then."""
        return DeletionAnswer(deleted_at=await self._deletion.ask(call.principal, client=call.client))

    @endpoint("POST", "/me/restore", summary="Keep my account after all", tag=TAG, answer=UserAnswer)
    async def restore_me(self, call: Call, _: Nothing) -> UserAnswer:
        return UserAnswer(user=UserView.of(await self._deletion.take_back(call.principal, client=call.client)))
