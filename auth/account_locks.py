"""Locking an account: its sessions end at once, on every node, and nobody gets in until it is unlocked.

First the account is marked, then its sessions are ended, by another node if this one dies in between. A login that
is under way looks at the account after it has made its session (auth/entry.py), so it is either among those ended
here, or refused there: ASVS 5.0, 7.4.2.
"""

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import Conflict, NotFound
from auth.mail.mailer import Mailer
from auth.models import ADMIN, Actor, Client, Principal, RevocationReason, User
from auth.rate_limits import RateLimits
from auth.roles import LAST_ADMINISTRATOR
from auth.session_endings import SessionEndings, ending
from auth.session_terms import Revoked
from auth.step_up import StepUp
from auth.stores.directory import Directory


class AccountLocks:
    """Locks and unlocks accounts."""

    def __init__(
        self,
        *,
        directory: Directory,
        endings: SessionEndings,
        step_up: StepUp,
        limits: RateLimits,
        mailer: Mailer,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._endings = endings
        self._step_up = step_up
        self._limits = limits
        self._mailer = mailer
        self._audit = audit
        self._clock = clock

    async def lock(
        self, principal: Principal, user_id: str, *, reason: str | None, client: Client
    ) -> tuple[User, Revoked]:
        """Lock an account and end its sessions; the account as it is then, and what became of them.

        Again, it ends what is left of them. `reason` is for the audit trail alone. Raises `NotFound`,
        `StepUpRequired`, `RateLimited`, or `Conflict` when nobody would be left to give roles.
        """
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        now = self._clock()
        ends = ending(now, RevocationReason.ADMIN, by=Actor("admin", principal.session_id))
        user = await self._directory.lock(user_id, ends=ends, now=now)
        if user is None:
            raise NotFound("There is no such account.")
        if ADMIN in user.roles and not await self._directory.has_administrator():
            await self._directory.unlock(user_id)
            await self._endings.give_up(user_id, ends)
            raise Conflict(LAST_ADMINISTRATOR)
        revoked = await self._endings.carry_out(user_id, ends, client=client)
        await self._record("admin_account_locked", "account_locked", principal, user, client, reason)
        await self._mailer.account_locked(user, at=now)
        return user, revoked

    async def unlock(self, principal: Principal, user_id: str, *, client: Client) -> User:
        """Let the account's user in again. Raises `NotFound`, `StepUpRequired` or `RateLimited`."""
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        user = await self._directory.unlock(user_id)
        if user is None:
            raise NotFound("There is no such account.")
        await self._record("admin_account_unlocked", "account_unlocked", principal, user, client, None)
        await self._mailer.account_unlocked(user, at=self._clock())
        return user

    async def _record(
        self, act: str, fact: str, principal: Principal, user: User, client: Client, reason: str | None
    ) -> None:
        """Who did it stands in the administrator's own trail; that it was done, in the user's."""
        now = self._clock()
        await self._audit.record(
            act,
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details={"user": user.user_id} | ({"reason": reason} if reason else {}),
            now=now,
        )
        await self._audit.record(
            fact, user_id=user.user_id, session_id=None, client=None, details={"by": "admin"}, now=now
        )
