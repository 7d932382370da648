"""Linking a provider to one's own account, and taking it off again.

A linked provider is a way in, so both are sensitive: `StepUp.require` comes first, both are audited and told by
mail (ASVS 5.0, 6.3.7). A link is made for the session that began it, in the browser that began it, and for nobody
else: or a visit begun by a stranger would leave their identity on the account of whoever finishes it.
"""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import AccountLocked, Conflict, NotFound, SessionRevoked
from auth.models import Client, Principal, TokenDelivery, User
from auth.oauth.claims import Claims
from auth.oauth.flows import Begun, Link, ProviderFlows, Visit
from auth.rate_limits import RateLimits
from auth.session_terms import SessionReader
from auth.step_up import StepUp
from auth.stores.identities import Identities, Identity, ProviderTaken
from auth.stores.users import Users
from auth.ways_in import WaysIn


class IdentityChange(StrEnum):
    """What was changed; also the kind of the audit event."""

    LINKED = "identity_linked"
    UNLINKED = "identity_unlinked"


class IdentityNotice(Protocol):
    """Tells a user by mail which provider was linked or taken off."""

    async def identity_changed(
        self, user: User, change: IdentityChange, *, provider: str, ip: str, now: datetime
    ) -> None:
        """Queue the mail; never waits for a mail server."""


class ProviderWay:
    """Linked identities as a way in: those of providers that are still set up."""

    def __init__(self, identities: Identities, issuers: Collection[str]) -> None:
        self._identities = identities
        self._issuers = frozenset(issuers)

    async def is_open(self, user: User) -> bool:
        """Whether the user could log in by one."""
        return any(each.issuer in self._issuers for each in await self._identities.of_user(user.user_id))


class LinkedIdentities:
    """Operations on a user's own identities."""

    def __init__(
        self,
        *,
        identities: Identities,
        users: Users,
        sessions: SessionReader,
        flows: ProviderFlows,
        ways_in: WaysIn,
        step_up: StepUp,
        notice: IdentityNotice,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._identities = identities
        self._users = users
        self._sessions = sessions
        self._flows = flows
        self._ways_in = ways_in
        self._step_up = step_up
        self._notice = notice
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def list(self, principal: Principal) -> Sequence[Identity]:
        """The principal's identities."""
        return await self._identities.of_user(principal.user_id)

    async def begin(
        self, principal: Principal, provider_id: str, *, return_to: str | None, second_name: bool = False
    ) -> Begun:
        """Begin a visit that is to link a provider.

        Raises `NotFound`, `StepUpRequired`, `EmailNotVerified`, `RateLimited`, `Unavailable` or `ProviderFailed`.
        """
        self._flows.provider(provider_id)
        user = await self._step_up.require_verified(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        link = Link(user.user_id, principal.session_id)
        # A link hands out no tokens.
        visit = Visit(TokenDelivery.COOKIES, return_to, link)
        return await self._flows.begin(provider_id, visit, second_name=second_name)

    async def link(self, provider_id: str, link: Link, claims: Claims, *, client: Client) -> None:
        """Link who came back to the account whose session began the visit; fine when it was linked before.

        Raises `SessionRevoked` when that session has ended meanwhile, `AccountLocked`, or `Conflict` when the
        identity belongs to another account, or the account has another identity of this provider.
        """
        user = await self._owner(link)
        now = self._clock()
        wanted = Identity(
            identity_id=secrets.token_hex(16),
            issuer=claims.issuer,
            subject=claims.subject,
            user_id=user.user_id,
            provider_id=provider_id,
            label=claims.label,
            linked_at=now,
            last_used_at=now,
        )
        try:
            there, newly = await self._claim(wanted)
        except ProviderTaken:
            raise Conflict("Another account of this provider is linked. Take that one off first.") from None
        if there.user_id != user.user_id:
            raise Conflict("This account of the provider belongs to another account here.")
        if newly:
            await self._tell(IdentityChange.LINKED, user, there, link.session_id, client)
        elif there.registration_id is not None:
            # It came with an address nobody had confirmed; now somebody inside the account has asked for it.
            await self._identities.confirm(there.identity_id)

    async def unlink(self, principal: Principal, identity_id: str, *, client: Client) -> None:
        """Take an identity off the account.

        Raises `StepUpRequired`, `RateLimited`, `NotFound` for one that is not the principal's, or `Conflict` for
        the last way in. It is looked for when this one is gone, so that two taken off at once are not both.
        """
        user = await self._step_up.require(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        identity = await self._identities.remove(user.user_id, identity_id)
        if identity is None:
            raise NotFound
        if not await self._ways_in.any_open(await self._users.by_id(user.user_id) or user):
            await self._identities.put_back(identity)
            raise Conflict("This is your only way in. Set a password first.")
        await self._tell(IdentityChange.UNLINKED, user, identity, principal.session_id, client)

    async def _claim(self, wanted: Identity) -> tuple[Identity, bool]:
        """The identity, and whether this very call gave it to the user of `wanted`.

        A first login claims it and makes its account then. Where that was cut off the account never came to be:
        whoever proves the identity from inside an account takes it over.
        """
        there = await self._identities.claim(wanted)
        if there.user_id == wanted.user_id or await self._users.by_id(there.user_id) is not None:
            return there, there.identity_id == wanted.identity_id
        moved = await self._identities.move(there, wanted)
        there = await self._identities.claim(wanted)
        return there, moved or there.identity_id == wanted.identity_id

    async def _owner(self, link: Link) -> User:
        # The user first, as in `StepUp`: who is read with new credentials, and nothing left to end, has had the
        # sessions of before ended by then.
        user = await self._users.by_id(link.user_id)
        session = await self._sessions.get(link.session_id)
        if (
            session is None
            or user is None
            or session.user_id != user.user_id
            or not session.is_live(self._clock())
            or user.has_ended(session)
        ):
            raise SessionRevoked
        if user.locked_at is not None:
            raise AccountLocked
        return user

    async def _tell(
        self, change: IdentityChange, user: User, identity: Identity, session_id: str, client: Client
    ) -> None:
        now = self._clock()
        await self._audit.record(
            change.value,
            user_id=user.user_id,
            session_id=session_id,
            client=client,
            details={"provider": identity.provider_id},
            now=now,
        )
        await self._notice.identity_changed(user, change, provider=self._name(identity), ip=client.ip, now=now)

    def _name(self, identity: Identity) -> str:
        names = {each.provider_id: each.name for each in self._flows.providers}
        return names.get(identity.provider_id, identity.provider_id)
