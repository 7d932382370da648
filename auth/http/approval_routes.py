"""Login approval over HTTP: the device that waits asks and hears; the answer is given on the live socket."""

from auth.approvals import Approvals
from auth.errors import AccountLocked, Conflict, InvalidToken, StepUpRequired
from auth.http.routing import Call, endpoint
from auth.http.schemas import (
    ApprovalAnswer,
    ApprovalRequest,
    ApprovalSettingAnswer,
    ApprovalSettingRequest,
    ApprovalStatusAnswer,
    Nothing,
)

TAG = "Approval"


class ApprovalRoutes:
    """Endpoints of a login that waits for another device, and of whether it may."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    @endpoint(
        "POST",
        "/approvals",
        summary="Ask my other devices about this login",
        tag=TAG,
        public=True,
        body=ApprovalRequest,
        answer=ApprovalAnswer,
        errors=(InvalidToken, AccountLocked, Conflict),
    )
    async def ask_for_approval(self, call: Call, body: ApprovalRequest) -> ApprovalAnswer:
        """Asked again while it waits, the same number is answered and no device is bothered."""
        asked = await self._approvals.ask(body.mfa_token, client=call.client)
        return ApprovalAnswer(number=asked.number, status=asked.status.value, expires_at=asked.expires_at)

    @endpoint(
        "POST",
        "/approvals/status",
        summary="Wait for their answer",
        tag=TAG,
        public=True,
        body=ApprovalRequest,
        answer=ApprovalStatusAnswer,
        errors=(InvalidToken,),
    )
    async def approval_status(self, call: Call, body: ApprovalRequest) -> ApprovalStatusAnswer:
        """Answers at the first change, or after 20 s. One request at a time waits for a login."""
        asked = await self._approvals.wait(body.mfa_token, on_leave=call.on_leave)
        return ApprovalStatusAnswer(status=asked.status.value, expires_at=asked.expires_at)

    @endpoint(
        "GET",
        "/approvals",
        summary="May my devices approve logins",
        tag=TAG,
        answer=ApprovalSettingAnswer,
    )
    async def approval_setting(self, call: Call, _: Nothing) -> ApprovalSettingAnswer:
        return ApprovalSettingAnswer(enabled=await self._approvals.is_allowed(call.principal))

    @endpoint(
        "PUT",
        "/approvals",
        summary="Let my devices approve logins, or not",
        tag=TAG,
        body=ApprovalSettingRequest,
        answer=ApprovalSettingAnswer,
        errors=(StepUpRequired,),
    )
    async def set_approval(self, call: Call, body: ApprovalSettingRequest) -> ApprovalSettingAnswer:
        await self._approvals.allow(call.principal, body.enabled, client=call.client)
        return ApprovalSettingAnswer(enabled=body.enabled)
