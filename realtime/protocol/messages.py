"""Every message of the live socket: names, payloads and acks. Source of the AsyncAPI document.

Handlers validate and answer only with these models, so the document always matches the server's behaviour.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from auth.core.errors import AuthError, StepUpRequired
from auth.core.models import Act, Actor, RevocationReason
from auth.core.views import (
    AssuredView,
    Counter,
    Credential,
    DeliveryView,
    Input,
    LoginView,
    Moment,
    RefreshedView,
    SessionView,
    Text,
    View,
    as_ms,
    omittable,
)
from auth.factors.proofs import FactorProof, StepUpProof
from realtime.protocol.approval_messages import (
    ApprovalRequest,
    ApprovalRequested,
    LoginApprovalAnswer,
    LoginApprovalAnswered,
    LoginApprovalClosed,
    LoginApprovalNumber,
    LoginApprovalRequested,
    LoginApprovalResult,
)
from realtime.protocol.people_messages import (
    OwnPresence,
    PresenceChanged,
    PresenceSet,
    TypingSet,
    TypingSetDone,
    UserTyping,
)
from realtime.protocol.room_messages import (
    MOST_PLACES,
    NamedPlace,
    RoomHistoryPlace,
    RoomLeft,
    RoomPlace,
    RoomTitle,
)

# How long a client may take to acknowledge `session-revoked` before it is disconnected anyway.
REVOCATION_ACK_SECONDS = 1.0
# How long an ack of an application's event is waited for, so that the count is back within a second.
EMIT_ACK_SECONDS = 0.8

# An integer as text, also as written by clients that only have floats: "17", "17.0".
CURSOR = re.compile(r"[0-9]{1,16}(\.0{1,3})?", re.ASCII)


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
    CLOSING = "closing"
    LOGIN_APPROVAL_REQUESTED = "login-approval-requested"
    LOGIN_APPROVAL_CLOSED = "login-approval-closed"
    LOGIN_APPROVAL_NUMBER = "login-approval-number"
    LOGIN_APPROVAL_RESULT = "login-approval-result"
    MFA_REQUIRED = "mfa-required"
    MFA_CLOSED = "mfa-closed"
    ROOM_HISTORY = "room-history"
    ROOM_LEFT = "room-left"
    PRESENCE = "presence"
    OWN_PRESENCE = "own-presence"
    TYPING = "typing"


class ClientEvent(StrEnum):
    """Events that a client sends; each gets an ack."""

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
    PRESENCE_SET = "presence-set"
    TYPING_SET = "typing-set"


# Reason for closing a socket that waited for a second factor.
MfaClosedCode = Literal["timeout", "too_many_tries", "invalid_token"]

# The only events served during the grace period after a socket's token has expired.
SERVED_IN_GRACE = frozenset({ClientEvent.REAUTHENTICATE, ClientEvent.REFRESH})


def _cursor(value: object) -> object:
    """Normalise cursors of client libraries that only send strings or floats: `"17"`, `17.0`, `""` for none."""
    if value == "":
        return None
    if isinstance(value, str) and CURSOR.fullmatch(value):
        return int(value.partition(".")[0])
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Handshake(Input):
    """`auth` of the connection: `token`, unless the access cookie is used, or `mfaToken`.

    Unknown keys are ignored, because client libraries add their own (`pid` and `offset`).
    """

    model_config = ConfigDict(extra="ignore")

    token: Text | None = Field(None, description="The access token; absent if it is sent as a cookie.")
    last_event_id: Annotated[Counter | None, BeforeValidator(_cursor)] = Field(
        None, description="The greatest `eventId` received: later events are sent again. May be a string."
    )
    rooms: dict[RoomTitle, NamedPlace] | None = Field(
        None,
        max_length=MOST_PLACES,
        description="The client keeps its places in the histories of rooms, and these are they; at first `{}`.",
    )
    mfa_token: Credential | None = Field(
        None, description="The token of a login that waits for its second factor, to be finished on this socket."
    )


class ConnectRefusal(View):
    """`data` of the `connect_error`."""

    code: str = Field(description="An error code (docs/protocol.md, section 1).", examples=["token_expired"])
    retryable: bool = Field(description="Whether the same credentials may succeed later.")
    retry_after_ms: Counter | None = omittable("How long to wait before retrying.")

    @classmethod
    def of(cls, error: AuthError) -> Self:
        return cls(code=error.code, retryable=error.retryable, retry_after_ms=as_ms(error.retry_after_seconds))


class Ready(View):
    """The first event on every connection."""

    protocol: Literal[1] = Field(description="Version of this protocol.")
    user_id: str
    session_id: str
    socket_id: str
    access_token_expires_at: Moment
    grace_ms: Counter = Field(description="How long the socket stays open after its token has expired.")
    server_time: Moment
    last_event_id: Counter | None = Field(
        description="The id of this user's newest event; null while the event log cannot be read."
    )
    recovered: bool = Field(description="True: missed events follow in order. False: list the sessions again.")
    joined: dict[str, RoomPlace] | None = omittable(
        "The rooms that the socket is in, and its places. With `rooms` in the handshake only."
    )
    rooms: tuple[str, ...] | None = omittable(
        "With `recovered: false`: the rooms to read anew, because their history does not reach back to the client."
    )
    events_recovered: bool | None = omittable(
        "With `rooms`: whether the user's own events were recovered, and follow."
    )


class TokenExpiring(View):
    """The access token expires soon: obtain a new one and re-authenticate."""

    expires_at: Moment
    expires_in_ms: Counter
    grace_ms: Counter


class TokenExpired(View):
    """Only `reauthenticate` and `refresh` are served until the grace period ends; then the server disconnects."""

    grace_ends_at: Moment


class By(View):
    """Who ended a session."""

    kind: Literal["user", "admin", "system"]
    session_id: str | None = omittable("The session from which the user ended it.")

    @classmethod
    def of(cls, actor: Actor) -> Self:
        """Convert an actor; the session of an administrator is not disclosed."""
        return cls(kind=actor.kind, session_id=actor.session_id if actor.kind == "user" else None)


class SessionRevoked(View):
    """This session was ended. Acknowledge it; the server disconnects after the ack or 1 s."""

    event_id: Counter
    session_id: str
    reason: RevocationReason
    at: Moment
    by: By
    act: Act | None = omittable("What was done, where the reason does not say it.")
    message: str | None = omittable("What the backend of the application says to the user.")


class SessionsChanged(View):
    """The list of sessions changed. A gap in `version` means: list the sessions again."""

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
    """A security event that the user should know about."""

    event_id: Counter
    kind: str = Field(examples=["new_device", "new_country", "refresh_elsewhere", "refresh_reused"])
    session: SessionView
    at: Moment
    approved_by: str | None = omittable(
        "The session that approved this login on another device. It does not get this alert."
    )


class RolesChanged(View):
    """An administrator changed this user's roles; they apply to this socket from now on."""

    event_id: Counter
    roles: tuple[str, ...]
    version: Counter = Field(description="Increases with each change of this user's roles.")


