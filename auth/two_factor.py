"""Setting a second factor up: the authenticator app and the recovery codes.

All of it is sensitive: `StepUp.require` comes first, so that whoever finds a device unlocked can neither turn a
second factor off nor put their own in its place (ASVS 5.0, 7.5.1). Each change is audited and told by mail
(6.3.7).
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import segno

from auth import recovery_codes, totp
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import Conflict, InvalidCode, SessionRevoked
from auth.models import MULTI_FACTOR, Actor, Client, Principal, RevocationReason, User
from auth.rate_limits import RateLimits
from auth.recovery_codes import RecoveryCodeFactor, code_digest, new_codes
from auth.sealing import Seal, SealBroken
from auth.second_factors import SecondFactors
from auth.session_endings import SessionEndings, ending
from auth.step_up import AssuranceStore, StepUp
from auth.stores.factor_secrets import FactorSecrets
from auth.stores.users import Users
from auth.totp import TotpFactor

# How long a secret that was shown waits for its first code.
SETUP_LIFE = timedelta(minutes=10)


class FactorChange(StrEnum):
    """What was changed; also the kind of the audit event."""

    ENABLED = "totp_enabled"
    DISABLED = "totp_disabled"
    NEW_CODES = "recovery_codes_made"


class FactorNotice(Protocol):
    """Tells a user by mail what was changed about their second factors."""

    async def second_factor_changed(self, user: User, change: FactorChange, *, ip: str, now: datetime) -> None:
        """Queue the mail; never waits for a mail server."""


class PasskeyCount(Protocol):
    """Counts passkeys."""

    async def count(self, user_id: str) -> int:
        """How many the user has."""


@dataclass(frozen=True, slots=True)
class TotpSetup:
    """A secret that waits for its first code. Shown once; a secret."""

    secret: str
    uri: str
    qr_svg: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"TotpSetup(expires_at={self.expires_at!r}, …)"


@dataclass(frozen=True, slots=True)
class FactorOverview:
    """What a user has set up; `methods` by which a login could be finished now."""

    totp_enabled_at: datetime | None
    codes_left: int | None
    passkeys: int
    methods: tuple[str, ...]


class TwoFactor:
    """Operations on a user's own second factors. `service` is the name that apps show beside the code."""

    def __init__(
        self,
        *,
        store: FactorSecrets,
        seal: Seal,
        totp_factor: TotpFactor,
        code_factor: RecoveryCodeFactor,
        second_factors: SecondFactors,
        passkeys: PasskeyCount,
        step_up: StepUp,
        users: Users,
        endings: SessionEndings,
        assurances: AssuranceStore,
        notice: FactorNotice,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
        service: str,
    ) -> None:
        self._store = store
        self._seal = seal
        self._totp = totp_factor
        self._codes = code_factor
        self._second_factors = second_factors
        self._passkeys = passkeys
        self._step_up = step_up
        self._users = users
        self._endings = endings
        self._assurances = assurances
        self._notice = notice
        self._limits = limits
        self._audit = audit
        self._clock = clock
        self._service = service

    async def overview(self, principal: Principal) -> FactorOverview:
        """What the principal's user has set up. Raises `SessionRevoked` when the user is gone."""
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise SessionRevoked
        return await self.overview_of(user)

    async def overview_of(self, user: User) -> FactorOverview:
        """What a user has set up."""
        kept = await self._store.of_user(user.user_id)
        needed = kept.codes_left is not None and await self._codes.is_needed(user)
        return FactorOverview(
            totp_enabled_at=kept.totp.enabled_at if kept.totp else None,
            codes_left=kept.codes_left if needed else None,
            passkeys=await self._passkeys.count(user.user_id),
            methods=await self._second_factors.methods(user),
        )

    async def set_up(self, principal: Principal) -> TotpSetup:
        """Make a secret for an authenticator app, which waits ten minutes for its first code.

        One that is in force stays so until then. Raises `StepUpRequired`, `EmailNotVerified` or `RateLimited`.
        """
        user = await self._may_add(principal)
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
        """Put the waiting secret in force by its first code; ten recovery codes, shown this once.

        The user's other sessions end: they were begun without it. This one counts as proved by both factors.
        Raises `StepUpRequired`, `EmailNotVerified`, `Conflict` when no secret waits, `InvalidCode` or
        `RateLimited`.
        """
        user = await self._may_add(principal)
        now = self._clock()
        sealed = await self._store.waiting_totp(user.user_id, now=now)
        if sealed is None:
            raise _nothing_waits()
        step = self._step_of(code, sealed, user, now)
        # First, so that a session which was ended meanwhile puts no factor in anybody's way.
        proved = (*self._totp.amr, MULTI_FACTOR)
        if await self._assurances.assure(principal.session_id, amr=proved, now=now) is None:
            raise SessionRevoked
        codes, digests = _made_codes()
        own, reason = principal.session_id, RevocationReason.REVOKED_OTHERS
        ends = ending(now, reason, by=Actor("user", own), keep=own)
        await self._endings.begin(user.user_id, ends)
        enabled = await self._store.enable_totp(
            user.user_id, sealed_secret=sealed, used_step=step, code_digests=digests, now=now
        )
        if not enabled:
            await self._endings.give_up(user.user_id, ends)
            raise _nothing_waits()
        await self._tell(FactorChange.ENABLED, user, principal, client)
        await self._endings.carry_out(user.user_id, ends, client=client)
        return codes

    async def disable(self, principal: Principal, *, client: Client) -> None:
        """Forget the authenticator app, and the recovery codes where nothing is left that they stand in for.

        Fine when there is none. Raises `StepUpRequired` or `RateLimited`.
        """
        user = await self._allowed(principal)
        disabled = await self._store.disable_totp(user.user_id)
        if not await self._codes.is_needed(user):
            await self._store.forget_codes(user.user_id)
        if disabled:
            await self._tell(FactorChange.DISABLED, user, principal, client)

    async def renew_codes(self, principal: Principal, *, client: Client) -> tuple[str, ...]:
        """Ten new recovery codes, shown this once; the old are void.

        Raises `StepUpRequired`, `RateLimited`, or `Conflict` for somebody without a factor that they could stand
        in for.
        """
        user = await self._allowed(principal)
        if not await self._codes.is_needed(user):
            raise Conflict("Set a second factor up first.")
        codes, digests = _made_codes()
        await self._store.replace_codes(user.user_id, digests)
        await self._tell(FactorChange.NEW_CODES, user, principal, client)
        return codes

    async def _allowed(self, principal: Principal) -> User:
        user = await self._step_up.require(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        return user

    async def _may_add(self, principal: Principal) -> User:
        user = await self._step_up.require_verified(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        return user

    def _step_of(self, code: str, sealed: bytes, user: User, now: datetime) -> int:
        try:
            secret = self._seal.open(sealed, context=totp.seal_context(user.user_id)).decode()
        except SealBroken:
            raise _nothing_waits() from None
        step = next(totp.steps_of(code, secret=secret, now=now), None)
        if step is None:
            raise InvalidCode
        return step

    async def _tell(self, change: FactorChange, user: User, principal: Principal, client: Client) -> None:
        now = self._clock()
        await self._audit.record(
            change.value, user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        await self._notice.second_factor_changed(user, change, ip=client.ip, now=now)


def _nothing_waits() -> Conflict:
    return Conflict("No secret waits for its first code. Begin again.")


def _made_codes() -> tuple[tuple[str, ...], list[bytes]]:
    codes = new_codes()
    digests = [digest for code in codes if (digest := code_digest(code)) is not None]
    assert len(digests) == recovery_codes.HOW_MANY
    return codes, digests


def _qr_svg(uri: str) -> str:
    """The URI as a QR code for a page: an SVG element that stands in HTML as it is, on white in dark mode too."""
    # ISO/IEC 18004 wants four modules of quiet zone; segno keeps them.
    return str(segno.make_qr(uri, error="m").svg_inline(scale=4, light="#fff", dark="#000", omitsize=True))
