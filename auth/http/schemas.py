"""What HTTP takes and gives: the one source for validation and for the OpenAPI document.

Rules that a schema can say are said here; rules that need a store or a word list are the operations'.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from auth.oauth.flow import LOCAL_PATH, MAX_RETURN_TO
from auth.proofs import Code, FactorProof, StepUpProof
from auth.views import (
    AssuredView,
    Counter,
    Credential,
    DeliveryView,
    Input,
    LoginView,
    Moment,
    SessionView,
    Text,
    UserView,
    View,
    omittable,
)

# Room for RFC 5321's 254 and for space around it, which is forgiven. What an address is, auth/accounts.py says.
MAX_EMAIL_LENGTH = 270

# NIST SP 800-63B, 5.1.1.2: at least 8 characters, and long ones are welcome; the upper bound is ours.
MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 128

Email = Annotated[
    Text,
    StringConstraints(min_length=1, max_length=MAX_EMAIL_LENGTH),
    Field(json_schema_extra={"format": "email"}),
]
NewPassword = Annotated[
    Text,
    StringConstraints(min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH),
    Field(json_schema_extra={"format": "password"}),
]
# What names may be made of, auth/accounts.py says; an empty one is none.
Name = Annotated[Text, StringConstraints(max_length=100)]

USERNAME_RULE = "3 to 32 letters, digits, dots, dashes or underscores; letters or digits at both ends."


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
    password: NewPassword = Field(description="8 to 128 characters; commonly used ones are refused.")
    name: Name | None = None
    username: Name | None = Field(None, description=USERNAME_RULE)


class VerifyEmailRequest(Input):
    """The token of the mailed link."""

    token: Credential


class ResendVerificationRequest(Input):
    """The address that waits for its mail."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ada@example.org"}]})

    email: Email


class LoginOptions(Input):
    """What every way in takes besides its proof."""

    device_name: Name | None = Field(
        None, description="What to call this device; else it is named for its browser."
    )
    delivery: Literal["body", "cookie", "cookies"] = Field(
        "body",
        description="`body`: both tokens in the answer. `cookie`: the refresh token in an HttpOnly cookie. "
        "`cookies`: both in HttpOnly cookies.",
    )


class LoginRequest(LoginOptions):
    """Credentials and how the tokens shall travel."""

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
    password: Annotated[Text, StringConstraints(min_length=1, max_length=1024)]


class RefreshRequest(Input):
    """The refresh token, unless it comes as a cookie."""

    refresh_token: Credential | None = None


class LogoutRequest(Input):
    """The refresh token of the session to end, unless bearer or cookie say it."""

    refresh_token: Credential | None = None


class ProfileRequest(Input):
    """The fields to change; null clears one, a field left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada Lovelace"}]})

    name: Name | None = None
    username: Name | None = None


class UserAnswer(View):
    """An account."""

    user: UserView


class LoginAnswer(LoginView):
    """A new session and its tokens."""


class SessionsAnswer(View):
    """The user's live sessions."""

    sessions: tuple[SessionView, ...]
    count: Counter
    version: Counter = Field(description="Counts changes; a gap to a pushed `version` means: list again.")


class DeliveryAnswer(View):
    """What became of the session's sockets."""

    delivery: DeliveryView


class RevokedAnswer(View):
    """How many sessions ended, and what became of their sockets."""

    revoked: Counter
    delivery: DeliveryView


class Empty(View):
    """Nothing more to say."""


class MessageView(View):
    """A mail in the development outbox."""

    to: str
    channel: str
    subject: str
    text: str
    html: str | None = omittable()
    sent_at: Moment


class MfaAnswer(View):
    """The first factor was right; the login waits for a second one."""

    mfa_required: Literal[True] = True
    mfa_token: str = Field(description="Stands for the waiting login; a secret, good once, for `expiresAt`.")
    methods: tuple[str, ...] = Field(examples=[["totp", "recovery_code", "passkey", "approval"]])
    expires_at: Moment


