"""Request and response schemas of the server API: rooms."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from auth.backends.live import Target
from auth.core.views import Counter, Input, View
from auth.http.schemas.server_api import Id
from auth.http.schemas.server_messages import Qualified


class RoomName(Input):
    """The room in the path."""

    room: Qualified


class MembersRequest(Input):
    """The member: exactly one field."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [name]} for name in ("userId", "sessionId")],
            "examples": [{"userId": "5f2c8c1b"}],
        }
    )

    user_id: Id | None = None
    session_id: Id | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.user_id is None) == (self.session_id is None):
            raise ValueError("name exactly one member")
        return self

    @property
    def target(self) -> Target:
        """The member."""
        if self.user_id is not None:
            return Target("user", self.user_id, self.user_id)
        return Target("session", self.session_id or "")


class MembersAnswer(View):
    """How many live sockets entered or left the room by this."""

    sockets: Counter = Field(description="Of all nodes.")
