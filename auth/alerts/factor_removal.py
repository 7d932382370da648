"""Removal of factors for users who cannot log in: by a mailed link, by an administrator, or by the operator.

*Undo*: each mail about an added factor or login method has a link for users who did not add it. It removes the
factor, ends every session and gives no access. It is valid for seven days, only for the address it was sent to.

*Lost factors*: a user who has lost phone, security key and recovery codes asks an administrator, who must verify
who is asking. All second factors, including passkeys, are removed, and every session ends, because they depended
on those factors.

The last login method of an account is never removed. As for every change of credentials, the sessions to end are
recorded first (auth/sessions/endings.py), so they end even if the node dies in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from auth.core.errors import Conflict, InvalidToken, NotFound
from auth.core.models import NOWHERE, SYSTEM, Actor, Client, Principal, RevocationReason, User
from auth.factors.manage import TwoFactor
from auth.factors.step_up import StepUp
from auth.login.passkeys.manage import OwnPasskeys
from auth.login.phones.manage import OwnPhone
from auth.login.providers.links import LinkedIdentities
from auth.notifications.mail_contents import FactorsRemoved
from auth.notifications.undo_links import AddedMethod
from auth.services import Operation, Services
from auth.sessions.endings import SessionEndings, ending
from auth.sessions.types import Revoked
from auth.stores.one_time_tokens import OneTimeToken, OneTimeTokens, Purpose

TOTP, PASSKEY = "totp", "passkey"


@dataclass(frozen=True, slots=True)
class Removal:
    """The methods removed, those kept as the last login method, and the sessions that ended."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    revoked: Revoked


class FactorRemoval(Operation):
    """Removes factors from accounts whose users cannot log in."""

    def __init__(
        self,
        services: Services,
        *,
        tokens: OneTimeTokens,
        two_factor: TwoFactor,
        passkeys: OwnPasskeys,
        phone: OwnPhone,
        identities: LinkedIdentities,
        endings: SessionEndings,
        step_up: StepUp,
    ) -> None:
        super().__init__(services)
        self._tokens = tokens
        self._two_factor = two_factor
        self._passkeys = passkeys
        self._phone = phone
        self._identities = identities
        self._endings = endings
        self._step_up = step_up

    async def preview(self, token: str) -> AddedMethod:
        """Return what a mailed link would remove; changes nothing. Raises `InvalidToken`."""
        found, _ = await self._find(token)
        return _added(found.data)

    async def undo(self, token: str, *, client: Client) -> Removal:
        """Remove what the mail reported as added, and end every session; a repeated call does nothing.

        Raises `InvalidToken` for a link that is no longer valid, or `Conflict` if it would remove the only login
        method: then the sessions still end, and the link can be used again once there is another login method.
        """
        found, user = await self._find(token)
        added, now = _added(found.data), self._clock()
        if await self._tokens.find(token, Purpose.UNDO_FACTOR, now=now) is None:
            return Removal((), (), Revoked())
        ends = ending(now, RevocationReason.REVOKED, by=Actor("user"))
        await self._endings.begin(user.user_id, ends)
        try:
            removed = (added.kind,) if await self._remove(user, added) else ()
        finally:
            revoked = await self._endings.carry_out(user.user_id, ends, client=client)
        await self._audit.record(
            "factor_undone", user_id=user.user_id, client=client, details={"factor": added.kind}, now=now
        )
        if removed:
            await self._mailer.tell(user, FactorsRemoved(at=now, removed=removed, by="link"))
        await self._tokens.consume(token, Purpose.UNDO_FACTOR, now=now)
        return Removal(removed, (), revoked)

    async def by_admin(self, principal: Principal, user_id: str, *, client: Client) -> Removal:
        """Remove every second factor of a user and end their sessions; does nothing if there is none.

        Raises `NotFound`, `StepUpRequired` or `RateLimited`.
        """
        await self._limits.hit("admin", principal.user_id)
        await self._step_up.require(principal)
        user = await self._users.by_id(user_id)
        if user is None:
            raise NotFound("There is no such account.")
        removal = await self._remove_all(user, by=Actor("admin", principal.session_id), client=client)
        await self._audit.record(
            "admin_factors_removed",
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details={"user": user_id} | _audit_details(removal),
        )
        return removal

    async def by_operator(self, email_key: str) -> Removal | None:
        """Like `by_admin`, for the operator; None without such an account."""
        user = await self._users.by_email(email_key)
        return None if user is None else await self._remove_all(user, by=SYSTEM, client=NOWHERE)

    async def _remove_all(self, user: User, *, by: Actor, client: Client) -> Removal:
        passkeys = await self._passkeys.of_user(user.user_id)
        if not passkeys and not await self._two_factor.has_any(user):
            return Removal((), (), Revoked())
        now = self._clock()
        ends = ending(now, RevocationReason.ADMIN, by=replace(by, act="factors_removed"))
        await self._endings.begin(user.user_id, ends)
        removed: list[str] = []
        kept: list[str] = []
        if await self._two_factor.discard(user):
            removed.append(TOTP)
        for passkey in passkeys:
            try:
                if await self._passkeys.discard(user, passkey.credential_id):
                    removed.append(PASSKEY)
            except Conflict:
                kept.append(PASSKEY)
        if not removed:
            await self._endings.give_up(user.user_id, ends)
            return Removal((), tuple(kept), Revoked())
        await self._two_factor.forget_codes(user)
        revoked = await self._endings.carry_out(user.user_id, ends, client=client)
        removal = Removal(tuple(dict.fromkeys(removed)), tuple(kept), revoked)
        notice = FactorsRemoved(at=now, removed=removal.removed, by=by.kind)
        details = {"by": by.kind} | _audit_details(removal)
        await self._record_and_tell(user, notice, session_id=None, client=None, details=details)
        return removal

    async def _remove(self, user: User, added: AddedMethod) -> bool:
        match added.kind:
            case "totp":
                return await self._two_factor.discard(user, enabled_at=datetime.fromisoformat(added.which))
            case "passkey":
                return await self._passkeys.discard(user, bytes.fromhex(added.which))
            case "phone":
                return await self._phone.discard(user, added.which) is not None
            case _:
                return await self._identities.discard(user, added.which) is not None

    async def _find(self, token: str) -> tuple[OneTimeToken, User]:
        found = await self._tokens.find(token, Purpose.UNDO_FACTOR, now=self._clock(), also_used=True)
        user = await self._users.by_id(found.user_id) if found else None
        # A link sent to a former address of the account is not accepted.
        if found is None or user is None or user.email.casefold() != found.email_key:
            raise InvalidToken("This link is no longer valid.")
        return found, user


def _added(data: Mapping[str, str | None]) -> AddedMethod:
    return AddedMethod(data["kind"] or "", data["which"] or "")


def _audit_details(removal: Removal) -> dict[str, str]:
    return {"removed": " ".join(removal.removed), "kept": " ".join(removal.kept)}
