"""The messages about places in the histories of rooms."""

from typing import Annotated

from pydantic import Field, StringConstraints

from auth.core.views import Counter, Input, View

# Rooms of which a client may name its place: more than those that a backend can make it a member of.
MOST_PLACES = 256

RoomTitle = Annotated[str, StringConstraints(max_length=256)]


class NamedPlace(Input):
    """A client's place in the history of a room, with the proof that it got."""

    history_id: Counter = Field(description="The greatest `historyId` of the room that was received.")
    proof: Annotated[str, StringConstraints(max_length=64)]


class RoomPlace(View):
    """A place in the history of a room."""

    history_id: Counter
    proof: str = Field(
        description="To be sent back at the next handshake, with the greatest `historyId` received."
    )


class RoomHistoryPlace(View):
    """The socket is in a room, or has missed something of it.

    With `recovered` the events after the client's place follow in order. Otherwise its place is this one, and what
    came before must be read anew, if it is needed.
    """

    room: str
    history_id: Counter
    proof: str
    recovered: bool


class RoomLeft(View):
    """The socket is no longer in the room: forget its place."""

    room: str
