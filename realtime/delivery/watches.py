"""Which users this node's sockets watch, and the events that tell them: the presence now, then each change.

A message about a watched user only says that something may have changed. The node then reads the presence from
Redis, and tells each socket what differs from what it was told last. So nothing is told twice, and the next
reading makes up for a lost message, after `REPEAT_SECONDS` at the latest.

The state that a user has chosen is told to the user's own sockets in the same way, each time it is set.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import structlog

from auth.backends.live import UserPresence
from auth.core.clock import Clock
from auth.core.errors import InvalidRequest, Unavailable
from auth.core.shards import shard_of
from auth.core.tasks import end
from realtime.broker.chosen_states import ChosenStates
from realtime.broker.presence import Presence
from realtime.broker.seal import Message
from realtime.broker.watchers import REPEAT_SECONDS, Watchers
from realtime.engine.emitter import Emitter
from realtime.hub import Connection, Connections, SocketState
from realtime.protocol.messages import ServerEvent
from realtime.protocol.people_messages import OwnPresence, PresenceChanged, UserTyping

MOST_WATCHED = 500
# Users that are noted in Redis or read at a time.
BATCH = 500
RETRY_SECONDS = 1.0
# By then nodes have listed their sockets again, if Redis has lost them: until then users would look offline.
RELIST_SECONDS = 5.0

log = structlog.get_logger()

# What a socket was told of a user: whether online, state and text.
Told = tuple[bool, str | None, str | None]


class Watches:
    """The watches of this node's sockets."""

    def __init__(
        self,
        connections: Connections,
        emitter: Emitter,
        presence: Presence,
        chosen: ChosenStates,
        watchers: Watchers,
        *,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._emitter = emitter
        self._presence = presence
        self._chosen = chosen
        self._watchers = watchers
        self._clock = clock
        # By socket: the users that it watches, and what it was told of each last.
        self._told: dict[str, dict[str, Told | None]] = {}
        self._sockets: dict[str, set[str]] = {}
        # Users of whom Redis does not know yet whether this node watches them, and those to be read.
        self._unsettled: set[str] = set()
        self._unread: set[str] = set()
        # Users whose own sockets are to be told the state that was chosen.
        self._own_unread: set[str] = set()
        self._has_work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start telling, until `close`."""
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._repeat())]

    async def close(self) -> None:
        """Stop telling. What Redis knows of this node's watches runs out by itself."""
        await end(*self._tasks)

    def watch(self, connection: Connection, user_ids: Sequence[str]) -> None:
        """Let a socket watch users, until it disconnects; it is soon told the presence of each.

        Raises `InvalidRequest` if these would be more than `MOST_WATCHED`; then it watches none of them.
        """
        if (
            connection.state is SocketState.CLOSING
            or self._connections.get(connection.socket_id) is not connection
        ):
            return
        told = self._told.get(connection.socket_id, {})
        new = set(user_ids) - told.keys()
        if len(told) + len(new) > MOST_WATCHED:
            raise InvalidRequest(f"A socket watches at most {MOST_WATCHED} users.")
        if new:
            self._told[connection.socket_id] = told | dict.fromkeys(new)
        for user_id in new:
            sockets = self._sockets.setdefault(user_id, set())
            if not sockets:
                self._unsettled.add(user_id)
            sockets.add(connection.socket_id)
        self._read_soon(new)

    def unwatch(self, connection: Connection, user_ids: Collection[str]) -> None:
        """Let a socket no longer watch users."""
        told = self._told.get(connection.socket_id, {})
        for user_id in set(user_ids) & told.keys():
            del told[user_id]
            sockets = self._sockets[user_id]
            sockets.discard(connection.socket_id)
            if not sockets:
                del self._sockets[user_id]
                self._unsettled.add(user_id)
        if not told:
            self._told.pop(connection.socket_id, None)
        self._has_work.set()

    def gone(self, connection: Connection) -> None:
        """Forget a socket that has disconnected."""
        if connection.socket_id in self._told:
            self.unwatch(connection, tuple(self._told[connection.socket_id]))

    def changed(self, user_id: str) -> None:
        """Tell those who watch a user, if anything has changed."""
        if user_id in self._sockets:
            self._read_soon((user_id,))

    def own_changed(self, user_id: str) -> None:
        """Tell a user's own sockets the state that the user has chosen."""
        self._own_unread.add(user_id)
        self._has_work.set()

    def read_again(self, shards: Collection[int]) -> None:
        """Tell what may not have reached this node about users of these shards, in `RELIST_SECONDS`."""
        users = [user_id for user_id in self._sockets if shard_of(user_id) in shards]
        self._unsettled.update(users)
        self._has_work.set()
        asyncio.get_running_loop().call_later(RELIST_SECONDS, self._read_soon, users)

    def take_typing(self, message: Message) -> None:
        """Tell those sockets of a user that watch the one who types."""
        sender = message["user"]
        sockets = [
            each.socket_id
            for each in self._connections.of_user(message["to"])
            if sender in self._told.get(each.socket_id, {})
        ]
        typing = UserTyping(user_id=sender, ttl_ms=message["ms"])
        self._emitter.emit_to_sockets(sockets, ServerEvent.TYPING, typing.to_wire())

    def _read_soon(self, user_ids: Collection[str]) -> None:
        self._unread.update(user_ids)
        self._has_work.set()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_SECONDS)
            self._unsettled.update(self._sockets)
            self._read_soon(self._sockets.keys())

    async def _work(self) -> None:
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self._settle_and_read()
            except Exception as error:  # a defect must not end it
                if not isinstance(error, Unavailable):
                    log.exception("watches_failed")
                await asyncio.sleep(RETRY_SECONDS)
                self._has_work.set()

    async def _settle_and_read(self) -> None:
        """Raises `Unavailable`; then what is left is done at the next call."""
        while self._unsettled or self._unread or self._own_unread:
            # A user is read after Redis knows that this node watches them: what changes later is told to it.
            while self._unsettled:
                unsettled = set(islice(self._unsettled, BATCH))
                self._unsettled -= unsettled
                with _put_back(unsettled, self._unsettled):
                    await asyncio.gather(*map(self._settle, unsettled))
            unread = set(islice(self._unread, BATCH))
            self._unread -= unread
            with _put_back(unread, self._unread):
                watched = [user_id for user_id in unread if user_id in self._sockets]
                for user_id, presence in (await self._presence.of_users(watched, now=self._clock())).items():
                    self._tell(user_id, presence)
            own = set(islice(self._own_unread, BATCH))
            self._own_unread -= own
            with _put_back(own, self._own_unread):
                await asyncio.gather(*map(self._tell_own, own))

    async def _tell_own(self, user_id: str) -> None:
        # Read, not sent along: messages from two nodes could arrive in another order than the states were set.
        chosen = await self._chosen.read(user_id)
        sockets = [each.socket_id for each in self._connections.of_user(user_id)]
        event = OwnPresence(state=chosen.state, text=chosen.text)
        self._emitter.emit_to_sockets(sockets, ServerEvent.OWN_PRESENCE, event.to_wire())

    async def _settle(self, user_id: str) -> None:
        await (self._watchers.note(user_id) if user_id in self._sockets else self._watchers.forget(user_id))

    def _tell(self, user_id: str, presence: UserPresence) -> None:
        now = presence.devices > 0, presence.state, presence.text
        behind = [each for each in self._sockets.get(user_id, ()) if self._told[each][user_id] != now]
        for socket_id in behind:
            self._told[socket_id][user_id] = now
        if behind:
            event = PresenceChanged.of(user_id, presence)
            self._emitter.emit_to_sockets(behind, ServerEvent.PRESENCE, event.to_wire())


@contextmanager
def _put_back(taken: set[str], waiting: set[str]) -> Iterator[None]:
    """Put what was taken back among what waits, if it could not be done."""
    try:
        yield
    except BaseException:
        waiting |= taken
        raise
