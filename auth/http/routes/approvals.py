"""Login approval endpoints: the new device requests approval and polls for it; devices answer by socket."""

from auth.alerts.approvals import Approvals
from auth.core.errors import AccountLocked, Conflict, InvalidToken, StepUpRequired
from auth.core.views import as_ms
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import (
    ApprovalAnswer,
    ApprovalRequest,
    ApprovalSettingAnswer,
    ApprovalSettingRequest,
    ApprovalStatusAnswer,
    ApprovalStatusRequest,
    Nothing,
)


class ApprovalRoutes:
    """Endpoints to request a login approval, and for the setting that allows approvals."""

    tag = "Approval"

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    @endpoint(
        "POST",
        "/approvals",
        summary="Ask my other devices about this login",
        public=True,
        errors=(InvalidToken, AccountLocked, Conflict),
    )
    async def ask_for_approval(self, call: Call, body: ApprovalRequest) -> ApprovalAnswer:
        """Idempotent while pending: returns the same number and does not notify the devices again."""
        approval = await self._approvals.ask(body.mfa_token, can_renumber=body.can_renumber, client=call.client)
        return ApprovalAnswer(number=approval.number, status=approval.status.value, expires_at=approval.expires_at)

    @endpoint(
        "POST", "/approvals/status", summary="Wait for the approval status", public=True, errors=(InvalidToken,)
    )
    async def approval_status(self, call: Call, body: ApprovalStatusRequest) -> ApprovalStatusAnswer:
        """Long poll: responds when the status or the number changes, or after 20 s. One request at a time per
        login.
        """
        approval = await self._approvals.wait(body.mfa_token, shown=body.number, on_leave=call.on_disconnect)
        return ApprovalStatusAnswer(
            number=approval.number,
            status=approval.status.value,
            expires_at=approval.expires_at,
            retry_after_ms=as_ms(approval.off_for),
        )

    @endpoint("GET", "/approvals", summary="Get whether my devices may approve logins")
    async def approval_setting(self, call: Call, _: Nothing) -> ApprovalSettingAnswer:
        return ApprovalSettingAnswer(enabled=await self._approvals.is_allowed(call.principal))

    @endpoint("PUT", "/approvals", summary="Set whether my devices may approve logins", errors=(StepUpRequired,))
    async def set_approval(self, call: Call, body: ApprovalSettingRequest) -> ApprovalSettingAnswer:
        await self._approvals.allow(call.principal, body.enabled, client=call.client)
        return ApprovalSettingAnswer(enabled=body.enabled)
