"""What HTTP takes and gives around passwords, addresses and phones."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from auth.http.schemas import Email, LoginOptions, NewPassword, RevokedAnswer
from auth.phone_numbers import MAX_PHONE_NUMBER
from auth.views import Counter, Credential, Input, Moment, Text, UserView, View

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


# What a number is, auth/phone_numbers.py says.
Phone = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_PHONE_NUMBER)]


class SendCodeRequest(Input):
    """The number that a code is to be sent to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"phoneNumber": "+31612345678"}]})

    phone_number: Phone = Field(description="With its country: `+31 6 12345678`.")


class VerifyCodeRequest(LoginOptions):
    """The code that came by SMS; `deviceName` and `delivery` are for a login."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"phoneNumber": "+31612345678", "otp": "123456"}]})

    phone_number: Phone
    otp: Annotated[Text, StringConstraints(pattern="^[0-9]{6}$", min_length=6, max_length=6)]
    request_id: Credential | None = Field(None, description="The request that the code was sent for.")


class CodeSentAnswer(View):
    """A request that waits for its code, whether or not one was sent."""

    request_id: str = Field(description="Stands for the request; a secret of who asked.")
    expires_at: Moment
    resend_after_ms: Counter
