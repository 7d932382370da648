"""Management of a user's passkeys: add, rename, remove.

Adding and removing first call `StepUp.require`, so that someone with an unlocked device cannot add a login method
of their own (ASVS 5.0, 7.5.1). Both are audited and reported to the user by mail (6.3.7). Challenges are handled
in auth/login/passkeys/login.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from auth.core.errors import Conflict, InvalidCode, NotFound, SessionRevoked
from auth.core.models import Client, Passkey, Principal, User
from auth.core.text import clean_name
from auth.factors.registry import SecondFactors
from auth.factors.step_up import StepUp
from auth.login.methods import LoginMethods, passkey_method
from auth.login.passkeys.login import MOST_PASSKEYS, PasskeyCeremonies, bound_to
from auth.login.passkeys.relying_party import RelyingParty
from auth.notifications.mail_contents import PasskeyAdded, PasskeyRemoved
from auth.notifications.undo_links import AddedMethod
from auth.services import Operation, Services
from auth.stores.challenges import ChallengePurpose
from auth.stores.factor_secrets import FactorSecrets
from auth.stores.passkeys import Passkeys, PasskeyTaken

DEFAULT_NAME = "Passkey"


class OwnPasskeys(Operation):
    """Operations on a user's own passkeys."""

    def __init__(
        self,
        services: Services,
        *,
        ceremonies: PasskeyCeremonies,
        store: Passkeys,
        party: RelyingParty,
        step_up: StepUp,
        login_methods: LoginMethods,
        second_factors: SecondFactors,
        codes: FactorSecrets,
    ) -> None:
        super().__init__(services)
        self._second_factors = second_factors
        self._codes = codes
        self._ceremonies = ceremonies
        self._store = store
        self._party = party
        self._step_up = step_up
        self._login_methods = login_methods

    async def list(self, principal: Principal) -> Sequence[Passkey]:
        """Return the principal's passkeys, oldest first."""
        return await self.of_user(principal.user_id)

    async def of_user(self, user_id: str) -> Sequence[Passkey]:
        """Return a user's passkeys, oldest first."""
        return await self._store.of_user(user_id, limit=MOST_PASSKEYS)

    async def begin(self, principal: Principal, *, client: Client) -> dict[str, Any]:
        """Return the options for a new passkey.

        Raises `StepUpRequired`, `EmailNotVerified`, `Conflict` at the limit of passkeys, or `RateLimited`.
        """
        await self._limits.hit("passkey_options", client.ip)
        user = await self._step_up.require_verified(principal)
        passkeys = await self._store.of_user(user.user_id, limit=MOST_PASSKEYS)
        if len(passkeys) >= MOST_PASSKEYS:
            raise _limit_reached()
        challenge = await self._ceremonies.new_challenge(
            ChallengePurpose.PASSKEY_REGISTER, user_id=user.user_id, data=bound_to(principal)
        )
        return self._party.creation_options(user, challenge, exclude=passkeys)

    async def add(
        self, principal: Principal, credential: Mapping[str, Any], *, name: str | None, client: Client
    ) -> Passkey:
        """Verify and store a new passkey.

        Raises `InvalidCode`, `StepUpRequired`, `EmailNotVerified`, `InvalidRequest` for an invalid name,
        `Conflict` if the passkey is already registered or the limit is reached, or `RateLimited`.
        """
        user = await self._step_up.allow_addition(principal)
        label = clean_name(name) or DEFAULT_NAME
        credential, issued, challenge = await self._ceremonies.consume_challenge(
            credential, ChallengePurpose.PASSKEY_REGISTER
        )
        if issued.user_id != user.user_id or issued.data != bound_to(principal):
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
            raise Conflict("This passkey is already registered.") from None
        await self._keep_only_if_allowed(passkey, principal)
        notice = PasskeyAdded(at=now, ip=client.ip, added=AddedMethod("passkey", passkey.credential_id.hex()))
        await self._record_and_tell(user, notice, session_id=principal.session_id, client=client)
        return passkey

    async def _keep_only_if_allowed(self, passkey: Passkey, principal: Principal) -> None:
        """Remove the new passkey if it exceeds the limit, or if its session ended while it was added.

        Checked after it is stored, so that concurrent additions cannot exceed the limit, and so that an attacker
        whose session has ended, or is about to, cannot leave a passkey behind.
        """
        try:
            await self._step_up.current(principal)
            if await self._store.count(passkey.user_id) > MOST_PASSKEYS:
                raise _limit_reached()
        except (SessionRevoked, Conflict):
            await self._store.remove(passkey.user_id, passkey.credential_id)
            raise

    async def rename(self, principal: Principal, credential_id: bytes, *, name: str) -> Passkey:
        """Rename a passkey. Raises `InvalidRequest` or `NotFound`."""
        label = clean_name(name) or DEFAULT_NAME
        renamed = await self._store.rename(principal.user_id, credential_id, name=label)
        if renamed is None:
            raise NotFound("There is no such passkey.")
        return renamed

    async def remove(self, principal: Principal, credential_id: bytes, *, client: Client) -> None:
        """Remove a passkey.

        Raises `StepUpRequired`, `RateLimited`, `NotFound`, or `Conflict` for the last login method.
        """
        user = await self._step_up.allow_change(principal)
        if not await self.discard(user, credential_id):
            raise NotFound("There is no such passkey.")
        notice = PasskeyRemoved(at=self._clock(), ip=client.ip)
        await self._record_and_tell(user, notice, session_id=principal.session_id, client=client)

    async def discard(self, user: User, credential_id: bytes) -> bool:
        """Remove a user's passkey without step-up or notification; False if the user has no such passkey.

        Raises `Conflict` for the last login method.
        """
        passkey = await self._store.get(credential_id)
        if passkey is None or passkey.user_id != user.user_id:
            return False
        removed = await self._login_methods.discard(
            user.user_id, passkey_method(credential_id), lambda: self._store.remove(user.user_id, credential_id)
        )
        if not await self._second_factors.own_methods(user):
            # No factor is left that recovery codes could replace.
            await self._codes.forget_codes(user.user_id)
        return removed is not None


def _limit_reached() -> Conflict:
    return Conflict(f"You have {MOST_PASSKEYS} passkeys. Remove one first.")
