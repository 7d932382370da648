"""Mass revocation: ends the sessions of many accounts at once, for operators (ASVS 5.0, 7.4.5).

Each session is ended by its own conditional update with a mark for its announcement. If Redis is down, or the
command is killed after the update, a running node announces it later (realtime/delivery/relay.py). A reset of the
signing keys, for a root secret that was lost or disclosed, ends the sessions first: an interrupted reset leaves
the old keys, with which no node starts under a new secret, so it has to be run again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from auth.core.errors import Unavailable
from auth.core.models import NOWHERE, SYSTEM, RevocationReason
from auth.core.text import email_key
from auth.crypto.signing_keys import KeyRing
from auth.services import Operation, Services
from auth.sessions.endings import ending
from auth.sessions.sessions import Sessions
from auth.stores.sessions.store import SessionStore

ACCOUNTS_AT_ONCE = 32

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MassRevoked:
    """How many sessions of how many accounts were ended."""

    sessions: int = 0
    accounts: int = 0

    def plus(self, sessions: int) -> "MassRevoked":
        """Add the sessions of one more account."""
        return MassRevoked(self.sessions + sessions, self.accounts + 1) if sessions else self


# Called after each account with what was ended so far.
Progress = Callable[[MassRevoked], None]


class MassRevocation(Operation):
    """Ends the sessions of one account or of all, without waiting for the devices' receipts."""

    def __init__(self, services: Services, *, accounts: SessionStore, sessions: Sessions, keys: KeyRing) -> None:
        super().__init__(services)
        self._accounts = accounts
        self._sessions = sessions
        self._keys = keys

    async def of_all(self, *, begun_by: datetime, progress: Progress) -> MassRevoked:
        """End the live sessions of all accounts that were started by `begun_by`, and record it in the audit trail.

        Raises `Unavailable`; a repeated call continues.
        """
        done = await self._end_all(begun_by, progress)
        await self._record("sessions_revoked_by_operator", done, startedBy=begun_by.isoformat())
        return done

    async def reset_keys(self) -> MassRevoked:
        """End all sessions, then replace all signing keys. Raises `Unavailable`; a repeated call continues."""
        done = await self._end_all(self._clock(), lambda _: None)
        await self._record("keys_reset", done, keyId=await self._keys.replace_all())
        return done

    async def of_user(self, id_or_email: str) -> MassRevoked | None:
        """End all sessions of an account, and record it in the audit trail; None without such an account.

        Raises `Unavailable`.
        """
        user = await self._users.by_id(id_or_email) or await self._users.by_email(email_key(id_or_email) or "")
        if user is None:
            return None
        done = MassRevoked().plus(await self._end_one(user.user_id, self._clock()))
        await self._record("sessions_revoked_by_operator", done, userId=user.user_id)
        return done

    async def _end_all(self, begun_by: datetime, progress: Progress) -> MassRevoked:
        done = MassRevoked()
        limit = asyncio.Semaphore(ACCOUNTS_AT_ONCE)

        async def end_one(user_id: str) -> None:
            nonlocal done
            try:
                ended = await self._end_one(user_id, begun_by)
                done = done.plus(ended)
                progress(done)
            finally:
                limit.release()

        try:
            async with asyncio.TaskGroup() as group:
                async for user_id in self._accounts.users_with_live(begun_by=begun_by, now=self._clock()):
                    await limit.acquire()
                    group.create_task(end_one(user_id))
        except* Unavailable:
            raise Unavailable from None
        return done

    async def _end_one(self, user_id: str, begun_by: datetime) -> int:
        those = ending(begun_by, RevocationReason.ADMIN, by=SYSTEM)
        revoked = await self._sessions.end_matching(user_id, those, only_begun_before=True, client=NOWHERE)
        return revoked.count

    async def _record(self, kind: str, done: MassRevoked, **what: str) -> None:
        log.warning(kind, **what, sessions=done.sessions, accounts=done.accounts)
        details = {**what, "sessions": str(done.sessions), "accounts": str(done.accounts)}
        await self._audit.record(kind, user_id=None, details=details)
