"""Rooms of backends: their history, and members that last for later sockets too, until they are taken away.

A membership is stored, then marked in Redis, then carried out at the live sockets. A handshake lists its socket
before it reads the memberships, so a concurrent change is either read there or reaches the listed socket.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from auth.backends.live import LiveControl, RoomHistory, Target
from auth.backends.targets import Targets
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
        sessions: SessionStore,
        targets: Targets,
        live: LiveControl,
    ) -> None:
        super().__init__(services)
        self._members = members
        self._sessions = sessions
        self._targets = targets
        self._live = live

    async def add(self, room: str, target: Target) -> int:
        """Add a user or a session to a room; return how many live sockets are in it by that.

        May be repeated, for example after `Unavailable`. Raises `NotFound`, `Unavailable`, or `Conflict` beyond
        `MOST_ROOMS` rooms of one user.
        """
        if target.kind == "user":
            await self._targets.require_user(target.name)
            membership = Membership(room, target.name)
        else:
            session = await self._targets.live_session(target.name)
            membership = Membership(room, session.user_id, session.session_id, session.ends_at)
        held = await self._members.of_user(membership.user_id)
        if _is_one_too_many(room, held) and _is_one_too_many(room, await self._without_ended(held)):
            raise Conflict(f"This user is in {MOST_ROOMS} rooms already.")
        await self._members.add(replace(membership, since=await self._live.last_of_room(room)))
        await self._live.mark_members(membership.user_id)
        return await self._settle(membership)

    async def remove(self, room: str, target: Target) -> int:
        """Remove a user or a session from a room; return how many live sockets have left.

        No error if it is not a member, or if the session has ended. A session stays while its user is a member,
        and a session that is one by itself stays when its user is removed. Raises `NotFound` or `Unavailable`.
        """
        if target.kind == "user":
            await self._targets.require_user(target.name)
            membership = Membership(room, target.name)
        else:
            session = await self._sessions.get(target.name)
            if session is None:
                # No longer kept, and without sockets.
                if not await self._members.remove(Membership(room, "", target.name)):
                    raise NotFound("There is no such session.")
                return 0
            membership = Membership(room, session.user_id, session.session_id)
        await self._members.remove(membership)
        return await self._settle(membership)

    async def _settle(self, membership: Membership) -> int:
        """Let the live sockets of a member be in the room or not, as is stored; return how many it concerned.

        If another request has changed what is stored meanwhile, this one carries that out too: the other's message
        to the nodes may have come before this one's.
        """
        count = 0
        done: bool | None = None
        while True:
            stored = await self._members.of_user(membership.user_id)
            held = [each for each in stored if each.room == membership.room]
            wanted = any(each.session_id == membership.session_id for each in held)
            if wanted == done:
                return count
            count = await (self._carry_out(membership, enter=True) if wanted else self._leave(membership, held))
            done = wanted

    async def _leave(self, membership: Membership, left: Sequence[Membership]) -> int:
        """Let sockets leave that are not in the room by a membership that is `left`; return how many have left."""
        if membership.session_id is not None and any(each.session_id is None for each in left):
            return 0
        count = await self._carry_out(membership, enter=False)
        for each in left:
            count -= await self._carry_out(each, enter=True)
        return max(count, 0)

    async def history(self, room: str, *, after: int | None, limit: int) -> RoomHistory:
        """See `LiveControl.history`."""
        return await self._live.history(room, after=after, limit=limit)

    async def _without_ended(self, held: Sequence[Membership]) -> Sequence[Membership]:
        """Remove the memberships of sessions that have ended; return the others."""
        of_sessions = {each.session_id for each in held if each.session_id is not None}
        user_ids = {each.user_id for each in held}
        live = await self._sessions.live_among(list(of_sessions), user_ids=user_ids, now=self._clock())
        ended = [each for each in held if each.session_id in of_sessions - live]
        await asyncio.gather(*map(self._members.remove, ended))
        return [each for each in held if each not in ended]

    async def _carry_out(self, membership: Membership, *, enter: bool) -> int:
        user_id, session_id = membership.user_id, membership.session_id
        target = Target("session", session_id, user_id) if session_id else Target("user", user_id, user_id)
        delivery = await (await self._live.move(target, membership.room, enter=enter)).delivery()
        if delivery.incomplete or delivery.pending:
            raise Unavailable("Not every node has answered. Repeat the request.")
        return delivery.sockets


def _is_one_too_many(room: str, held: Sequence[Membership]) -> bool:
    rooms = {each.room for each in held}
    return len(rooms) >= MOST_ROOMS and room not in rooms
