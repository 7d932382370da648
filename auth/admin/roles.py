"""Roles: granted by administrators, effective immediately (ASVS 5.0, 8.2.1 and 8.3.2).

Every account is a `user`. The setting VIGIL_ROLES names the other roles. `admin` is always among them and includes
every other role; the others are independent of each other, so a user who needs two is given both.

An access token carries roles for services that verify it themselves, and is valid for 15 minutes. This server does
not rely on them: an operation that requires a role reads the account. A change is written to the account, then to
its sessions for their next tokens, then announced to its sockets, which apply it immediately. If a node dies in
between, another node completes the change after some seconds.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from auth.core.errors import Conflict, FieldError, Forbidden, InvalidRequest, NotFound, SessionRevoked
from auth.core.events import Publisher, RolesChanged
from auth.core.models import ADMIN, Client, Principal, User, has_role
from auth.factors.step_up import StepUp
from auth.notifications.mail_contents import RolesWereChanged
from auth.platform.periodic_tasks import one_item
from auth.services import Operation, Services
from auth.stores.sessions.roles import SessionRoles
from auth.stores.users.directory import Directory

log = structlog.get_logger()

# Longer than it takes to update one user's sessions; afterwards another node may retry.
CLAIM = timedelta(seconds=30)
LAST_ADMINISTRATOR = "No administrator would be left. Make someone else an administrator first."


class Roles(Operation):
    """Grants and enforces roles. `names`: the roles that can be granted."""

    def __init__(
        self,
        services: Services,
        *,
        names: Sequence[str],
        directory: Directory,
        session_roles: SessionRoles,
        publisher: Publisher,
        step_up: StepUp,
    ) -> None:
        super().__init__(services)
        self.names = tuple(names)
        self._directory = directory
        self._session_roles = session_roles
        self._publisher = publisher
        self._step_up = step_up

    async def require(self, principal: Principal, role: str, *, act: str, client: Client) -> Principal:
        """Return the principal with the account's current roles, if they include `role`.

        Raises `Forbidden`, which is audited (ASVS 5.0, 16.3.2), or `SessionRevoked` if the account is deleted.
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
        )
        raise Forbidden

    async def set(self, principal: Principal, user_id: str, roles: Collection[str], *, client: Client) -> User:
        """Replace a user's roles.

        May be repeated, for example after `Unavailable`: a repeated call redoes every step. Raises
        `InvalidRequest`, `NotFound`, `StepUpRequired`, `RateLimited`, or `Conflict` after a concurrent change or
        if no administrator would be left.
        """
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        wanted = self._validated(roles)
        before = await self._users.by_id(user_id)
        if before is None:
            raise NotFound("There is no such account.")
        now = self._clock()
        user = await self._directory.set_roles(user_id, wanted, after=before.roles_version, now=now)
        if user is None:
            raise Conflict("Someone else just changed this account. Reload it and try again.")
        if ADMIN in before.roles and not await self._directory.has_administrator():
            await self._directory.set_roles(user_id, before.roles, after=user.roles_version, now=now)
            raise Conflict(LAST_ADMINISTRATOR)
        await self._audit_act("admin_roles_changed", principal, before, user, client)
        await self._apply(user, by="admin")
        return user

    async def grant(self, email: str, role: str) -> User | None:
        """Add a role to the account with this address, for the operator; None without such an account.

        Raises `InvalidRequest` for an unknown role.
        """
        self._validated([role])
        user = await self._directory.grant_role(email, role, now=self._clock())
        if user is not None:
            await self._apply(user, by="system")
        return user

    async def finish_due(self) -> int:
        """Complete changes that other nodes left unfinished; return how many accounts. Raises `Unavailable`."""
        finished = 0
        while True:
            now = self._clock()
            user = await self._directory.claim_roles(now=now, until=now + CLAIM)
            if user is None:
                return finished
            with one_item("roles", user_id=user.user_id):
                await self._update_sessions(user)
                finished += 1

    def _validated(self, roles: Collection[str]) -> tuple[str, ...]:
        """Return the roles without duplicates, in the order of the setting. Raises `InvalidRequest`."""
        unknown = sorted(set(roles) - set(self.names))
        if unknown:
            known = ", ".join(self.names)
            raise InvalidRequest(errors=[FieldError("roles", f"Unknown role. Available roles: {known}.")])
        return tuple(name for name in self.names if name in roles)

    async def _apply(self, user: User, *, by: str) -> None:
        await self._update_sessions(user)
        now = self._clock()
        log.info("roles_changed", user_id=user.user_id, roles=user.roles, by=by)
        await self._record_and_tell(
            user,
            RolesWereChanged(at=now, roles=user.roles),
            session_id=None,
            client=None,
            details={"roles": " ".join(user.roles), "by": by},
        )

    async def _update_sessions(self, user: User) -> None:
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
        )
