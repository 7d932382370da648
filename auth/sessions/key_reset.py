"""Key reset: ends every session of every account and creates new signing keys under the current root secret.

For a root secret that was lost or disclosed, or to end all sessions at once (ASVS 5.0, 7.4.5). Sessions end first:
an interrupted reset leaves the old keys, with which no node starts under a new secret, so it has to be run again.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import structlog

from auth.core.models import NOWHERE, SYSTEM, RevocationReason
from auth.crypto.signing_keys import KeyRing
from auth.services import Operation, Services
from auth.sessions.endings import ending
from auth.sessions.sessions import Sessions
from auth.stores.sessions.store import SessionStore

ACCOUNTS_AT_ONCE = 32

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeyResetResult:
    """The result of a reset: the id of the new signing key, and how many sessions of how many accounts ended."""

    key_id: str
    sessions: int
    accounts: int


class KeyReset(Operation):
    """Ends every session and replaces every signing key."""

    def __init__(self, services: Services, *, keys: KeyRing, accounts: SessionStore, sessions: Sessions) -> None:
        super().__init__(services)
        self._keys = keys
        self._accounts = accounts
        self._sessions = sessions

    async def reset(self) -> KeyResetResult:
        """End all sessions, then replace the keys. Raises `Unavailable`; a repeated call continues."""
        now = self._clock()
        counts: list[int] = []
        limit = asyncio.Semaphore(ACCOUNTS_AT_ONCE)

        async def end(user_id: str) -> None:
            try:
                counts.append(await self._end(user_id, now))
            finally:
                limit.release()

        async with asyncio.TaskGroup() as group:
            async for user_id in self._accounts.users_with_live(now=now):
                await limit.acquire()
                group.create_task(end(user_id))
        key_id = await self._keys.replace_all()
        done = KeyResetResult(key_id, sum(counts), len(counts))
        log.warning("keys_reset", key_id=key_id, sessions=done.sessions, accounts=done.accounts)
        details = {"keyId": key_id, "sessions": str(done.sessions), "accounts": str(done.accounts)}
        await self._audit.record("keys_reset", user_id=None, details=details)
        return done

    async def _end(self, user_id: str, now: datetime) -> int:
        """End the sessions of one account that were started by `now`; return how many."""
        those = ending(now, RevocationReason.ADMIN, by=SYSTEM)
        revoked = await self._sessions.end_matching(user_id, those, only_begun_before=True, client=NOWHERE)
        return revoked.count
