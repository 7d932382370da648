"""The messages about the presence of people, and about who is typing."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from auth.backends.live import UserPresence
from auth.core.views import Counter, Input, Moment, Text, View, omittable
from realtime.protocol.room_messages import RoomTitle

# How long a user counts as typing, unless the client says so again.
TYPING_MS = 5000

StateText = Annotated[Text, StringConstraints(min_length=1, max_length=100)]


class PresenceChanged(View):
    """The presence of a user whom the application lets this socket watch: at first, and whenever it changes."""

    user_id: str
    online: bool
    state: str | None = omittable("While online: `online`, `away` or `busy`.")
    text: str | None = omittable("While online: what the user says about it.")
    last_seen_at: Moment | None = Field(
        description="The time of the event, if the user is online; null if unknown."
    )

    @classmethod
    def of(cls, user_id: str, presence: UserPresence) -> Self:
        """What a socket is told of a user."""
        return cls(
            user_id=user_id,
            online=presence.devices > 0,
            state=presence.state,
            text=presence.text,
            last_seen_at=presence.last_seen_at,
        )


class UserTyping(View):
    """A user is typing, to this user or in a room. It ends after `ttlMs`, without a further event; 0: now."""

    user_id: str
    room: str | None = omittable("Where; absent if it is to this user.")
    ttl_ms: Counter


class PresenceSet(Input):
    """The state that others see of this user, on all devices. Without `state` nothing is changed."""

    state: Literal["online", "away", "busy", "invisible"] | None = Field(
        None, description="`invisible` looks offline to others."
    )
    text: StateText | None = Field(None, description="Shown while the user is online; absent: none.")

    @model_validator(mode="after")
    def _text_needs_state(self) -> Self:
        if self.state is None and self.text is not None:
            raise ValueError("a text comes with a state")
        return self


class OwnPresence(View):
    """The state of this user, as it is now on all devices."""

    state: str
    text: str | None = omittable()


class TypingTarget(Input):
    """A room or a user: exactly one field."""

    room: RoomTitle | None = None
    user_id: Annotated[Text, StringConstraints(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.room is None) == (self.user_id is None):
            raise ValueError("name a room or a user")
        return self


class TypingSet(Input):
    """This user is typing, to a room that the socket is in, or to a user who watches this one. Best effort."""

    to: TypingTarget
    active: bool = Field(True, description="False: no longer. Otherwise it ends by itself after 5 s.")


class TypingSetDone(View):
    """It was sent. Whether anybody is told does not show."""