class FinishLoginRequest(FactorProof):
    """A waiting login and its second factor."""

    mfa_token: Credential


class StepUpRequest(StepUpProof):
    """A proof: `password` where no second factor is set up."""


class TotpView(View):
    """An authenticator app that is set up."""

    enabled_at: Moment


class RecoveryCodesView(View):
    """Recovery codes: never themselves, only how many are left."""

    left: Counter


class FactorsAnswer(View):
    """The user's second factors."""

    totp: TotpView | None
    recovery_codes: RecoveryCodesView | None
    passkeys: Counter
    methods: tuple[str, ...] = Field(
        description="By which a login could be finished now; none: no second factor is set up.",
        examples=[["totp", "recovery_code"]],
    )


class TotpSetupAnswer(View):
    """A secret that waits for its first code, shown this once."""

    secret: str = Field(description="In base32, to be typed where the QR code cannot be read.")
    uri: str = Field(description="`otpauth://…`: opens the authenticator app on the same phone.")
    qr_svg: str = Field(description="The same as a QR code: an `<svg>` element.")
    expires_at: Moment


class EnableTotpRequest(Input):
    """The first code that the app shows."""

    code: Code


class RecoveryCodesAnswer(View):
    """Ten codes, each good once in place of the second factor; shown this once."""

    recovery_codes: tuple[str, ...]


class AssuredAnswer(AssuredView):
    """Until when sensitive operations are served without another proof."""


class ApprovalRequest(Input):
    """The waiting login."""

    mfa_token: Credential


class ApprovalSettingRequest(Input):
    """Whether logins may be approved on another device."""

    enabled: bool


class ApprovalStatusAnswer(View):
    """What became of the request so far."""

    status: Literal["pending", "approved", "denied", "expired"]
    expires_at: Moment = Field(description="Until when the devices may answer.")


class ApprovalAnswer(ApprovalStatusAnswer):
    """The devices were asked."""

    number: int = Field(description="To be shown on the new device.", examples=[58])


class ApprovalSettingAnswer(View):
    """Whether logins may be approved on another device."""

    enabled: bool


class NotMeRequest(Input):
    """The token of the mailed link."""

    token: Credential


class ProviderView(View):
    """A provider to log in by, at `/api/auth/oauth/{id}/start`."""

    id: str
    name: str


class ProvidersAnswer(View):
    """Every provider that is set up, and whether a phone logs in here too."""

    providers: tuple[ProviderView, ...]
    phone_login: bool = Field(description="Whether codes by SMS can be sent.")


class LinkRequest(Input):
    """Where to end when the provider is linked."""

    return_to: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_RETURN_TO)] | None = Field(
        None,
        description="A path of this site, such as `/settings`; no other.",
        examples=["/settings"],
        json_schema_extra={"pattern": f"^{LOCAL_PATH}$"},
    )


class LinkAnswer(View):
    """Where to go in this browser, to prove at the provider who one is."""

    url: str
    expires_at: Moment


class IdentityView(View):
    """A provider's account that is linked to this one."""

    id: str
    provider: str
    label: str = Field(description="What the provider calls its owner: an address or a name.")
    linked_at: Moment
    last_used_at: Moment


class IdentitiesAnswer(View):
    """Every provider's account that is linked to this one."""

    identities: tuple[IdentityView, ...]


class Problem(View):
    """Every failure looks like this."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[False]
    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="For people.")
    request_id: str = Field(description="Also in the X-Request-Id header and in the server's log.")
    errors: tuple["ProblemField", ...] = Field((), description="Which field is wrong, if one is.")
    acr: str | None = omittable("With `step_up_required`: what kind of proof is asked for (RFC 9470).")
    max_age: Counter | None = omittable("With `step_up_required`: how many seconds old it may be.")
    methods: tuple[str, ...] | None = omittable("With `step_up_required`: by which the caller can give it.")


class ProblemField(View):
    """One wrong field."""

    field: str
    message: str
