"""Every message of the live socket: names, payloads, acks. The source of the AsyncAPI document.

The handlers validate and answer with these models and nothing else, so the document cannot drift from
what the server does.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from auth.errors import AuthError, StepUpRequired
from auth.models import Actor, RevocationReason
from auth.proofs import FactorProof, StepUpProof
from auth.views import (
    AssuredView,
    Counter,
    Credential,
    DeliveryView,
    DeviceView,
    Input,
    LocationView,
    LoginView,
    Moment,
    RefreshedView,
    SessionView,
    Text,
    View,
    omittable,
)

PROTOCOL_VERSION = 1

# How long a client may take to acknowledge `session-revoked` before it is disconnected anyway.
REVOCATION_ACK_SECONDS = 1.0


class ServerEvent(StrEnum):
    """Events that the server sends."""

    READY = "ready"
    TOKEN_EXPIRING = "token-expiring"  # noqa: S105 - an event's name
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - an event's name
    SESSION_REVOKED = "session-revoked"
    SESSIONS_CHANGED = "sessions-changed"
    DEVICE_STATUS = "device-status"
    SECURITY_ALERT = "security-alert"
    ROLES_CHANGED = "roles-changed"
    DRAINING = "draining"
    LOGIN_APPROVAL_REQUESTED = "login-approval-requested"
    LOGIN_APPROVAL_CLOSED = "login-approval-closed"
    LOGIN_APPROVAL_RESULT = "login-approval-result"
    MFA_REQUIRED = "mfa-required"
    MFA_CLOSED = "mfa-closed"


class ClientEvent(StrEnum):
    """Events that a client sends; each takes an ack."""

    REAUTHENTICATE = "reauthenticate"
    REFRESH = "refresh"
    SESSIONS_LIST = "sessions-list"
    SESSION_REVOKE = "session-revoke"
    SESSIONS_REVOKE_OTHERS = "sessions-revoke-others"
    LOGIN_APPROVAL_ANSWER = "login-approval-answer"
    ALERT_NOT_ME = "alert-not-me"
    APPROVAL_REQUEST = "approval-request"
    STEP_UP = "step-up"
    STEP_UP_PASSKEY_OPTIONS = "step-up-passkey-options"
    MFA_PASSKEY_OPTIONS = "mfa-passkey-options"
    MFA_VERIFY = "mfa-verify"


# Why a socket that waited for a second factor was closed.
MfaClosedCode = Literal["timeout", "too_many_tries", "invalid_token"]

# While a socket's token is expired only these are served.
SERVED_IN_GRACE = frozenset({ClientEvent.REAUTHENTICATE, ClientEvent.REFRESH})


class Handshake(Input):
    """`auth` of the connection: `token`, which may come in the access cookie instead, or `mfaToken`."""

    token: Text | None = Field(None, description="An access token; absent when it comes as a cookie.")
    last_event_id: Counter | None = Field(
        None, description="The greatest `eventId` seen: what came after it is sent again."
    )
    mfa_token: Credential | None = Field(
        None, description="Of a login that waits for its second factor, which this socket can finish."
    )


class ConnectRefusal(View):
    """`data` of the `connect_error`."""

    code: str = Field(description="A code of section 1.", examples=["token_expired"])
    retryable: bool = Field(description="Whether the same credentials may succeed later.")
    retry_after_ms: Counter | None = omittable("How long to wait before that.")

    @classmethod
    def of(cls, error: AuthError) -> Self:
        return cls(code=error.code, retryable=error.retryable, retry_after_ms=_retry_after_ms(error))


class Ready(View):
    """The first event on every connection."""

    protocol: Literal[1] = Field(description="Version of this protocol.")
    user_id: str
    session_id: str
    socket_id: str
    access_token_expires_at: Moment
    grace_ms: Counter = Field(description="How long the socket outlives its token.")
    server_time: Moment
    last_event_id: Counter | None = Field(
        description="The newest event of this user; null while the event log cannot be read."
    )
    recovered: bool = Field(description="True: what was missed follows, in order. False: list the sessions again.")


class TokenExpiring(View):
    """The access token expires soon: take a new one and re-authenticate."""

    expires_at: Moment
    expires_in_ms: Counter
    grace_ms: Counter


class TokenExpired(View):
    """Only `reauthenticate` and `refresh` are served until the grace ends; then the server disconnects."""

    grace_ends_at: Moment


class By(View):
    """Who ended a session."""

    kind: Literal["user", "admin", "system"]
    session_id: str | None = omittable("The session from which a user did it.")

    @classmethod
    def of(cls, actor: Actor) -> Self:
        """An administrator's own session is nobody else's business."""
        return cls(kind=actor.kind, session_id=actor.session_id if actor.kind == "user" else None)


class SessionRevoked(View):
    """This session was ended. Acknowledge; the server disconnects after the ack or 1 s."""

    event_id: Counter
    session_id: str
    reason: RevocationReason
    at: Moment
    by: By


class SessionsChanged(View):
    """The list of devices changed. A gap in `version` means: list again."""

    event_id: Counter
    version: Counter
    change: Literal["created", "updated", "removed"]
    session: SessionView


class DeviceStatus(View):
    """A device of this user came online or went offline."""

    event_id: Counter
    session_id: str
    online: bool
    sockets: Counter
    last_seen_at: Moment


class SecurityAlert(View):
    """Something the user should know of."""

    event_id: Counter
    kind: str = Field(examples=["new_device", "new_country", "refresh_reused"])
    session: SessionView
    at: Moment


class RolesChanged(View):
    """An administrator changed what this user may do; the socket acts by these roles from now on."""

    event_id: Counter
    roles: tuple[str, ...]
    version: Counter = Field(description="Grows with each change of this user's roles.")


class Draining(View):
    """The node is about to stop: connect again after this time."""

    reconnect_after_ms: Counter


class LoginApprovalRequested(View):
    """A login waits for this user's word: the new device shows one of the numbers. Acknowledge."""

    event_id: Counter
    approval_id: str
    device: DeviceView = Field(description="What the new device says it is.")
    location: LocationView | None
    ip: str
    numbers: tuple[int, ...] = Field(min_length=3, max_length=3, examples=[[17, 58, 93]])
    expires_at: Moment


