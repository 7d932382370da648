"""The server API: members and history of rooms."""

from auth.backends.rooms import BackendRooms
from auth.core.errors import Conflict, NotFound
from auth.core.server_keys import Scope
from auth.core.views import parse
from auth.http.routing import Call, endpoint
from auth.http.schemas.server_rooms import HistoryAnswer, HistoryQuery, MembersAnswer, MembersRequest, RoomName


class BackendRoomRoutes:
    """Members that last for later sockets too, and durable events."""

    tag = "Server API"

    def __init__(self, rooms: BackendRooms) -> None:
        self._rooms = rooms

    @endpoint(
        "POST",
        "/rooms/{room}/members",
        summary="Add a user or a session to a room",
        scopes=(Scope.EMIT,),
        errors=(NotFound, Conflict),
    )
    async def add_member(self, call: Call, body: MembersRequest) -> MembersAnswer:
        """Lasts for later sockets too, which enter the room before their `ready`."""
        call.about["who"] = str(body.target)
        return MembersAnswer(sockets=await self._rooms.add(_room(call), body.target))

    @endpoint(
        "DELETE",
        "/rooms/{room}/members",
        summary="Remove a user or a session from a room",
        scopes=(Scope.EMIT,),
        errors=(NotFound,),
    )
    async def remove_member(self, call: Call, body: MembersRequest) -> MembersAnswer:
        call.about["who"] = str(body.target)
        return MembersAnswer(sockets=await self._rooms.remove(_room(call), body.target))

    @endpoint("GET", "/rooms/{room}/history", summary="Read durable events of a room", scopes=(Scope.EMIT,))
    async def history(self, call: Call, query: HistoryQuery) -> HistoryAnswer:
        """Oldest first, bounded by number and age. A room without events is empty, not unknown."""
        return HistoryAnswer.of(await self._rooms.history(_room(call), after=query.after, limit=query.limit))


def _room(call: Call) -> str:
    return parse(RoomName, {"room": call.request.match_info["room"]}).room
