"""Request and response schemas of the server API."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from auth.backends.live import Target, UserPresence
from auth.backends.sessions import Introspection
from auth.core.json_values import MAX_DEPTH, is_deeper, object_of
from auth.core.models import User
from auth.core.views import (
    Counter,
    Credential,
    Input,
    Moment,
    Query,
    SessionView,
    Text,
    UserView,
    View,
    omittable,
)
from auth.http.schemas.common import Email, Name

MAX_PRESENCE = 500


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    if is_deeper(value):
        raise ValueError(f"must not be nested more than {MAX_DEPTH} deep")
    return value


# A JSON object of any content.
JsonObject = Annotated[dict[str, Any], AfterValidator(_shallow)]


def exactly_one_of(*names: str) -> list[JsonValue]:
    """The schemas of a `oneOf` by which one of these fields is given. Null is like an absent field."""
    return [{"required": [name], "properties": {name: {"type": "string"}}} for name in names]


Id = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
# Shown to people.
Said = Annotated[Text, StringConstraints(min_length=1, max_length=200)]


class IntrospectRequest(Input):
    """An access token of a user."""

    token: Credential


class IntrospectAnswer(View):
    """Whether the token is in force now, and if so whose it is (RFC 7662 in substance)."""

    active: bool
    user_id: str | None = omittable()
    session_id: str | None = omittable()
    roles: tuple[str, ...] | None = omittable("The account's current roles, not those in the token.")
    exp: Counter | None = omittable("When the token expires, in seconds since 1970 (RFC 7662, section 2.2).")

    @classmethod
    def of(cls, found: Introspection | None) -> Self:
        if found is None:
            return cls(active=False)
        return cls(
            active=True,
            user_id=found.user_id,
            session_id=found.session_id,
            roles=found.roles,
            exp=int(found.expires_at.timestamp()),
        )


def oauth_introspection(found: Introspection | None, *, issuer: str, audience: str) -> dict[str, Any]:
    """The same in the names of RFC 7662, section 2.2."""
    if found is None:
        return {"active": False}
    return {
        "active": True,
        "token_type": "Bearer",
        "sub": found.user_id,
        "sid": found.session_id,
        "roles": found.roles,
        "iat": int(found.issued_at.timestamp()),
        "exp": int(found.expires_at.timestamp()),
        "iss": issuer,
        "aud": audience,
    }


class PresenceQuery(Query):
    """The users that are asked about."""

    user_ids: Annotated[Text, StringConstraints(min_length=1)] = Field(
        description=f"Up to {MAX_PRESENCE} ids, separated by commas.",
        json_schema_extra={"pattern": r"^[^,\u0000]{1,64}(,[^,\u0000]{1,64}){0,499}$"},
    )

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return self.user_ids.split(",")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.ids) > MAX_PRESENCE or not all(0 < len(each) <= 64 for each in self.ids):
            raise ValueError(f"userIds must be 1 to {MAX_PRESENCE} ids, separated by commas")
        return self


class PresenceView(View):
    """A user's presence."""

    online: bool
    devices: Counter = Field(description="Sessions with a live socket.")
    last_seen_at: Moment | None = Field(
        description="Now, if the user is online; null if not online for as long as a session may be idle."
    )
    state: str | None = omittable("While online: `online`, `away` or `busy`, as chosen by the user.")
    text: str | None = omittable("While online: what the user says about it.")


class PresenceAnswer(View):
    """Presence by user id; a user who does not exist is like one who was never online."""

    users: dict[str, PresenceView]

    @classmethod
    def of(cls, found: Mapping[str, UserPresence]) -> Self:
        return cls(
            users={
                user_id: PresenceView(
                    online=presence.devices > 0,
                    devices=presence.devices,
                    last_seen_at=presence.last_seen_at,
                    state=presence.state,
                    text=presence.text,
                )
                for user_id, presence in found.items()
            }
        )


class UserSessionsAnswer(View):
    """The live sessions of a user."""

    sessions: tuple[SessionView, ...]
    count: Counter
    version: Counter


class EndSessionsRequest(Input):
    """What the devices are told."""

    reason: Said | None = Field(None, description="Told to the device, as `message` of `session-revoked`.")


class SocketsOf(Input):
    """Sockets of a user or a session, or one: exactly one field."""

    user_id: Id | None = None
    session_id: Id | None = None
    socket_id: Id | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(_given(self)) != 1:
            raise ValueError("name exactly one target")
        return self

    @property
    def target(self) -> Target:
        """The target."""
        ((kind, name),) = _given(self).items()
        return Target(kind, name, name if kind == "user" else None)


TargetKind = Literal["user", "session", "socket", "room"]
KINDS: Mapping[str, TargetKind] = {
    "user_id": "user",
    "session_id": "session",
    "socket_id": "socket",
    "room": "room",
}


def _given(those: Input) -> dict[TargetKind, str]:
    values = {kind: getattr(those, field, None) for field, kind in KINDS.items()}
    return {kind: value for kind, value in values.items() if value is not None}


class WatchRequest(SocketsOf):
    """The live sockets that watch, and the users whom they watch."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": exactly_one_of("userId", "sessionId", "socketId"),
            "examples": [{"socketId": "kq3Bv", "userIds": ["5f2c8c1b"]}],
        }
    )

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_PRESENCE)]


class DisconnectRequest(SocketsOf):
    """The sockets to close, and what they are told."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"userId": "5f2c8c1b", "reason": "maintenance", "retryable": True}],
            "oneOf": exactly_one_of("userId", "sessionId", "socketId"),
        }
    )

    reason: Said = Field(description="Told to the client, in `closing`.")
    retryable: bool = Field(description="Whether clients reconnect by themselves.")


class CreateUserRequest(Input):
    """A new account."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "ada@example.org", "emailVerified": True, "metadata": {"plan": "pro"}}]
        }
    )

    email: Email
    email_verified: bool = Field(False, description="Whether the backend has verified the address.")
    name: Name | None = None
    username: Name | None = None
    password_hash: Annotated[Text, StringConstraints(max_length=512)] | None = Field(
        None,
        description="Argon2, bcrypt, scrypt or PBKDF2, as docs/moving-in.md lists them; without it the user sets "
        "a password by mail.",
    )
    metadata: JsonObject | None = Field(None, description="Shown to the user; at most 8 KiB of JSON.")
    private_metadata: JsonObject | None = Field(None, description="Not shown to the user; at most 8 KiB of JSON.")


class UpdateUserRequest(Input):
    """The fields to change: null clears one, an omitted field is unchanged; metadata are replaced as a whole."""

    name: Name | None = None
    username: Name | None = None
    metadata: JsonObject | None = None
    private_metadata: JsonObject | None = None


class FindUserQuery(Query):
    """The address to look up."""

    email: Email


class ServerUserView(UserView):
    """An account, as shown to a backend."""

    private_metadata: dict[str, Any] | None = omittable()
    locked_at: Moment | None = Field(description="When the account was locked; null if it is not locked.")

    @classmethod
    def seen(cls, user: User) -> Self:
        """Build the view of an account."""
        own = UserView.of(user).model_dump(by_alias=False)
        return cls(**own, private_metadata=object_of(user.private_metadata), locked_at=user.locked_at)


class ServerUserAnswer(View):
    """An account."""

    user: ServerUserView


class ServerUsersAnswer(View):
    """The account with the address; empty if there is none."""

    users: tuple[ServerUserView, ...]