class LoginApprovalClosed(View):
    """A request was answered, here or elsewhere. One that nobody answers is over at its `expiresAt`."""

    event_id: Counter
    approval_id: str
    status: Literal["approved", "denied"]


class MfaRequired(View):
    """The first event on a socket whose login waits: answer with `mfa-verify`."""

    methods: tuple[str, ...] = Field(examples=[["totp", "recovery_code", "passkey", "approval"]])
    deadline_ms: Counter = Field(description="How long the socket waits.")


class MfaClosed(View):
    """The socket waits no more, and is disconnected."""

    code: MfaClosedCode


class LoginApprovalResult(View):
    """To the socket of a login that waits: what the user's devices said. Once approved, send `mfa-verify`."""

    status: Literal["approved", "denied"]


class Reauthenticate(Input):
    """A new access token for the same user and the same session."""

    token: Credential


class Refresh(Input):
    """The refresh token of the socket's own session."""

    refresh_token: Credential


class SessionsList(Input):
    """Nothing."""


class SessionRevoke(Input):
    """The session to end."""

    session_id: Credential


class SessionsRevokeOthers(Input):
    """Nothing."""


class LoginApprovalAnswer(Input):
    """Approve a login by the number that the new device shows, or deny it; a wrong number denies it too."""

    approval_id: Credential
    number: Annotated[int, Field(ge=0, le=99)] | None = None
    deny: Literal[True] | None = None
    end_all: bool = Field(
        False, description="With `deny`: end every session, this one too, also when the request waits no more."
    )

    @model_validator(mode="after")
    def _is_one_answer(self) -> Self:
        if (self.number is None) is (self.deny is None):
            raise ValueError("give either number or deny")
        if self.end_all and self.deny is None:
            raise ValueError("endAll goes with deny")
        return self


class AlertNotMe(Input):
    """The session that was not the user's."""

    session_id: Credential


class ApprovalRequest(Input):
    """Ask the user's devices about the login that this socket waits with. No fields."""


class ApprovalRequested(View):
    """The devices were asked; asked again while it waits, the same is answered."""

    number: int = Field(description="To be shown on the new device.", examples=[58])
    status: Literal["pending", "approved", "denied", "expired"]
    expires_at: Moment


class LoginApprovalAnswered(View):
    """What the answer came to, and with `endAll` what became of the sessions."""

    status: Literal["approved", "denied"]
    revoked: Counter | None = omittable()
    delivery: DeliveryView | None = omittable()


class MfaVerify(FactorProof):
    """The second factor of the login that this socket waits with."""


class StepUp(StepUpProof):
    """A proof on the socket's session, for what is sensitive: `password` where no second factor is set up."""


class PasskeyOptions(Input):
    """Nothing."""