class Draining(View):
    """The node is shutting down: reconnect after this time."""

    reconnect_after_ms: Counter


class Closing(View):
    """The backend of the application closes this socket, after the ack or 1 s. The session lives on."""

    reason: str
    retryable: bool = Field(description="Reconnect; if false, do not until the user asks for it.")


class MfaRequired(View):
    """The first event on a socket whose login waits for its second factor: answer with `mfa-verify`."""

    methods: tuple[str, ...] = Field(examples=[["totp", "recovery_code", "passkey", "approval"]])
    deadline_ms: Counter = Field(description="How long the socket waits for it.")


class MfaClosed(View):
    """The socket no longer waits for a second factor, and is disconnected."""

    code: MfaClosedCode


class Reauthenticate(Input):
    """A new access token for the same user and the same session."""

    token: Credential


class Refresh(Input):
    """The refresh token of the socket's own session."""

    refresh_token: Credential


class SessionsList(Input):
    """List the user's sessions. No fields."""


class SessionRevoke(Input):
    """The session to end."""

    session_id: Credential


class SessionsRevokeOthers(Input):
    """End all other sessions of the user. No fields."""


class AlertNotMe(Input):
    """The session that the user did not start."""

    session_id: Credential


class MfaVerify(FactorProof):
    """The second factor of the login that waits on this socket."""


