"""Linking a provider to a user's account, and unlinking it.

A linked provider is a login method, so both first call `StepUp.require`, and both are audited and reported to the
user by mail (ASVS 5.0, 6.3.7). A link is bound to the session and the browser that started it. Otherwise, a visit
started by an attacker could link the attacker's identity to the account of the victim who completes it.
"""

import secrets
from collections.abc import Collection, Sequence

from auth.core.errors import AccountLocked, Conflict, NotFound, SessionRevoked
from auth.core.models import Client, Principal, TokenDelivery, User
from auth.factors.step_up import StepUp
from auth.login.methods import LoginMethods, identity_method
from auth.login.providers.claims import Claims
from auth.login.providers.visits import Link, ProviderFlows, StartedVisit, Visit
from auth.notifications.mail_contents import IdentityLinked, IdentityUnlinked, Notice
from auth.notifications.undo_links import AddedMethod
from auth.services import Operation, Services
from auth.stores.identities import Identities, Identity, ProviderTaken
from auth.stores.sessions.store import SessionStore


class ProviderMethod:
    """Linked identities of configured providers as login methods. Implements `LoginMethod`."""

    def __init__(self, identities: Identities, issuers: Collection[str]) -> None:
        self._identities = identities
        self._issuers = frozenset(issuers)

    async def usable_methods(self, user: User) -> Collection[str]:
        """Return the names of the identities with which the user can log in."""
        identities = await self._identities.of_user(user.user_id)
        return [identity_method(each.identity_id) for each in identities if each.issuer in self._issuers]


class LinkedIdentities(Operation):
    """Operations on a user's own identities."""

    def __init__(
        self,
        services: Services,
        *,
        identities: Identities,
        sessions: SessionStore,
        flows: ProviderFlows,
        login_methods: LoginMethods,
        step_up: StepUp,
    ) -> None:
        super().__init__(services)
        self._identities = identities
        self._sessions = sessions
        self._flows = flows
        self._login_methods = login_methods
        self._step_up = step_up

    async def list(self, principal: Principal) -> Sequence[Identity]:
        """Return the principal's identities."""
        return await self._identities.of_user(principal.user_id)

    async def begin(
        self, principal: Principal, provider_id: str, *, return_to: str | None, second_origin: bool = False
    ) -> StartedVisit:
        """Start a visit that links a provider.

        Raises `NotFound`, `StepUpRequired`, `EmailNotVerified`, `RateLimited`, `Unavailable` or `ProviderFailed`.
        """
        self._flows.provider(provider_id)
        user = await self._step_up.allow_addition(principal)
        link = Link(user.user_id, principal.session_id)
        # The delivery is unused: linking issues no tokens.
        visit = Visit(TokenDelivery.COOKIES, return_to, link)
        return await self._flows.begin(provider_id, visit, second_origin=second_origin)

    async def link(self, provider_id: str, link: Link, claims: Claims, *, client: Client) -> None:
        """Link the identity to the account whose session started the visit; no error if already linked.

        Raises `SessionRevoked` if that session has ended in the meantime, `AccountLocked`, or `Conflict` if the
        identity belongs to another account or the account has another identity of this provider.
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
            raise Conflict("Another account at this provider is already linked. Unlink it first.") from None
        if there.user_id != user.user_id:
            raise Conflict("This provider account is linked to another account here.")
        if newly:
            added = AddedMethod("identity", there.identity_id)
            notice = IdentityLinked(at=now, ip=client.ip, added=added, provider=self._name(there))
            await self._tell(user, notice, there, link.session_id, client)
        elif there.registration_id is not None:
            # It was created with an unconfirmed address; now a logged-in user has confirmed it.
            await self._identities.confirm(there.identity_id)

    async def unlink(self, principal: Principal, identity_id: str, *, client: Client) -> None:
        """Unlink an identity.

        Raises `StepUpRequired`, `RateLimited`, `NotFound` if it is not the principal's, or `Conflict` for the last
        login method.
        """
        user = await self._step_up.allow_change(principal)
        identity = await self.discard(user, identity_id)
        if identity is None:
            raise NotFound
        notice = IdentityUnlinked(at=self._clock(), ip=client.ip, provider=self._name(identity))
        await self._tell(user, notice, identity, principal.session_id, client)

    async def discard(self, user: User, identity_id: str) -> Identity | None:
        """Unlink a user's identity without step-up or notification; None if the user has no such identity.

        Raises `Conflict` for the last login method.
        """
        if identity_id not in {each.identity_id for each in await self._identities.of_user(user.user_id)}:
            return None
        return await self._login_methods.discard(
            user.user_id, identity_method(identity_id), lambda: self._identities.remove(user.user_id, identity_id)
        )

    async def _claim(self, wanted: Identity) -> tuple[Identity, bool]:
        """Claim the identity; return it, and whether this call linked it to the user of `wanted`.

        A first login claims an identity before it creates the account. If it was interrupted in between, the
        account does not exist, and a logged-in user who proves the identity takes it over.
        """
        there = await self._identities.claim(wanted)
        if there.user_id == wanted.user_id or await self._users.by_id(there.user_id) is not None:
            return there, there.identity_id == wanted.identity_id
        moved = await self._identities.move(there, wanted)
        there = await self._identities.claim(wanted)
        return there, moved or there.identity_id == wanted.identity_id

    async def _owner(self, link: Link) -> User:
        # Read the user first, as in `StepUp.current`: if it has new credentials and no sessions left to end, the
        # earlier sessions have already been ended.
        user = await self._users.by_id(link.user_id)
        session = await self._sessions.get(link.session_id, user_id=link.user_id)
        if session is None or user is None or not session.is_live(self._clock()) or user.has_ended(session):
            raise SessionRevoked
        if user.locked_at is not None:
            raise AccountLocked
        return user

    async def _tell(self, user: User, notice: Notice, identity: Identity, session_id: str, client: Client) -> None:
        details = {"provider": identity.provider_id}
        await self._record_and_tell(user, notice, session_id=session_id, client=client, details=details)

    def _name(self, identity: Identity) -> str:
        names = {each.provider_id: each.name for each in self._flows.providers}
        return names.get(identity.provider_id, identity.provider_id)
