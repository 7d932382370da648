"""Common request and response schemas, the single source for validation and the OpenAPI document.

Schemas check what they can express; rules that need a store or a word list are checked by the operations.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints

from auth.core.text import MAX_NAME
from auth.core.views import (
    ApprovalNumber,
    AsksApproval,
    AssuredView,
    Counter,
    Credential,
    DeliveryView,
    DeviceView,
    Input,
    LocationView,
    LoginView,
    Moment,
    SessionView,
    Text,
    UserView,
    View,
    omittable,
)
from auth.crypto.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from auth.factors.proofs import MAX_PASSWORD, Code, FactorProof, StepUpProof
from auth.login.providers.authorization_request import LOCAL_PATH, MAX_RETURN_TO
from auth.sessions.types import Revoked

# RFC 5321's 254 characters, and surrounding space, which is stripped. Addresses are parsed in auth/core/text.py.
MAX_EMAIL_LENGTH = 270


Email = Annotated[
    Text,
    StringConstraints(min_length=1, max_length=MAX_EMAIL_LENGTH),
    Field(json_schema_extra={"format": "email"}),
]
NewPassword = Annotated[
    Text,
    StringConstraints(min_length=MIN_CHARACTERS, max_length=MAX_CHARACTERS),
    Field(json_schema_extra={"format": "password"}),
]
# Characters are checked in auth/core/text.py; an empty name means none.
Name = Annotated[Text, StringConstraints(max_length=MAX_NAME)]
# Checked only against its hash; today's rules for new passwords do not apply.
CurrentPassword = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_PASSWORD)]

USERNAME_RULE = "3 to 32 letters, digits, dots, dashes or underscores; must start and end with a letter or digit."


class Nothing(Input):
    """No fields."""


class RegisterRequest(Input):
    """A new account."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "ada@example.org", "password": "correct horse battery", "name": "Ada"}]
        }
    )

    email: Email
    password: NewPassword = Field(
        description=f"{MIN_CHARACTERS} to {MAX_CHARACTERS} characters; common passwords are rejected."
    )
    name: Name | None = None
    username: Name | None = Field(None, description=USERNAME_RULE)


class VerifyEmailRequest(Input):
    """The token of the mailed link, and a password if the link is opened in another browser."""

    token: Credential
    password: CurrentPassword | None = Field(None, description="The password chosen at registration.")
    new_password: NewPassword | None = Field(
        None, description="Alternative to `password`; discards everything else from the registration."
    )


class ResendVerificationRequest(Input):
    """The address awaiting confirmation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ada@example.org"}]})

    email: Email


class LoginOptions(Input):
    """Options common to all login methods."""

    device_name: Name | None = Field(None, description="Name of this device; by default derived from the browser.")
    delivery: Literal["body", "cookie", "cookies"] = Field(
        "body",
        description="`body`: both tokens in the response. `cookie`: the refresh token in an HttpOnly cookie. "
        "`cookies`: both in HttpOnly cookies.",
    )


class LoginRequest(LoginOptions):
    """Credentials and login options."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "ada@example.org",
                    "password": "correct horse battery",
                    "deviceName": "Kitchen laptop",
                    "delivery": "cookies",
                }
            ]
        }
    )

    email: Email
    password: CurrentPassword


class RenameDeviceRequest(Input):
    """The new name of a device."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deviceName": "Kitchen laptop"}]})

    device_name: Name | None = Field(description="As at login; null or empty restores the derived name.")


class RefreshRequest(Input):
    """The refresh token, unless it is sent as a cookie."""

    refresh_token: Credential | None = None


class LogoutRequest(Input):
    """The refresh token of the session to end, unless a bearer token or cookie identifies it."""

    refresh_token: Credential | None = None


class ProfileRequest(Input):
    """The fields to change: null clears a field, an omitted field is unchanged."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada Lovelace"}]})

    name: Name | None = None
    username: Name | None = None


class UserAnswer(View):
    """An account."""

    user: UserView


class LoginAnswer(LoginView):
    """A new session and its tokens; no second factor is pending."""

    mfa_required: Literal[False] = False


class CsrfAnswer(View):
    """The value of `X-CSRF-Token` for unsafe requests authenticated by cookie."""

    csrf_token: str | None


class SessionsAnswer(View):
    """The user's live sessions."""

    sessions: tuple[SessionView, ...]
    count: Counter
    version: Counter = Field(description="Number of changes; if a pushed `version` skips a number, list again.")


class SessionAnswer(View):
    """One of the user's live sessions."""

    session: SessionView


class DeliveryAnswer(View):
    """The delivery to the session's sockets."""

    delivery: DeliveryView


class RevokedAnswer(View):
    """The number of ended sessions, and the delivery to their sockets."""

    revoked: Counter
    delivery: DeliveryView

    @classmethod
    def of(cls, revoked: Revoked, **more: Any) -> Self:
        """Build the response; `more`: fields of a subclass."""
        return cls(revoked=revoked.count, delivery=DeliveryView.of(revoked.delivery), **more)


class RemovedFactorsAnswer(RevokedAnswer):
    """The factors removed, those kept as the last login method, and the ended sessions."""

    removed: tuple[str, ...] = Field(examples=[["totp", "passkey"]])
    kept: tuple[str, ...] = Field(examples=[[]])


