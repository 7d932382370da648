"""Management of a user's second factors: the authenticator app and the recovery codes.

Every operation first calls `StepUp.require`, so that someone with an unlocked device can neither turn off a second
factor nor replace it with their own (ASVS 5.0, 7.5.1). Each change is audited and reported to the user by mail
(6.3.7).
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from auth.core.clock import iso
from auth.core.errors import Conflict, InvalidCode, SessionRevoked
from auth.core.models import MULTI_FACTOR, Actor, Client, Principal, RevocationReason, User
from auth.crypto.sealing import Seal, SealBroken
from auth.factors import recovery_codes, totp
from auth.factors.recovery_codes import RecoveryCodeFactor, code_digest, new_codes
from auth.factors.registry import SecondFactors
from auth.factors.step_up import StepUp
from auth.factors.totp import TotpFactor
from auth.notifications.mail_contents import RecoveryCodesMade, TotpDisabled, TotpEnabled
from auth.notifications.undo_links import AddedMethod
from auth.services import Operation, Services
from auth.sessions.endings import SessionEndings, ending
from auth.stores.factor_secrets import FactorSecrets
from auth.stores.passkeys import Passkeys
from auth.stores.sessions.store import SessionStore

# How long a new secret waits for its first code.
SETUP_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class TotpSetup:
    """A new secret that waits for its first code. Shown once; must be kept secret."""

    secret: str
    uri: str
    qr_svg: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"TotpSetup(expires_at={self.expires_at!r}, …)"


@dataclass(frozen=True, slots=True)
class FactorOverview:
    """A user's second factors. `methods`: those that could complete a login now."""

    totp_enabled_at: datetime | None
    codes_left: int | None
    passkeys: int
    methods: tuple[str, ...]


