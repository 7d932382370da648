"""Passwords and addresses: forget, reset and change one's password, move to another address."""

from auth.email_change import EmailChange
from auth.errors import InvalidCredentials, InvalidToken, StepUpRequired
from auth.http.account_schemas import (
    ChangeEmailRequest,
    ChangePasswordRequest,
    ConfirmEmailRequest,
    EmailConfirmedAnswer,
    ForgotPasswordRequest,
    PasswordResetAnswer,
    ResetPasswordRequest,
)
from auth.http.routing import Call, endpoint
from auth.http.schemas import Empty, RevokedAnswer
from auth.password_change import PasswordChange
from auth.password_reset import PasswordReset
from auth.views import DeliveryView, UserView

TAG = "Account"


class CredentialRoutes:
    """Endpoints that change how somebody is known and how they get in."""

    def __init__(self, change: PasswordChange, reset: PasswordReset, email_change: EmailChange) -> None:
        self._change = change
        self._reset = reset
        self._email_change = email_change

    @endpoint(
        "POST",
        "/password/forgot",
        summary="Mail me a link for a new password",
        tag=TAG,
        public=True,
        body=ForgotPasswordRequest,
        answer=Empty,
        status=202,
        message="If there is such an account, a mail with a link is on its way.",
    )
    async def forgot_password(self, call: Call, body: ForgotPasswordRequest) -> Empty:
        """The answer is the same whether or not the address is known."""
        await self._reset.ask(body.email, client=call.client)
        return Empty()

    @endpoint(
        "POST",
        "/password/reset",
        summary="Set a new password with the mailed link",
        tag=TAG,
        public=True,
        body=ResetPasswordRequest,
        answer=PasswordResetAnswer,
        errors=(InvalidToken,),
    )
    async def reset_password(self, call: Call, body: ResetPasswordRequest) -> PasswordResetAnswer:
        """Logs nobody in. The user's sessions end unless they are to be kept."""
        user, revoked = await self._reset.reset(
            body.token, password=body.password, keep_sessions=body.keep_sessions, client=call.client
        )
        return PasswordResetAnswer(
            user=UserView.of(user), revoked=revoked.count, delivery=DeliveryView.of(revoked.delivery)
        )

    @endpoint(
        "POST",
        "/password/change",
        summary="Change my password",
        tag=TAG,
        body=ChangePasswordRequest,
        answer=RevokedAnswer,
        errors=(InvalidCredentials, StepUpRequired),
    )
    async def change_password(self, call: Call, body: ChangePasswordRequest) -> RevokedAnswer:
        """The other sessions end unless they are to be kept."""
        revoked = await self._change.change(
            call.principal,
            current_password=body.current_password,
            password=body.password,
            keep_sessions=body.keep_sessions,
            client=call.client,
        )
        return RevokedAnswer(revoked=revoked.count, delivery=DeliveryView.of(revoked.delivery))

    @endpoint(
        "POST",
        "/email/change",
        summary="Move to another e-mail address",
        tag=TAG,
        body=ChangeEmailRequest,
        answer=Empty,
        status=202,
        message="Follow the links in both mailboxes within an hour.",
        errors=(StepUpRequired,),
    )
    async def change_email(self, call: Call, body: ChangeEmailRequest) -> Empty:
        """The answer is the same whether or not the new address is somebody's already."""
        await self._email_change.ask(call.principal, body.email, client=call.client)
        return Empty()

    @endpoint(
        "POST",
        "/email/confirm",
        summary="Confirm a change of address in one mailbox",
        tag=TAG,
        public=True,
        body=ConfirmEmailRequest,
        answer=EmailConfirmedAnswer,
        errors=(InvalidToken,),
    )
    async def confirm_email(self, call: Call, body: ConfirmEmailRequest) -> EmailConfirmedAnswer:
        user, side = await self._email_change.confirm(body.token, client=call.client)
        return EmailConfirmedAnswer(user=UserView.of(user), confirmed=side.value)
