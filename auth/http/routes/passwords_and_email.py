"""Endpoints to reset and change the password, and to change the e-mail address."""

from auth.accounts.email_change import EmailChange
from auth.accounts.password_change import PasswordChange
from auth.accounts.password_reset import PasswordReset
from auth.core.errors import InvalidCredentials, InvalidToken, StepUpRequired
from auth.core.views import UserView
from auth.http.routing import Call, endpoint
from auth.http.schemas.accounts import (
    ChangeEmailRequest,
    ChangePasswordRequest,
    ConfirmEmailRequest,
    EmailConfirmedAnswer,
    ForgotPasswordRequest,
    PasswordResetAnswer,
    ResetPasswordRequest,
)
from auth.http.schemas.common import Empty, Nothing, RevokedAnswer


class CredentialRoutes:
    """Endpoints for passwords and e-mail addresses."""

    tag = "Account"

    def __init__(self, change: PasswordChange, reset: PasswordReset, email_change: EmailChange) -> None:
        self._change = change
        self._reset = reset
        self._email_change = email_change

    @endpoint(
        "POST",
        "/password/forgot",
        summary="Send a password reset link",
        public=True,
        status=202,
        message="If there is such an account, an e-mail with a link has been sent.",
    )
    async def forgot_password(self, call: Call, body: ForgotPasswordRequest) -> Empty:
        """Respond identically whether or not the address is registered."""
        await self._reset.ask(body.email, client=call.client)
        return Empty()

    @endpoint(
        "POST",
        "/password/reset",
        summary="Set a new password with the mailed link",
        public=True,
        errors=(InvalidToken,),
    )
    async def reset_password(self, call: Call, body: ResetPasswordRequest) -> PasswordResetAnswer:
        """Does not log in. Ends the user's sessions unless `keepSessions` is set."""
        user, revoked = await self._reset.reset(
            body.token, password=body.password, keep_sessions=body.keep_sessions, client=call.client
        )
        return PasswordResetAnswer.of(revoked, user=UserView.of(user))

    @endpoint(
        "POST", "/password/change", summary="Change my password", errors=(InvalidCredentials, StepUpRequired)
    )
    async def change_password(self, call: Call, body: ChangePasswordRequest) -> RevokedAnswer:
        """Ends the other sessions unless `keepSessions` is set."""
        revoked = await self._change.change(
            call.principal,
            current_password=body.current_password,
            password=body.password,
            keep_sessions=body.keep_sessions,
            client=call.client,
        )
        return RevokedAnswer.of(revoked)

    @endpoint(
        "POST",
        "/email/change",
        summary="Change my e-mail address",
        status=202,
        message="Open the links in both mailboxes within an hour.",
        errors=(StepUpRequired,),
    )
    async def change_email(self, call: Call, body: ChangeEmailRequest) -> Empty:
        """Respond identically whether or not the new address is already in use."""
        await self._email_change.ask(call.principal, body.email, client=call.client)
        return Empty()

    @endpoint("DELETE", "/email/change", summary="Cancel the change of my e-mail address")
    async def cancel_email_change(self, call: Call, _: Nothing) -> Empty:
        """The mailed links become invalid. Idempotent."""
        await self._email_change.cancel(call.principal, client=call.client)
        return Empty()

    @endpoint(
        "POST",
        "/email/confirm",
        summary="Confirm a change of address from one mailbox",
        public=True,
        errors=(InvalidToken,),
    )
    async def confirm_email(self, call: Call, body: ConfirmEmailRequest) -> EmailConfirmedAnswer:
        user, side = await self._email_change.confirm(body.token, client=call.client)
        return EmailConfirmedAnswer(user=UserView.of(user), confirmed=side.value)
