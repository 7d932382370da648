"""The deny-list in Redis: revoked sessions whose access tokens have not expired yet.

It is used only while it is known to be whole. Entries that could not be written while Redis was down, or that
Redis lost, are still in MongoDB: until `restore` has written them back, every query raises and callers ask MongoDB
instead. So a token that was refused once is never accepted again.

There is one list per shard of users, so that the loss of one master of a cluster puts only its part in doubt. Each
is a single key: a sorted set of sessions by end of their entry, with the mark that the list is whole. So Redis
cannot evict an entry and keep the mark.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

from auth.core.errors import Unavailable
from auth.core.shards import SHARDS, shard_of
from auth.platform.redis.link import RedisLink
from auth.platform.redis.master import Master
from auth.stores.room_members import RoomMembers
from auth.stores.sessions.store import SessionStore
from realtime.broker.redis_keys import ALL_SHARDS, SLOT_OF, Keys
from realtime.broker.scripts import load

# The member that marks the list as whole; also used in connect.lua and deny.lua.
WHOLE = "whole"
# Members that say whether the shard has users in rooms that last. The former outweighs the latter.
ROOMS, NO_ROOMS = "rooms", "no rooms"
# Lists, and entries of one list, written back per call.
RESTORE_SHARDS, RESTORE_ENTRIES = 128, 1000

Entry = tuple[str, timedelta]


class DenyList:
    """Implements `auth.sessions.sessions.RevocationList`.

    A list is in doubt after each outage of its master that this node saw, until `restore`, and whenever the mark
    that `restore` writes is missing, which is lost together with the entries. `life`: how long a revoked session's
    access tokens remain unexpired at most.
    """

    def __init__(self, link: RedisLink, keys: Keys, *, life: timedelta) -> None:
        self._link = link
        self._keys = keys
        self.life = life
        # The epoch of its master in which each list was found or made whole.
        self._whole_in: list[int | None] = [None] * SHARDS
        self._doubted = asyncio.Event()
        self._write = load(link, "deny")

    @property
    def doubtful(self) -> list[int]:
        """The shards whose lists may lack entries."""
        return [shard for shard in range(SHARDS) if self._is_doubtful(shard)]

    @property
    def is_usable(self) -> bool:
        """Whether all lists of at least one master are whole."""
        return any(not any(map(self._is_doubtful, shards)) for shards in self._parts().values())

    def in_doubt(self, user_id: str) -> bool:
        """Whether the list of a user's shard may lack entries."""
        return self._is_doubtful(shard_of(user_id))

    def mark_in_doubt(self, shards: Iterable[int] = ALL_SHARDS) -> None:
        """Mark lists as possibly incomplete, and wake the task in `wait_for_doubt`, which restores them."""
        for shard in shards:
            self._whole_in[shard] = None
        self._doubted.set()

    def note_missing(self, user_id: str) -> None:
        """Mark the lists of a master as in doubt, because it has lost that of a user's shard."""
        self.mark_in_doubt(self._parts()[self._link.master_of(SLOT_OF[shard_of(user_id)])])

    async def wait_for_doubt(self, seconds: float) -> None:
        """Wait until a list is next marked as in doubt, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._doubted.wait()
        except TimeoutError:
            return
        self._doubted.clear()

    async def is_revoked(self, user_id: str, session_id: str) -> bool:
        """Whether the session is on the list. Raises `Unavailable` if the list is in doubt or Redis is down."""
        shard = shard_of(user_id)
        if self._is_doubtful(shard):
            raise Unavailable
        denied, whole = await self._link.execute("ZMSCORE", self._keys.denied(shard), session_id, WHOLE)
        if denied is None and whole is None:
            self.note_missing(user_id)
            raise Unavailable
        return denied is not None

    async def check(self) -> None:
        """Mark the lists of a master as in doubt if it has lost one of them, picked at random.

        Raises `Unavailable` if no master answers.
        """
        outcomes = await asyncio.gather(*map(self._check_part, self._parts().values()), return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if len(failures) == len(outcomes):
            raise failures[0]

    async def _check_part(self, shards: Sequence[int]) -> None:
        if await self._link.execute("ZSCORE", self._keys.denied(secrets.choice(shards)), WHOLE) is None:
            self.mark_in_doubt(shards)

    async def restore(self, sessions: SessionStore, members: RoomMembers, *, now: datetime) -> None:
        """Write all sessions revoked within the last `life` back to the lists in doubt, and mark these as whole.

        Also marks which shards have users in rooms that last, so that handshakes of the others need no MongoDB.

        Where a replica has become the master, also record that the logs of the shard may lack its last events.

        Raises `Unavailable` when MongoDB is down, or when a list could not be restored because Redis was down or
        lost entries during the call; the others are restored all the same.
        """
        epochs = {shard: self._link.epoch_of(SLOT_OF[shard]) for shard in self.doubtful}
        masters = {self._link.master_of(SLOT_OF[shard]) for shard in epochs}
        histories = {master: await master.promoted_history() for master in masters if master is not None}
        mark = f"restoring {secrets.token_hex(8)}"
        # Before MongoDB is read: later revocations are written to Redis directly, and can only be lost with the
        # mark.
        begun = await self._each(epochs, lambda shard: self._put(shard, mark, "begin"))
        entries: dict[int, list[Entry]] = {}
        for user_id, session_id, at in await sessions.revoked_since(now - self.life):
            entries.setdefault(shard_of(user_id), []).append((session_id, at + self.life - now))
        with_rooms = await members.shards()

        async def finish(shard: int) -> None:
            master = self._link.master_of(SLOT_OF[shard])
            history = histories.get(master, "") if master is not None else ""
            rooms = ROOMS if shard in with_rooms else NO_ROOMS
            await self._fill(shard, mark, history, rooms, entries.get(shard, ()))

        ended = await self._each(begun, finish)
        for shard in ended:
            self._whole_in[shard] = epochs[shard]
        if len(ended) < len(epochs):
            raise Unavailable

    def _parts(self) -> dict[Master | None, list[int]]:
        """The shards of each master; None for those whose master is not known."""
        parts: dict[Master | None, list[int]] = {}
        for shard, slot in enumerate(SLOT_OF):
            parts.setdefault(self._link.master_of(slot), []).append(shard)
        return parts

    def _is_doubtful(self, shard: int) -> bool:
        return self._whole_in[shard] != self._link.epoch_of(SLOT_OF[shard])

    async def _each(self, shards: Collection[int], work: Callable[[int], Awaitable[None]]) -> list[int]:
        """Run `work` for each shard, some at a time; return those for which it succeeded."""
        remaining, done = list(shards), []
        for start in range(0, len(remaining), RESTORE_SHARDS):
            batch = remaining[start : start + RESTORE_SHARDS]
            outcomes = await asyncio.gather(*map(work, batch), return_exceptions=True)
            for shard, outcome in zip(batch, outcomes, strict=True):
                if outcome is None:
                    done.append(shard)
                elif not isinstance(outcome, Unavailable):
                    raise outcome
        return done

    async def note_rooms(self, user_id: str) -> None:
        """Note that the user has rooms that last. Raises `Unavailable`.

        Outweighs what `restore` finds, whichever comes first, and is lost with the mark of a restore that has not
        seen it.
        """
        await self._link.execute("ZADD", self._keys.denied(shard_of(user_id)), "+inf", ROOMS)

    async def _fill(self, shard: int, mark: str, history: str, rooms: str, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), RESTORE_ENTRIES):
            await self._put(shard, mark, "add", entries=entries[start : start + RESTORE_ENTRIES])
        await self._put(shard, mark, "end", history, rooms)

    async def _put(
        self,
        shard: int,
        mark: str,
        step: str,
        history: str = "",
        rooms: str = "",
        *,
        entries: Sequence[Entry] = (),
    ) -> None:
        arguments: list[str | int] = [mark, step, history, rooms]
        for session_id, life in entries:
            arguments += [session_id, max(round(life.total_seconds() * 1000), 1)]
        if not await self._write(keys=[self._keys.denied(shard)], args=arguments):
            raise Unavailable
