"""The state that a user has chosen for others to see: one for all devices, the last one set. Sealed in Redis."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from auth.core.clock import Clock
from auth.platform.redis.link import RedisLink
from realtime.broker.redis_keys import Keys
from realtime.broker.seal import MessageSeal

# How long a state lasts after it was set.
STATE_LIFE = timedelta(days=30)
INVISIBLE = "invisible"


@dataclass(frozen=True, slots=True)
class UserState:
    """A state: `online`, `away`, `busy` or `invisible`; since when, None if none was chosen."""

    state: str = "online"
    text: str | None = None
    since: datetime | None = None

    @property
    def is_invisible(self) -> bool:
        """Whether the user looks offline to others."""
        return self.state == INVISIBLE


class ChosenStates:
    """Reads and sets states."""

    def __init__(self, link: RedisLink, keys: Keys, seal: MessageSeal, *, clock: Clock) -> None:
        self._link = link
        self._keys = keys
        self._seal = seal
        self._clock = clock

    async def read(self, user_id: str) -> UserState:
        """The state of a user. Raises `Unavailable`."""
        raw = await self._link.execute("GET", self._keys.chosen_state(user_id))
        content = self._seal.read(raw) if raw is not None else None
        # A genuine one of another user could have been copied here.
        if content is None or content.get("t") != "chosen" or content["user"] != user_id:
            return UserState()
        return UserState(content["state"], content["text"], datetime.fromisoformat(content["since"]))

    async def forget(self, user_id: str) -> None:
        """Remove the state of a user. Raises `Unavailable`."""
        await self._link.execute("DEL", self._keys.chosen_state(user_id))

    async def set(self, user_id: str, state: str, text: str | None) -> UserState:
        """Set the state of a user, and return it. Raises `Unavailable`."""
        since = self._clock()
        if state == INVISIBLE:
            before = await self.read(user_id)
            # A later time would tell that the user was there.
            since = before.since if before.is_invisible and before.since is not None else since
        content = {"t": "chosen", "user": user_id, "state": state, "text": text, "since": since.isoformat()}
        key, life = self._keys.chosen_state(user_id), round(STATE_LIFE.total_seconds())
        await self._link.execute("SET", key, self._seal.seal(content), "EX", life)
        return UserState(state, text, since)
