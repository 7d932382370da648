"""Rooms of backends: their history, and members that last for later sockets too, until they are taken away.

A membership is stored, then marked in Redis, then carried out at the live sockets. A handshake lists its socket
before it reads the memberships, so a concurrent change is either read there or reaches the listed socket.
"""

from auth.backends.live import LiveControl, RoomHistory, Target
from auth.core.errors import Conflict, NotFound, Unavailable
from auth.services import Operation, Services
from auth.stores.room_members import Membership, RoomMembers
from auth.stores.sessions.store import SessionStore

# Each is entered at each handshake of the user. Concurrent additions can exceed it by a few.
MOST_ROOMS = 200


class BackendRooms(Operation):
    """Adds and removes members of rooms, and reads their history."""

    def __init__(
        self,
        services: Services,
        *,
        members: RoomMembers,
        store: SessionStore,
        live: LiveControl,
    ) -> None:
        super().__init__(services)
        self._members = members
        self._store = store
        self._live = live

    async def add(self, room: str, target: Target) -> int:
        """Add a user or a session to a room; return how many live sockets are in it by that.

        May be repeated, for example after `Unavailable`. Raises `NotFound`, `Unavailable`, or `Conflict` beyond
        `MOST_ROOMS` rooms of one user.
        """
        membership = await self._membership(room, target)
        held = {each.room for each in await self._members.of_user(membership.user_id)}
        if len(held) >= MOST_ROOMS and room not in held:
            raise Conflict(f"This user is in {MOST_ROOMS} rooms already.")
        await self._members.add(membership)
        await self._live.mark_members(membership.user_id)
        return await self._carry_out(membership, enter=True)

    async def remove(self, room: str, target: Target) -> int:
        """Remove a user or a session from a room; return how many live sockets have left.

        No error if it is not a member. A session stays while its user is a member, and a session that is one by
        itself stays when its user is removed. Raises `NotFound` or `Unavailable`.
        """
        membership = await self._membership(room, target)
        await self._members.remove(membership)
        left = [each for each in await self._members.of_user(membership.user_id) if each.room == room]
        if membership.session_id is not None and any(each.session_id is None for each in left):
            return 0
        count = await self._carry_out(membership, enter=False)
        for each in left:
            count -= await self._carry_out(each, enter=True)
        return max(count, 0)

    async def history(self, room: str, *, after: int | None, limit: int) -> RoomHistory:
        """See `LiveControl.history`."""
        return await self._live.history(room, after=after, limit=limit)

    async def _membership(self, room: str, target: Target) -> Membership:
        if target.kind == "user":
            if await self._users.by_id(target.name) is None:
                raise NotFound("There is no such account.")
            return Membership(room, target.name)
        session = await self._store.get(target.name)
        if session is None or not session.is_live(self._clock()):
            raise NotFound("There is no such session.")
        return Membership(room, session.user_id, session.session_id, session.ends_at)

    async def _carry_out(self, membership: Membership, *, enter: bool) -> int:
        user_id, session_id = membership.user_id, membership.session_id
        target = Target("session", session_id, user_id) if session_id else Target("user", user_id, user_id)
        delivery = await (await self._live.move(target, membership.room, enter=enter)).delivery()
        if delivery.incomplete or delivery.pending:
            raise Unavailable("Not every node has answered. Repeat the request.")
        return delivery.sockets