class PasskeyOptionsDone(View):
    """What the browser's WebAuthn call takes, as JSON."""

    options: dict[str, Any]


class MfaVerified(LoginView):
    """The login is whole; `ready` follows, and the socket is live."""


class StepUpDone(AssuredView):
    """Until when sensitive operations are served without another proof."""


class Reauthenticated(View):
    """The socket now lives as long as this token, under its old id and in its old rooms."""

    access_token_expires_at: Moment


class SessionsListed(View):
    """The user's live sessions."""

    sessions: tuple[SessionView, ...]
    version: Counter


class SessionRevokeDone(View):
    """What became of the session's sockets."""

    delivery: DeliveryView


class SessionsRevokeOthersDone(View):
    """How many sessions ended and what became of their sockets."""

    revoked: Counter
    delivery: DeliveryView


class Refusal(View):
    """The ack of an event that was not served."""

    ok: Literal[False] = False
    code: str = Field(examples=["invalid_request"])
    message: str
    retry_after_ms: Counter | None = omittable()
    acr: str | None = omittable("With `step_up_required`: what kind of proof is asked for (RFC 9470).")
    max_age: Counter | None = omittable("With `step_up_required`: how many seconds old it may be.")
    methods: tuple[str, ...] | None = omittable("With `step_up_required`: by which the caller can give it.")

    @classmethod
    def of(cls, error: AuthError) -> Self:
        asked = error if isinstance(error, StepUpRequired) else None
        return cls(
            code=error.code,
            message=error.message,
            retry_after_ms=_retry_after_ms(error),
            acr=asked.acr if asked else None,
            max_age=asked.max_age if asked else None,
            methods=asked.methods if asked else None,
        )


SERVER_EVENTS: dict[str, type[BaseModel]] = {
    ServerEvent.READY: Ready,
    ServerEvent.TOKEN_EXPIRING: TokenExpiring,
    ServerEvent.TOKEN_EXPIRED: TokenExpired,
    ServerEvent.SESSION_REVOKED: SessionRevoked,
    ServerEvent.SESSIONS_CHANGED: SessionsChanged,
    ServerEvent.DEVICE_STATUS: DeviceStatus,
    ServerEvent.SECURITY_ALERT: SecurityAlert,
    ServerEvent.ROLES_CHANGED: RolesChanged,
    ServerEvent.DRAINING: Draining,
    ServerEvent.LOGIN_APPROVAL_REQUESTED: LoginApprovalRequested,
    ServerEvent.LOGIN_APPROVAL_CLOSED: LoginApprovalClosed,
    ServerEvent.LOGIN_APPROVAL_RESULT: LoginApprovalResult,
    ServerEvent.MFA_REQUIRED: MfaRequired,
    ServerEvent.MFA_CLOSED: MfaClosed,
}

# Payload of the event, data of its ack.
CLIENT_EVENTS: dict[str, tuple[type[BaseModel], type[BaseModel]]] = {
    ClientEvent.REAUTHENTICATE: (Reauthenticate, Reauthenticated),
    ClientEvent.REFRESH: (Refresh, RefreshedView),
    ClientEvent.SESSIONS_LIST: (SessionsList, SessionsListed),
    ClientEvent.SESSION_REVOKE: (SessionRevoke, SessionRevokeDone),
    ClientEvent.SESSIONS_REVOKE_OTHERS: (SessionsRevokeOthers, SessionsRevokeOthersDone),
    ClientEvent.LOGIN_APPROVAL_ANSWER: (LoginApprovalAnswer, LoginApprovalAnswered),
    ClientEvent.ALERT_NOT_ME: (AlertNotMe, SessionRevokeDone),
    ClientEvent.APPROVAL_REQUEST: (ApprovalRequest, ApprovalRequested),
    ClientEvent.STEP_UP: (StepUp, StepUpDone),
    ClientEvent.STEP_UP_PASSKEY_OPTIONS: (PasskeyOptions, PasskeyOptionsDone),
    ClientEvent.MFA_PASSKEY_OPTIONS: (PasskeyOptions, PasskeyOptionsDone),
    ClientEvent.MFA_VERIFY: (MfaVerify, MfaVerified),
}


def served(data: View) -> dict[str, Any]:
    """The ack of an event that was served."""
    return {"ok": True, **data.to_wire()}


def refused(error: AuthError) -> dict[str, Any]:
    """The ack of an event that was not."""
    return Refusal.of(error).to_wire()


def _retry_after_ms(error: AuthError) -> int | None:
    return None if error.retry_after_seconds is None else round(error.retry_after_seconds * 1000)
