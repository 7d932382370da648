"""Answers of the application's URL: the ack of a client event, and acts as in the server API."""

from typing import Annotated, Any, Self

import orjson
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from auth.backends.live import Target
from auth.core.errors import InternalError, InvalidRequest
from auth.core.json_values import is_deeper
from auth.core.views import Input, Text, parse
from auth.http.schemas.server_api import Id
from auth.http.schemas.server_messages import MAX_COMMANDS, EmitRequest, Qualified
from auth.platform.http_client import Reply

MAX_ROOMS = 100


class RoomMember(Input):
    """A room, and who is to be a member of it: a user or a session."""

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


class Acts(Input):
    """What the backend asks for in its answer. They take effect in the order of these fields, before the ack."""

    leave: RoomChanges = ()
    join: RoomChanges = ()
    emit: Annotated[tuple[EmitRequest, ...], Field(max_length=MAX_COMMANDS, strict=False)] = ()


class EventRefused(Input):
    """The answer by which a backend refuses an event, with a status from 400 to 499."""

    model_config = ConfigDict(extra="ignore")

    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    message: Annotated[Text, StringConstraints(max_length=500)] = "The application refused this event."


ACTS = ("leave", "join", "emit")


class AnswerWrong(InternalError):
    """The backend's answer is not what the contract says. `detail` is for the log."""

    def __init__(self, detail: str) -> None:
        super().__init__()
        self.detail = detail


def read_answer(reply: Reply) -> tuple[dict[str, Any], Acts]:
    """The ack and the acts of an answer. Raises `AnswerWrong`."""
    if 400 <= reply.status < 500:
        return _refusal(reply), Acts()
    if not 200 <= reply.status < 300:
        raise AnswerWrong(f"status {reply.status}")
    content = _object(reply.body) if reply.body.strip() else {}
    try:
        acts = parse(Acts, {name: content.pop(name) for name in ACTS if name in content})
    except InvalidRequest as error:
        raise AnswerWrong("; ".join(f"{each.field}: {each.message}" for each in error.errors)) from None
    return content | {"ok": True}, acts


def _refusal(reply: Reply) -> dict[str, Any]:
    """The ack of a refused event. A status without a code is a mistake: a wrong path, secret or content type."""
    try:
        refused = parse(EventRefused, _object(reply.body))
    except (InvalidRequest, AnswerWrong):
        raise AnswerWrong(f"status {reply.status} without a code") from None
    return {"ok": False, "code": refused.code, "message": refused.message}


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except ValueError:
        raise AnswerWrong("not JSON") from None
    if not isinstance(content, dict) or is_deeper(content):
        raise AnswerWrong("not a JSON object, or nested too deeply")
    return content
