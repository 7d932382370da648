"""Sessions, presence and sockets, for backends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from auth.backends.live import LiveControl, Sent, Target, UserPresence
from auth.backends.targets import Targets
from auth.core.errors import InvalidToken, NotFound, SessionRevoked, TokenExpired
from auth.core.models import Actor, Client, Delivery, RevocationReason
from auth.services import Operation, Services
from auth.sessions.sessions import Sessions
from auth.sessions.types import Revoked, SessionList


@dataclass(frozen=True, slots=True)
class Introspection:
    """An access token that is in force, with the account's current roles."""

    user_id: str
    session_id: str
    roles: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime


class BackendSessions(Operation):
    """What a backend can ask and do about sessions and their sockets."""

    def __init__(self, services: Services, *, sessions: Sessions, targets: Targets, live: LiveControl) -> None:
        super().__init__(services)
        self._sessions = sessions
        self._targets = targets
        self._live = live

    async def introspect(self, token: str) -> Introspection | None:
        """Describe an access token; None if it is not one, has expired, or its session or account is not in force.

        Does not count as a use of the token. Raises `Unavailable`.
        """
        try:
            principal = await self._sessions.authenticate(token, confirm=False)
        except (InvalidToken, TokenExpired, SessionRevoked):
            return None
        user = await self._users.by_id(principal.user_id)
        if user is None or user.locked_at is not None:
            return None
        return Introspection(
            user.user_id, principal.session_id, user.roles, principal.issued_at, principal.expires_at
        )

    async def presence(self, user_ids: Sequence[str]) -> Mapping[str, UserPresence]:
        """Return the presence of each user; of an unknown one as of one who was never online.

        Raises `Unavailable` without Redis.
        """
        return await self._live.presence(list(dict.fromkeys(user_ids)), now=self._clock())

    async def watch(self, target: Target, user_ids: Sequence[str], *, begin: bool) -> Delivery:
        """Let live sockets watch users, or no longer. Raises `NotFound` for a session that is not live."""
        return await (
            await self._live.watch(await self._targets.located(target), user_ids, begin=begin)
        ).delivery()

    async def of_user(self, user_id: str) -> SessionList:
        """Return a user's live sessions, most recently seen first. Raises `NotFound`."""
        await self._targets.require_user(user_id)
        return await self._sessions.of_user(user_id)

    async def end_all(self, user_id: str, *, message: str | None, client: Client) -> Revoked:
        """End every session of a user; `message` is told to the devices. Raises `NotFound`."""
        await self._targets.require_user(user_id)
        by = Actor("admin", message=message)
        return await self._sessions.end_all(user_id, reason=RevocationReason.ADMIN, by=by, client=client)

    async def end(self, user_id: str, session_id: str, *, message: str | None, client: Client) -> Delivery:
        """End one session of a user; `message` is told to the device. Raises `NotFound`."""
        by = Actor("admin", message=message)
        delivery = await self._sessions.end(
            session_id, user_id, reason=RevocationReason.ADMIN, by=by, client=client, wait=True
        )
        if delivery is None:
            raise NotFound("There is no such session.")
        return delivery

    async def disconnect(self, target: Target, *, reason: str, retryable: bool) -> Delivery:
        """Close sockets without ending their sessions. Raises `NotFound` for a session that is not live."""
        return await (await self.begin_disconnect(target, reason=reason, retryable=retryable)).delivery()

    async def begin_disconnect(self, target: Target, *, reason: str, retryable: bool) -> Sent:
        """Like `disconnect`; returns before the sockets have answered."""
        return await self._live.disconnect(await self._targets.located(target), reason=reason, retryable=retryable)
