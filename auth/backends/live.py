"""What the operations of backends need of the live side, implemented in realtime/delivery/direct.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from auth.core.models import Delivery


@dataclass(frozen=True, slots=True)
class Target:
    """Sockets: all of a user, of a session or of a room, or one.

    `user_id` is set for a session too, whose sockets are found by their user.
    """

    kind: Literal["user", "session", "socket", "room"]
    name: str
    user_id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class UserPresence:
    """How many devices of a user are online; when one was last, None if that is not known (any more)."""

    devices: int
    last_seen_at: datetime | None


class LiveControl(Protocol):
    """Acts on sockets of all nodes."""

    async def presence(self, user_ids: Sequence[str], *, now: datetime) -> Mapping[str, UserPresence]:
        """The presence of each user, in one round trip for each Redis master. Raises `Unavailable`."""

    async def disconnect(self, target: Target, *, reason: str, retryable: bool) -> Delivery:
        """Tell sockets why, and close them after their ack or 1 s. Never raises; `incomplete` without Redis."""
