"""Request and response schemas of the server API: rooms."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from auth.backends.live import RoomHistory, Target
from auth.core.views import MAX_SAFE_INTEGER, Counter, Input, Query, QueryInt, View, omittable
from auth.http.schemas.admin import Limit, bounds
from auth.http.schemas.server_api import Id, exactly_one_of
from auth.http.schemas.server_messages import Qualified


class RoomName(Input):
    """The room in the path."""

    room: Qualified


class MembersRequest(Input):
    """The member: exactly one field."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": exactly_one_of("userId", "sessionId"),
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


class HistoryQuery(Query):
    """Paging of a room's history."""

    after: Annotated[QueryInt, Field(ge=0, le=MAX_SAFE_INTEGER, json_schema_extra=bounds)] | None = omittable(
        "Only events after the one with this `historyId`."
    )
    limit: Limit = 50


class RoomEventView(View):
    """An event in a room's history."""

    history_id: Counter = Field(description="Grows with each event of the room.")
    event: str
    data: dict[str, Any]


class HistoryAnswer(View):
    """A part of a room's history."""

    events: tuple[RoomEventView, ...] = Field(description="Oldest first.")
    next: Counter | None = Field(description="Pass as `after` to get the events that follow; null if none do.")
    recovered: bool | None = omittable(
        "Present with `after`: whether the history reaches back to it, so that nothing after it is missing."
    )

    @classmethod
    def of(cls, found: RoomHistory) -> Self:
        events = (
            RoomEventView(history_id=each.history_id, event=each.event, data=dict(each.data))
            for each in found.events
        )
        return cls(events=tuple(events), next=found.next, recovered=found.recovered)
