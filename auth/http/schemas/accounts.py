"""Request and response schemas for passwords, e-mail addresses and phones."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints

from auth.core import typed_input as typed
from auth.core.views import Counter, Credential, Input, Moment, Text, UserView, View
from auth.factors.proofs import MAX_CODE
from auth.http.schemas.common import CurrentPassword, Email, LoginOptions, NewPassword, RevokedAnswer
from auth.login.phones.numbers import MAX_PHONE_NUMBER


class ForgotPasswordRequest(Input):
    """The address to send the reset link to."""

    email: Email


class ResetPasswordRequest(Input):
    """The token of the mailed link and the new password."""

    token: Credential
    password: NewPassword
    keep_sessions: bool = Field(False, description="Keep live sessions; by default they end.")


class ChangePasswordRequest(Input):
    """The current and the new password."""

    current_password: CurrentPassword | None = Field(
        None, description="Required, except for an account without a password, which must step up instead."
    )
    password: NewPassword
    keep_sessions: bool = Field(False, description="Keep the other sessions; by default they end.")


class ChangeEmailRequest(Input):
    """The new address."""

    email: Email


class ConfirmEmailRequest(Input):
    """The token of one of the two mailed links."""

    token: Credential


class PasswordResetAnswer(RevokedAnswer):
    """The account, the number of ended sessions, and the delivery to their sockets."""

    user: UserView


class EmailConfirmedAnswer(View):
    """The account, and which mailboxes have confirmed; `both`: the address is changed."""

    user: UserView
    confirmed: Literal["old", "new", "both"]


# Parsed in auth/login/phones/numbers.py.
Phone = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_PHONE_NUMBER)]


def _read_code(value: object) -> object:
    return typed.code(value[:MAX_CODE]) if isinstance(value, str) else value


# Six digits, after normalising typed or pasted input.
Otp = Annotated[
    str, StringConstraints(pattern="^[0-9]{6}$", min_length=6, max_length=6), BeforeValidator(_read_code)
]


class SendCodeRequest(Input):
    """The number to send a code to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"phoneNumber": "+31612345678"}]})

    phone_number: Phone = Field(description="With country code: `+31 6 12345678`.")


class VerifyCodeRequest(LoginOptions):
    """The code from the SMS. `deviceName` and `delivery` apply to a login."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"phoneNumber": "+31612345678", "otp": "123456"}]})

    phone_number: Phone
    otp: Otp
    request_id: Credential | None = Field(None, description="The request that the code was sent for.")


class CodeSentAnswer(View):
    """A pending request for a code, whether or not a code was sent."""

    request_id: str = Field(description="Identifies the request; a secret of the requesting client.")
    expires_at: Moment
    resend_after_ms: Counter
