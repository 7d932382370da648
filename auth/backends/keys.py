"""Server keys: created and revoked by administrators and the operator, verified with each request of a backend.

A request reads the key from MongoDB, so a revocation holds on every node for each request that comes after it:
there is no cache that would have to hear of it. Requests at the same time share one read.
"""

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from auth.core.errors import (
    Forbidden,
    InvalidToken,
    MissingToken,
    NotFound,
    RateLimited,
    TokenExpired,
    Unavailable,
)
from auth.core.lru_cache import LruCache
from auth.core.models import Client, Principal
from auth.core.server_keys import PresentedKey, Scope, ServerKey, new_key
from auth.factors.step_up import StepUp
from auth.platform.rate_limits import LocalWindows
from auth.services import Operation, Services
from auth.stores.server_keys import ServerKeyStore

# Compared for an unknown id, so that the time of a refusal does not tell which ids exist.
NO_SECRET = bytes(32)
# Keys of an address that a node looks up, per request that the address may make. A flood of wrong keys ends here,
# and does not reach MongoDB; a new key is looked up although others of its address were refused.
LOOK_UPS_PER_REQUEST = 4
MAX_ADDRESSES = 20_000
# Keys that go on being looked up while their address is refused.
MAX_ACCEPTED = 1000


class ServerKeys(Operation):
    """Creates, lists, revokes and verifies server keys."""

    def __init__(self, services: Services, *, store: ServerKeyStore, step_up: StepUp) -> None:
        super().__init__(services)
        self._store = store
        self._step_up = step_up
        self._looked_up = LocalWindows(MAX_ADDRESSES)
        self._accepted = LruCache[str, bool](MAX_ACCEPTED)

    # Administration

    async def create(
        self,
        principal: Principal,
        name: str,
        scopes: Collection[str],
        *,
        expires_in_days: int | None,
        client: Client,
    ) -> tuple[ServerKey, str]:
        """Create a key; return it with its text, which cannot be read again.

        Raises `InvalidRequest`, `StepUpRequired` or `RateLimited`.
        """
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        key, text = await self._add(name, scopes, expires_in_days)
        await self._record("admin_server_key_created", principal, client, _details(key))
        return key, text

    async def list(self, principal: Principal, *, client: Client) -> Sequence[ServerKey]:
        """Return every key, newest first, revoked and expired ones too. Raises `RateLimited`."""
        await self._limits.hit("admin", principal.user_id)
        await self._record("admin_server_keys_listed", principal, client, {})
        return await self._store.all()

    async def revoke(self, principal: Principal, key_id: str, *, client: Client) -> None:
        """Revoke a key: every request with it that comes after the answer is refused, on every node.

        No error if it is revoked already. Raises `NotFound`, `StepUpRequired` or `RateLimited`.
        """
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        if not await self._store.revoke(key_id, now=self._clock()):
            raise NotFound("There is no such server key.")
        await self._record("admin_server_key_revoked", principal, client, {"key": key_id})

    # The operator

    async def create_by_operator(
        self, name: str, scopes: Collection[str], *, expires_in_days: int | None
    ) -> tuple[ServerKey, str]:
        """Like `create`, for the operator. Raises `InvalidRequest`."""
        key, text = await self._add(name, scopes, expires_in_days)
        await self._audit.record("server_key_created", user_id=None, details=_details(key))
        return key, text

    async def list_for_operator(self) -> Sequence[ServerKey]:
        """Like `list`, for the operator."""
        return await self._store.all()

    async def revoke_by_operator(self, key_id: str) -> bool:
        """Like `revoke`, for the operator; False if there is no such key."""
        known = await self._store.revoke(key_id, now=self._clock())
        if known:
            await self._audit.record("server_key_revoked", user_id=None, details={"key": key_id})
        return known

    # Backends

    async def authenticate(self, text: str | None, scopes: Collection[Scope], *, client: Client) -> ServerKey:
        """Return the key, if it is valid and has one of `scopes`; counts the request, and records the use.

        A refused or missing key counts against the limit of the caller's address, an accepted one against the
        key's own. Of an address that goes far beyond its limit, only keys that this node has accepted before are
        looked up.

        Raises `MissingToken`, `InvalidToken`, `TokenExpired`, `Forbidden`, `RateLimited` or `Unavailable`.
        """
        now = self._clock()
        try:
            if text is None:
                raise MissingToken("A server key is required, as a bearer token.")
            presented = PresentedKey.parse(text)
            if not self._accepted.get(presented.key_id):
                self._count_look_up(client.ip)
            key = await self._store.get(presented.key_id)
            is_right = secrets.compare_digest(presented.secret_hash, key.secret_hash if key else NO_SECRET)
            if key is None or not is_right:
                raise InvalidToken("This is not a server key.")
            key.check(now)
        except (MissingToken, InvalidToken, TokenExpired):
            await self._limits.hit("api", client.ip)
            raise
        self._accepted.put(key.key_id, True)
        await self._limits.hit("server", key.key_id)
        if key.use_is_news(now):
            with suppress(Unavailable):  # recorded by a later use
                await self._store.note_use(key.key_id, now=now)
        if not key.has_any(scopes):
            denied = {"key": key.key_id, "name": key.name, "scope": " ".join(scopes)}
            await self._audit.record("access_denied", user_id=None, client=client, details=denied)
            raise Forbidden(f"This server key does not have the scope {' or '.join(scopes)}.")
        return key

    async def require_valid(self, key_id: str) -> None:
        """Raise `InvalidToken` or `TokenExpired` if an accepted key is not valid any more, or `Unavailable`."""
        key = await self._store.get(key_id)
        if key is None:
            raise InvalidToken("This is not a server key.")
        key.check(self._clock())

    def _count_look_up(self, address: str) -> None:
        """Count a look-up of a key that this node has not accepted yet. Raises `RateLimited`."""
        if not self._limits.enabled:
            return
        now = time.monotonic()
        for window in self._limits.windows("api", address):
            if self._looked_up.add(window.key, window.seconds, now=now) > window.amount * LOOK_UPS_PER_REQUEST:
                self._limits.refused("api")
                raise RateLimited(retry_after_seconds=self._looked_up.seconds_left(window.key, now=now))

    async def record_use(
        self, key: ServerKey, act: str, *, outcome: str, about: Mapping[str, str], client: Client
    ) -> None:
        """Record the use of a writing scope in the audit trail; never raises."""
        await self._audit.record(
            "server_key_used",
            user_id=None,
            client=client,
            details={"key": key.key_id, "name": key.name, "act": act, "outcome": outcome, **about},
        )

    async def _add(self, name: str, scopes: Collection[str], expires_in_days: int | None) -> tuple[ServerKey, str]:
        key, text = new_key(name, scopes, expires_in_days=expires_in_days, now=self._clock())
        await self._store.add(key)
        return key, text

    async def _record(self, kind: str, principal: Principal, client: Client, details: Mapping[str, str]) -> None:
        await self._audit.record(
            kind, user_id=principal.user_id, session_id=principal.session_id, client=client, details=details
        )


def _details(key: ServerKey) -> dict[str, str]:
    return {"key": key.key_id, "name": key.name, "scopes": " ".join(key.scopes)}
