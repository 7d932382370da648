"""What is posted to the application's URL, and its answers (protocol.md, section 8)."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from auth.backends.live import Target
from auth.core.views import DeviceView, Input, Text, View
from auth.http.schemas.server_api import MAX_PRESENCE, Id, exactly_one_of
from auth.http.schemas.server_messages import MAX_COMMANDS, EmitRequest, Qualified

MAX_ROOMS = 100


class PostedEvent(View):
    """An event of a client, or one of the hooks `connect`, `disconnect` and `roles`."""

    event: str = Field(description="`<application>:<name>`, or the name of a hook.", examples=["chat:send"])
    data: dict[str, Any] = Field(description="The payload, not validated; of a hook `{}`.")
    user_id: str
    session_id: str
    socket_id: str
    roles: tuple[str, ...] = Field(description="Those of the socket's current token.")
    device: DeviceView | None = Field(description="From the headers of the handshake; null if not known.")
    event_id: str = Field(description="Unique; also the header `webhook-id`.")


class RoomMember(Input):
    """A room, and who is to be a member of it: a user or a session."""

    model_config = ConfigDict(json_schema_extra={"oneOf": exactly_one_of("userId", "sessionId")})

    room: Qualified
    user_id: Id | None = None
    session_id: Id | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.user_id is None) == (self.session_id is None):
            raise ValueError("name a user or a session")
        return self

    @property
    def target(self) -> Target:
        """Who."""
        if self.user_id is not None:
            return Target("user", self.user_id, self.user_id)
        assert self.session_id is not None
        return Target("session", self.session_id)


# The name of a room alone concerns the socket that sent the event.
RoomChanges = Annotated[tuple[Qualified | RoomMember, ...], Field(max_length=MAX_ROOMS, strict=False)]


# Whom the socket that sent the event is to see, or no longer.
Watched = Annotated[tuple[Id, ...], Field(max_length=MAX_PRESENCE, strict=False)]


class ClientEventAnswer(Input):
    """The ack, and acts that take effect before it, in the order of these fields. Other fields are the ack's."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    leave: RoomChanges = ()
    join: RoomChanges = ()
    unwatch: Watched = ()
    watch: Watched = ()
    emit: Annotated[tuple[EmitRequest, ...], Field(max_length=MAX_COMMANDS, strict=False)] = ()


class ClientEventRefused(Input):
    """A refusal of the event; code and message are the ack's."""

    model_config = ConfigDict(extra="ignore")

    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    message: Annotated[Text, StringConstraints(max_length=500)] = "The application refused this event."
