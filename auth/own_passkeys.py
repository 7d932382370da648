"""A user's own passkeys: adding, naming and removing them.

Adding and removing one is sensitive: `StepUp.require` comes first, so that whoever finds a device unlocked leaves
no way in of their own behind (ASVS 5.0, 7.5.1). Both are audited and told by mail (6.3.7). What answers a ceremony
is judged in auth/passkeys.py.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from auth.accounts import clean_name
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import Conflict, InvalidCode, NotFound, SessionRevoked
from auth.models import Client, Passkey, Principal
from auth.passkeys import MOST_PASSKEYS, PasskeyCeremonies, PasskeyNotice, bound_to
from auth.rate_limits import RateLimits
from auth.relying_party import RelyingParty
from auth.second_factors import SecondFactors
from auth.step_up import StepUp
from auth.stores.challenges import ChallengePurpose
from auth.stores.passkeys import Passkeys, PasskeyTaken
from auth.stores.users import Users
from auth.ways_in import WaysIn

DEFAULT_NAME = "Passkey"


class CodeForgetter(Protocol):
    """Keeps recovery codes."""

    async def forget_codes(self, user_id: str) -> None:
        """Void the user's recovery codes."""


class OwnPasskeys:
    """What a user does with their own passkeys. Adding and removing is sensitive: a step-up comes first."""

    def __init__(
        self,
        *,
        ceremonies: PasskeyCeremonies,
        store: Passkeys,
        party: RelyingParty,
        step_up: StepUp,
        users: Users,
        ways_in: WaysIn,
        second_factors: SecondFactors,
        codes: CodeForgetter,
        notice: PasskeyNotice,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._second_factors = second_factors
        self._codes = codes
        self._ceremonies = ceremonies
        self._store = store
        self._party = party
        self._step_up = step_up
        self._users = users
        self._ways_in = ways_in
        self._notice = notice
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def list(self, principal: Principal) -> list[Passkey]:
        """The principal's passkeys, oldest first."""
        return await self._store.of_user(principal.user_id, limit=MOST_PASSKEYS)

    async def begin(self, principal: Principal, *, client: Client) -> dict[str, Any]:
        """Options for a new passkey.

        Raises `StepUpRequired`, `EmailNotVerified`, `Conflict` for one too many, or `RateLimited`.
        """
        await self._limits.hit("passkey_options", client.ip)
        user = await self._step_up.require_verified(principal)
        passkeys = await self._store.of_user(user.user_id, limit=MOST_PASSKEYS)
        if len(passkeys) >= MOST_PASSKEYS:
            raise _one_too_many()
        challenge = await self._ceremonies.draw(
            ChallengePurpose.PASSKEY_REGISTER, user_id=user.user_id, data=bound_to(principal)
        )
        return self._party.creation_options(user, challenge, exclude=passkeys)

    async def add(
        self, principal: Principal, credential: Mapping[str, Any], *, name: str | None, client: Client
    ) -> Passkey:
        """Keep a new passkey.

        Raises `InvalidCode`, `StepUpRequired`, `EmailNotVerified`, `InvalidRequest` for a name that will not do,
        `Conflict` when the passkey is known already, or `RateLimited`.
        """
        user = await self._step_up.require_verified(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        label = clean_name(name) or DEFAULT_NAME
        credential, drawn, challenge = await self._ceremonies.answered(
            credential, ChallengePurpose.PASSKEY_REGISTER
        )
        if drawn.user_id != user.user_id or drawn.data != bound_to(principal):
            raise InvalidCode
        made = self._party.verify_registration(credential, expected_challenge=challenge)
        now = self._clock()
        passkey = Passkey(
            credential_id=made.credential_id,
            user_id=user.user_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            name=label,
            transports=made.transports,
            backed_up=made.backed_up,
            created_at=now,
        )
        try:
            await self._store.add(passkey)
        except PasskeyTaken:
            raise Conflict("This passkey is known already.") from None
        await self._keep_only_if_allowed(passkey, principal)
        await self._record("passkey_added", principal, client, now)
        await self._notice.passkey_added(user, at=now, ip=client.ip)
        return passkey

    async def _keep_only_if_allowed(self, passkey: Passkey, principal: Principal) -> None:
        """Take a passkey back that is one too many, or whose session was ended while it was added.

        Looked for when it is there already: of several that are added at once none is overlooked, and a thief
        whose session ends, or is bound to, leaves nothing behind.
        """
        try:
            await self._step_up.who(principal)
            if await self._store.count(passkey.user_id) > MOST_PASSKEYS:
                raise _one_too_many()
        except (SessionRevoked, Conflict):
            await self._store.remove(passkey.user_id, passkey.credential_id)
            raise

    async def rename(self, principal: Principal, credential_id: bytes, *, name: str) -> Passkey:
        """Give a passkey another name. Raises `InvalidRequest` or `NotFound`."""
        label = clean_name(name) or DEFAULT_NAME
        renamed = await self._store.rename(principal.user_id, credential_id, name=label)
        if renamed is None:
            raise NotFound("There is no such passkey.")
        return renamed

    async def remove(self, principal: Principal, credential_id: bytes, *, client: Client) -> None:
        """Forget a passkey. Raises `StepUpRequired`, `RateLimited`, `NotFound`, or `Conflict` for the last way in.

        That is looked for when this one is gone, so that two ways taken off at once are not both.
        """
        user = await self._step_up.require(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        removed = await self._store.remove(user.user_id, credential_id)
        if removed is None:
            raise NotFound("There is no such passkey.")
        if not await self._ways_in.any_open(await self._users.by_id(user.user_id) or user):
            await self._store.add(removed)
            raise Conflict("This is your only way in. Set a password first.")
        if not await self._second_factors.own_methods(user):
            # Recovery codes stand in for a factor that can be lost; there is none any more.
            await self._codes.forget_codes(user.user_id)
        now = self._clock()
        await self._record("passkey_removed", principal, client, now)
        await self._notice.passkey_removed(user, at=now, ip=client.ip)

    async def _record(self, kind: str, principal: Principal, client: Client, now: datetime) -> None:
        await self._audit.record(
            kind, user_id=principal.user_id, session_id=principal.session_id, client=client, now=now
        )


def _one_too_many() -> Conflict:
    return Conflict(f"You have {MOST_PASSKEYS} passkeys. Remove one first.")
