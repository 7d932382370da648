"""Messages of login approval: to the devices that are asked, from them, and to the login that waits."""

from typing import Literal, Self

from pydantic import Field, model_validator

from auth.core.views import (
    ApprovalNumber,
    AsksApproval,
    Counter,
    Credential,
    DeliveryView,
    DeviceView,
    Input,
    LocationView,
    Moment,
    View,
    omittable,
)

TRY_AGAIN = "A wrong number was chosen: a request with new numbers follows."


class LoginApprovalRequested(View):
    """A login waits for this user's approval; the new device shows one of the numbers. Acknowledge it."""

    event_id: Counter
    approval_id: str
    device: DeviceView = Field(description="The new device, as described by itself.")
    location: LocationView | None
    ip: str
    numbers: tuple[int, ...] = Field(min_length=3, max_length=3, examples=[[17, 58, 93]])
    expires_at: Moment
    after_wrong_number: Literal[True] | None = omittable(
        "A wrong number was chosen. The new device shows another one; a second wrong number denies the login."
    )


class LoginApprovalClosed(View):
    """An approval request was answered, on any device. Unanswered requests end at their `expiresAt`."""

    event_id: Counter
    approval_id: str
    status: Literal["approved", "denied"]
    try_again: Literal[True] | None = omittable(TRY_AGAIN)


class LoginApprovalNumber(View):
    """Another number to show, because a wrong one was chosen. Sent to the socket of a waiting login that asked
    with `canRenumber`.
    """

    number: int = Field(examples=[58])
    expires_at: Moment


class LoginApprovalResult(View):
    """The answer of the user's devices, sent to the waiting login's socket. If approved, send `mfa-verify`."""

    status: Literal["approved", "denied"]
    retry_after_ms: Counter | None = omittable("After a denial: for how long no approval can be requested.")


class LoginApprovalAnswer(Input):
    """Approve a login with the number shown on the new device, or deny it.

    A wrong number ends the request; there may be one more with new numbers.
    """

    approval_id: Credential
    number: ApprovalNumber | None = None
    deny: Literal[True] | None = None
    end_all: bool = Field(
        False, description="With `deny`: end all sessions, this one too, even if the request is already closed."
    )

    @model_validator(mode="after")
    def _is_one_answer(self) -> Self:
        if (self.number is None) is (self.deny is None):
            raise ValueError("give either number or deny")
        if self.end_all and self.deny is None:
            raise ValueError("endAll requires deny")
        return self


class ApprovalRequest(AsksApproval):
    """Ask the user's devices to approve the login that waits on this socket."""


class ApprovalRequested(View):
    """The devices were asked. Repeated requests get the same answer while the first is pending."""

    number: int = Field(description="The number to show on the new device.", examples=[58])
    status: Literal["pending", "approved", "denied", "expired"]
    expires_at: Moment


class LoginApprovalAnswered(View):
    """The resulting status and, with `endAll`, the ended sessions and the delivery of their revocation."""

    status: Literal["approved", "denied"]
    try_again: Literal[True] | None = omittable(TRY_AGAIN)
    revoked: Counter | None = omittable()
    delivery: DeliveryView | None = omittable()