class Empty(View):
    """An empty object."""


class MessageView(View):
    """A message in the development outbox."""

    to: str
    channel: str
    subject: str
    text: str
    html: str | None = omittable()
    sent_at: Moment


class MfaAnswer(View):
    """The first factor was correct; the login needs a second factor."""

    mfa_required: Literal[True] = True
    mfa_token: str = Field(
        description="Identifies the pending login. Secret, single use, valid until `expiresAt`."
    )
    methods: tuple[str, ...] = Field(examples=[["totp", "recovery_code", "passkey", "approval"]])
    expires_at: Moment


class FinishLoginRequest(FactorProof):
    """A pending login and its second factor."""

    mfa_token: Credential


class StepUpRequest(StepUpProof):
    """A second factor, or `password` if none is set up."""


class TotpView(View):
    """A configured authenticator app."""

    enabled_at: Moment


class RecoveryCodesView(View):
    """The number of unused recovery codes; never the codes."""

    left: Counter


class FactorsAnswer(View):
    """The user's second factors."""

    totp: TotpView | None
    recovery_codes: RecoveryCodesView | None
    passkeys: Counter
    methods: tuple[str, ...] = Field(
        description="Methods that can complete a login now; empty if no second factor is set up.",
        examples=[["totp", "recovery_code"]],
    )


class TotpSetupAnswer(View):
    """A new secret, shown only once; enabled by its first code."""

    secret: str = Field(description="In base32, for manual entry.")
    uri: str = Field(description="`otpauth://…`: opens an authenticator app on the same phone.")
    qr_svg: str = Field(description="The URI as a QR code: an `<svg>` element.")
    expires_at: Moment


class EnableTotpRequest(Input):
    """The app's first code."""

    code: Code


class RecoveryCodesAnswer(View):
    """Ten single-use codes that replace the second factor; shown only once."""

    recovery_codes: tuple[str, ...]


class AssuredAnswer(AssuredView):
    """Until when sensitive operations are allowed without re-authentication."""


class ApprovalRequest(AsksApproval):
    """The pending login."""

    mfa_token: Credential


class ApprovalStatusRequest(Input):
    """The pending login, and the number that is shown on the new device."""

    mfa_token: Credential
    number: ApprovalNumber | None = Field(
        None, description="Answers at once if the number to show is another one by now."
    )


class ApprovalSettingRequest(Input):
    """Whether other devices may approve logins."""

    enabled: bool


class ApprovalAnswer(View):
    """The approval request, after the devices were notified."""

    number: int = Field(description="Number to show on the new device.", examples=[58])
    status: Literal["pending", "approved", "denied", "expired"]
    expires_at: Moment = Field(description="Until when the devices can answer.")


class ApprovalStatusAnswer(ApprovalAnswer):
    """The status of the approval request."""

    retry_after_ms: Counter | None = omittable("After a denial: for how long no approval can be requested.")


class ApprovalSettingAnswer(View):
    """Whether other devices may approve logins."""

    enabled: bool


class NotMeRequest(Input):
    """The token of the mailed link."""

    token: Credential


class ReportedLoginAnswer(View):
    """The login that an alert mail is about."""

    device: DeviceView
    ip: str
    location: LocationView | None
    logged_in_at: Moment
    live: bool = Field(description="Whether the login has not ended yet.")


class UndoRequest(Input):
    """The token of the mailed link."""

    token: Credential


class ProviderView(View):
    """A login provider; its login starts at `/api/auth/oauth/{id}/start`."""

    id: str
    name: str


class ProvidersAnswer(View):
    """The configured providers, and whether phone login is enabled."""

    providers: tuple[ProviderView, ...]
    phone_login: bool = Field(description="Whether SMS codes can be sent.")


class LinkRequest(Input):
    """The page to return to after linking."""

    return_to: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_RETURN_TO)] | None = Field(
        None,
        description="A path of this site, such as `/settings`.",
        examples=["/settings"],
        json_schema_extra={"pattern": f"^{LOCAL_PATH}$"},
    )


class LinkAnswer(View):
    """The provider's URL to open in this browser."""

    url: str
    expires_at: Moment


class IdentityView(View):
    """A provider account linked to this account."""

    id: str
    provider: str
    label: str = Field(description="The address or name of the provider account.")
    linked_at: Moment
    last_used_at: Moment


class IdentitiesAnswer(View):
    """All provider accounts linked to this account."""

    identities: tuple[IdentityView, ...]


class Problem(View):
    """The body of every error response."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[False]
    code: str = Field(description="Stable error code, for programs.")
    message: str = Field(description="Human-readable message.")
    request_id: str = Field(description="Also in the X-Request-Id header and in the server's log.")
    errors: tuple["ProblemField", ...] | None = omittable("The invalid fields, if any.")
    acr: str | None = omittable("With `step_up_required`: the required authentication context (RFC 9470).")
    max_age: Counter | None = omittable("With `step_up_required`: maximum age of the authentication, in seconds.")
    methods: tuple[str, ...] | None = omittable("With `step_up_required`: methods the caller can use.")


class ProblemField(View):
    """An invalid field."""

    field: str
    message: str
