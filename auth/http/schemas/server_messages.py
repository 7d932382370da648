"""Request and response schemas of the server API: messages and batches."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from auth.backends.live import Message
from auth.backends.messages import Emit, Emitted
from auth.core.errors import AuthError, InvalidRequest
from auth.core.events import require_no_event_id
from auth.core.text import QUALIFIED_NAME
from auth.core.views import Counter, DeliveryView, Input, Text, View, omittable
from auth.http.schemas.common import ProblemField
from auth.http.schemas.server_api import Id, JsonObject, SocketsOf, exactly_one_of

MAX_COMMANDS = 100

Qualified = Annotated[str, StringConstraints(pattern=f"^{QUALIFIED_NAME.pattern}$", max_length=129)]


def _without_event_id(data: dict[str, Any]) -> dict[str, Any]:
    require_no_event_id(data)
    return data


class EmitTarget(SocketsOf):
    """Where to: exactly one field."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": exactly_one_of("userId", "sessionId", "room", "socketId")}
    )

    room: Qualified | None = None


class EmitRequest(Input):
    """An event of the application."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"to": {"room": "chat:lobby"}, "event": "chat:message", "data": {"text": "Hello"}},
                {
                    "to": {"userId": "5f2c8c1b"},
                    "event": "shop:paid",
                    "data": {},
                    "durable": True,
                    "id": "o17",
                },
            ]
        }
    )

    to: EmitTarget
    event: Qualified = Field(description="`<application>:<name>`.")
    data: Annotated[JsonObject, AfterValidator(_without_event_id)] = Field(
        description="A JSON object without `eventId`, which Vigil adds to durable events."
    )
    durable: bool = Field(False, description="Kept in the log of the user or the room.")
    ack: bool = Field(False, description="Clients are to acknowledge the event.")
    id: Annotated[Text, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="A repeat within 24 hours is not sent, and gets the first answer."
    )
    except_socket_id: Id | None = Field(None, description="A socket that does not get the event.")

    @property
    def asked(self) -> Emit:
        """The request as the operation takes it."""
        message = Message(self.event, self.data, self.ack, self.except_socket_id)
        return Emit(self.to.target, message, self.durable, self.id)


class EmitAnswer(View):
    """What happened to the event."""

    event_id: Counter | None = omittable("Of a durable event: its id in the user's log, which clients get too.")
    history_id: Counter | None = omittable("Like `eventId`, of a durable event for a room: its id in the history.")
    delivery: DeliveryView
    duplicate: bool | None = omittable("Present and true for a repeat.")

    @classmethod
    def of(cls, emitted: Emitted) -> Self:
        return cls(
            event_id=emitted.event_id,
            history_id=emitted.history_id,
            delivery=DeliveryView.of(emitted.delivery),
            duplicate=emitted.duplicate or None,
        )


class BatchRequest(Input):
    """Commands, served in order."""

    commands: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_COMMANDS)] = Field(
        description='Each is `{"emit": …}` or `{"disconnect": …}`, with the body of that endpoint.'
    )


class Command(Input):
    """One command of a batch: exactly one field."""

    emit: dict[str, Any] | None = None
    disconnect: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.emit is None) == (self.disconnect is None):
            raise ValueError("name exactly one command")
        return self


class CommandAnswer(View):
    """The answer to one command, in the form of a response of its endpoint."""

    success: bool
    data: EmitAnswer | None = omittable("If it succeeded.")
    code: str | None = omittable("If it did not.")
    message: str | None = omittable()
    errors: tuple[ProblemField, ...] | None = omittable()

    @classmethod
    def refused(cls, error: AuthError) -> Self:
        """The answer to a command that was refused."""
        wrong = error.errors if isinstance(error, InvalidRequest) else ()
        errors = tuple(ProblemField(field=each.field, message=each.message) for each in wrong)
        return cls(success=False, code=error.code, message=error.message, errors=errors or None)


class BatchAnswer(View):
    """The answers, each in the place of its command."""

    results: tuple[CommandAnswer, ...]
