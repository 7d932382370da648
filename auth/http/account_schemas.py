"""What HTTP takes and gives around passwords and addresses."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from auth.http.schemas import Email, NewPassword, RevokedAnswer
from auth.views import Credential, Input, Text, UserView, View

# An old password is judged by its hash alone, whatever the rules are today.
CurrentPassword = Annotated[Text, StringConstraints(min_length=1, max_length=1024)]


class ForgotPasswordRequest(Input):
    """The address that the link is to be mailed to."""

    email: Email


class ResetPasswordRequest(Input):
    """The token of the mailed link and the new password."""

    token: Credential
    password: NewPassword
    keep_sessions: bool = Field(False, description="Leave the sessions that are live; they end otherwise.")


class ChangePasswordRequest(Input):
    """The password in force and the new one."""

    current_password: CurrentPassword | None = Field(
        None, description="Left out alone by an account that has none yet, which steps up instead."
    )
    password: NewPassword
    keep_sessions: bool = Field(False, description="Leave the other sessions; they end otherwise.")


class ChangeEmailRequest(Input):
    """The address to move to."""

    email: Email


class ConfirmEmailRequest(Input):
    """The token of one of the two mailed links."""

    token: Credential


class PasswordResetAnswer(RevokedAnswer):
    """The account, the sessions that ended, and what became of their sockets."""

    user: UserView


class EmailConfirmedAnswer(View):
    """The account, and which mailbox has confirmed; `both`: the address is changed."""

    user: UserView
    confirmed: Literal["old", "new", "both"]