class StepUp(StepUpProof):
    """A proof that allows sensitive operations on this session; `password` if no second factor is set up."""


class PasskeyOptions(Input):
    """Request options for a passkey assertion. No fields."""


class PasskeyOptionsDone(View):
    """Options for the browser's WebAuthn call, as JSON."""

    options: dict[str, Any]


class MfaVerified(LoginView):
    """The login is complete; `ready` follows, and the socket is live."""


class StepUpDone(AssuredView):
    """Until when sensitive operations need no further proof."""


class Reauthenticated(View):
    """The socket is valid until this token expires, with the same id and rooms."""

    access_token_expires_at: Moment


class SessionsListed(View):
    """The user's live sessions."""

    sessions: tuple[SessionView, ...]
    version: Counter


class SessionRevokeDone(View):
    """The delivery of the revocation to the session's sockets."""

    delivery: DeliveryView


class SessionsRevokeOthersDone(View):
    """The number of ended sessions and the delivery to their sockets."""

    revoked: Counter
    delivery: DeliveryView


class Refusal(View):
    """The ack of an event that was not served."""

    ok: Literal[False] = False
    code: str = Field(examples=["invalid_request"])
    message: str
    retryable: Literal[True] | None = omittable("The same event may succeed later: send it again.")
    retry_after_ms: Counter | None = omittable("How long to wait before retrying.")
    acr: str | None = omittable("With `step_up_required`: the required kind of proof (RFC 9470).")
    max_age: Counter | None = omittable("With `step_up_required`: the proof's maximum age in seconds.")
    methods: tuple[str, ...] | None = omittable("With `step_up_required`: the methods available to the caller.")

    @classmethod
    def of(cls, error: AuthError) -> Self:
        asked = error if isinstance(error, StepUpRequired) else None
        return cls(
            code=error.code,
            message=error.message,
            retryable=True if error.retryable else None,
            retry_after_ms=as_ms(error.retry_after_seconds),
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
    ServerEvent.CLOSING: Closing,
    ServerEvent.LOGIN_APPROVAL_REQUESTED: LoginApprovalRequested,
    ServerEvent.LOGIN_APPROVAL_CLOSED: LoginApprovalClosed,
    ServerEvent.LOGIN_APPROVAL_NUMBER: LoginApprovalNumber,
    ServerEvent.LOGIN_APPROVAL_RESULT: LoginApprovalResult,
    ServerEvent.MFA_REQUIRED: MfaRequired,
    ServerEvent.MFA_CLOSED: MfaClosed,
    ServerEvent.ROOM_HISTORY: RoomHistoryPlace,
    ServerEvent.ROOM_LEFT: RoomLeft,
    ServerEvent.PRESENCE: PresenceChanged,
    ServerEvent.OWN_PRESENCE: OwnPresence,
    ServerEvent.TYPING: UserTyping,
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
    ClientEvent.PRESENCE_SET: (PresenceSet, OwnPresence),
    ClientEvent.TYPING_SET: (TypingSet, TypingSetDone),
}


def served(data: View) -> dict[str, Any]:
    """The ack of an event that was served."""
    return {"ok": True, **data.to_wire()}


def refused(error: AuthError) -> dict[str, Any]:
    """The ack of an event that was refused."""
    return Refusal.of(error).to_wire()