class TwoFactor(Operation):
    """Operations on a user's own second factors. `service`: the name that apps show with the code."""

    def __init__(
        self,
        services: Services,
        *,
        store: FactorSecrets,
        seal: Seal,
        totp_factor: TotpFactor,
        code_factor: RecoveryCodeFactor,
        second_factors: SecondFactors,
        passkeys: Passkeys,
        step_up: StepUp,
        endings: SessionEndings,
        assurances: SessionStore,
        service: str,
    ) -> None:
        super().__init__(services)
        self._store = store
        self._seal = seal
        self._totp = totp_factor
        self._codes = code_factor
        self._second_factors = second_factors
        self._passkeys = passkeys
        self._step_up = step_up
        self._endings = endings
        self._assurances = assurances
        self._service = service

    async def overview(self, principal: Principal) -> FactorOverview:
        """Return the second factors of the principal's user. Raises `SessionRevoked` if the user is deleted."""
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        return await self.overview_of(user)

    async def overview_of(self, user: User) -> FactorOverview:
        """Return a user's second factors."""
        kept = await self._store.of_user(user.user_id)
        needed = kept.codes_left is not None and await self._codes.is_needed(user)
        return FactorOverview(
            totp_enabled_at=kept.totp.enabled_at if kept.totp else None,
            codes_left=kept.codes_left if needed else None,
            passkeys=await self._passkeys.count(user.user_id),
            methods=await self._second_factors.methods(user),
        )

    async def set_up(self, principal: Principal) -> TotpSetup:
        """Create a secret for an authenticator app, valid for ten minutes until its first code is entered.

        An enabled app stays enabled until then. Raises `StepUpRequired`, `EmailNotVerified` or `RateLimited`.
        """
        user = await self._step_up.allow_addition(principal)
        secret = totp.new_secret()
        expires_at = self._clock() + SETUP_LIFE
        await self._store.begin_totp(
            user.user_id,
            sealed_secret=self._seal.seal(secret.encode(), context=totp.seal_context(user.user_id)),
            expires_at=expires_at,
        )
        uri = totp.provisioning_uri(secret, account=user.email, service=self._service)
        return TotpSetup(secret, uri, await asyncio.to_thread(_qr_svg, uri), expires_at)

    async def enable(self, principal: Principal, code: str, *, client: Client) -> tuple[str, ...]:
        """Enable the pending secret with its first code; return ten recovery codes, shown only once.

        Ends the user's other sessions, which were started without the factor. This session counts as authenticated
        with both factors. Raises `StepUpRequired`, `EmailNotVerified`, `Conflict` without a pending secret,
        `InvalidCode` or `RateLimited`.
        """
        user = await self._step_up.allow_addition(principal)
        now = self._clock()
        sealed = await self._store.waiting_totp(user.user_id, now=now)
        if sealed is None:
            raise _no_pending_setup()
        step = self._step_of(code, sealed, user, now)
        # First, so that a session that has ended in the meantime cannot enable a factor.
        proved = (*self._totp.amr, MULTI_FACTOR)
        if await self._assurances.assure(principal.session_id, user_id=user.user_id, amr=proved, now=now) is None:
            raise SessionRevoked
        codes, digests = _new_codes_with_digests()
        own, reason = principal.session_id, RevocationReason.REVOKED_OTHERS
        ends = ending(now, reason, by=Actor("user", own, "two_factor_enabled"), keep=own)
        await self._endings.begin(user.user_id, ends)
        enabled = await self._store.enable_totp(
            user.user_id, sealed_secret=sealed, used_step=step, code_digests=digests, now=now
        )
        if not enabled:
            await self._endings.give_up(user.user_id, ends)
            raise _no_pending_setup()
        notice = TotpEnabled(at=now, ip=client.ip, added=AddedMethod("totp", iso(now)))
        await self._record_and_tell(user, notice, session_id=own, client=client)
        await self._endings.carry_out(user.user_id, ends, client=client)
        return codes

    async def disable(self, principal: Principal, *, client: Client) -> None:
        """Remove the authenticator app, and the recovery codes unless another factor still needs them.

        No error if there is none. Raises `StepUpRequired` or `RateLimited`.
        """
        user = await self._step_up.allow_change(principal)
        if await self.discard(user):
            notice = TotpDisabled(at=self._clock(), ip=client.ip)
            await self._record_and_tell(user, notice, session_id=principal.session_id, client=client)

    async def discard(self, user: User, *, enabled_at: datetime | None = None) -> bool:
        """Remove a user's authenticator app without step-up or notification; return whether there was one.

        Also removes the recovery codes unless another factor still needs them. With `enabled_at`, removes only the
        app that was enabled then.
        """
        disabled = await self._store.disable_totp(user.user_id, enabled_at=enabled_at)
        if not await self._codes.is_needed(user):
            await self._store.forget_codes(user.user_id)
        return disabled

    async def has_any(self, user: User) -> bool:
        """Whether an app is enabled or recovery codes are stored."""
        kept = await self._store.of_user(user.user_id)
        return kept.totp is not None or kept.codes_left is not None

    async def forget_codes(self, user: User) -> None:
        """Delete a user's recovery codes, even if another factor still needs them."""
        await self._store.forget_codes(user.user_id)

    async def renew_codes(self, principal: Principal, *, client: Client) -> tuple[str, ...]:
        """Replace the recovery codes with ten new ones, shown only once.

        Raises `StepUpRequired`, `RateLimited`, or `Conflict` for a user without a factor that the codes could
        replace.
        """
        user = await self._step_up.allow_change(principal)
        if not await self._codes.is_needed(user):
            raise Conflict("Set up two-step verification first.")
        codes, digests = _new_codes_with_digests()
        await self._store.replace_codes(user.user_id, digests)
        notice = RecoveryCodesMade(at=self._clock(), ip=client.ip)
        await self._record_and_tell(user, notice, session_id=principal.session_id, client=client)
        return codes

    def _step_of(self, code: str, sealed: bytes, user: User, now: datetime) -> int:
        try:
            secret = self._seal.open(sealed, context=totp.seal_context(user.user_id)).decode()
        except SealBroken:
            raise _no_pending_setup() from None
        step = next(totp.steps_of(code, secret=secret, now=now), None)
        if step is None:
            raise InvalidCode
        return step


def _no_pending_setup() -> Conflict:
    return Conflict("No setup is in progress. Start again.")


def _new_codes_with_digests() -> tuple[tuple[str, ...], list[bytes]]:
    codes = new_codes()
    digests = [digest for code in codes if (digest := code_digest(code)) is not None]
    assert len(digests) == recovery_codes.CODE_COUNT
    return codes, digests


def _qr_svg(uri: str) -> str:
    """Return the URI as a QR code: an SVG element to embed in HTML, on white even in dark mode."""
    # Slow to import, so it is imported here, in a thread, instead of at startup.
    import segno

    # ISO/IEC 18004 requires four modules of quiet zone, which segno adds.
    return str(segno.make_qr(uri, error="m").svg_inline(scale=4, light="#fff", dark="#000", omitsize=True))
