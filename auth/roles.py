"""Roles: who may do what, from the moment an administrator says so (ASVS 5.0, 8.2.1 and 8.3.2).

Everybody is a `user`. The setting VIGIL_ROLES names what else there is; `admin` is always among it, and an admin
may do whatever any role may. Between other roles there is no order: who shall have two is given both.

An access token carries roles for services that verify it by themselves, and lives for a quarter of an hour. Here
it is not believed in this: what asks for a role looks the account up. A change is written to the account, then
to its sessions for their next tokens, then told to its sockets, which act by it at once. What a node that died
left half told, another tells after some seconds.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import Conflict, FieldError, Forbidden, InvalidRequest, NotFound, SessionRevoked
from auth.events import Publisher, RolesChanged
from auth.mail.mailer import Mailer
from auth.models import ADMIN, Client, Principal, User, has_role
from auth.rate_limits import RateLimits
from auth.step_up import StepUp
from auth.stores.directory import Directory
from auth.stores.session_roles import SessionRoles
from auth.stores.users import Users

log = structlog.get_logger()

# Longer than telling one user's sessions takes; then another node may try.
CLAIM = timedelta(seconds=30)
LAST_ADMINISTRATOR = "Nobody would be left who can give roles. Make somebody else an admin first."


class Roles:
    """Gives roles and asks for them. `names` are those that can be given."""

    def __init__(
        self,
        *,
        names: Sequence[str],
        users: Users,
        directory: Directory,
        session_roles: SessionRoles,
        publisher: Publisher,
        step_up: StepUp,
        limits: RateLimits,
        mailer: Mailer,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self.names = tuple(names)
        self._users = users
        self._directory = directory
        self._session_roles = session_roles
        self._publisher = publisher
        self._step_up = step_up
        self._limits = limits
        self._mailer = mailer
        self._audit = audit
        self._clock = clock

    async def require(self, principal: Principal, role: str, *, act: str, client: Client) -> Principal:
        """The principal with the roles that their account has now, if `role` is among what these may do.

        Raises `Forbidden`, which is written down (ASVS 5.0, 16.3.2), or `SessionRevoked` without an account.
        """
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        if user.locked_at is None and has_role(user.roles, role):
            return replace(principal, roles=user.roles)
        await self._audit.record(
            "access_denied",
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details={"act": act, "role": role},
            now=self._clock(),
        )
        raise Forbidden

    async def set(self, principal: Principal, user_id: str, roles: Collection[str], *, client: Client) -> User:
        """Give a user these roles and no others.

        Repeated, it does everything again: who was told `unavailable` repeats it. Raises `InvalidRequest`,
        `NotFound`, `StepUpRequired`, `RateLimited`, or `Conflict`, when another change came in between or
        nobody would be left to give roles.
        """
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        wanted = self._known(roles)
        before = await self._users.by_id(user_id)
        if before is None:
            raise NotFound("There is no such account.")
        now = self._clock()
        user = await self._directory.set_roles(user_id, wanted, after=before.roles_version, now=now)
        if user is None:
            raise Conflict("Somebody else changed this account just now. Look again.")
        if ADMIN in before.roles and not await self._directory.has_administrator():
            await self._directory.set_roles(user_id, before.roles, after=user.roles_version, now=now)
            raise Conflict(LAST_ADMINISTRATOR)
        await self._audit_act("admin_roles_changed", principal, before, user, client)
        await self._put_in_force(user, by="admin")
        return user

    async def grant(self, email: str, role: str) -> User | None:
        """Add a role to the account of an address, for whoever runs the server; None without such an account.

        Raises `InvalidRequest` for a role that is none.
        """
        self._known([role])
        user = await self._directory.grant_role(email, role, now=self._clock())
        if user is not None:
            await self._put_in_force(user, by="system")
        return user

    async def finish_due(self) -> int:
        """Put in force what others left, each time on one node; for how many accounts. Raises `Unavailable`."""
        finished = 0
        while True:
            now = self._clock()
            user = await self._directory.claim_roles(now=now, until=now + CLAIM)
            if user is None:
                return finished
            await self._tell_sessions(user)
            finished += 1

    def _known(self, roles: Collection[str]) -> tuple[str, ...]:
        """The roles in the order of the setting, each once."""
        unknown = sorted(set(roles) - set(self.names))
        if unknown:
            known = ", ".join(self.names)
            raise InvalidRequest(errors=[FieldError("roles", f"Not every one is a role. There are: {known}.")])
        return tuple(name for name in self.names if name in roles)

    async def _put_in_force(self, user: User, *, by: str) -> None:
        await self._tell_sessions(user)
        now = self._clock()
        log.info("roles_changed", user_id=user.user_id, roles=user.roles, by=by)
        await self._audit.record(
            "roles_changed",
            user_id=user.user_id,
            session_id=None,
            client=None,
            details={"roles": " ".join(user.roles), "by": by},
            now=now,
        )
        await self._mailer.roles_changed(user, at=now)

    async def _tell_sessions(self, user: User) -> None:
        await self._session_roles.set_for_user(user.user_id, user.held_roles, now=self._clock())
        await self._publisher.publish([RolesChanged(user.user_id, user.roles, user.roles_version)])
        await self._directory.roles_in_force(user.user_id, user.roles_version)

    async def _audit_act(self, kind: str, by: Principal, before: User, after: User, client: Client) -> None:
        await self._audit.record(
            kind,
            user_id=by.user_id,
            session_id=by.session_id,
            client=client,
            details={"user": after.user_id, "from": " ".join(before.roles), "to": " ".join(after.roles)},
            now=self._clock(),
        )
