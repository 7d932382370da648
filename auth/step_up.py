"""Step-up: a sensitive operation wants a proof that is young and strong enough (RFC 9470; ASVS 5.0, 7.5.1).

Every operation that changes how somebody gets in, or takes an account away, asks `StepUp.require` first. A login
or a step-up of the last ten minutes will do; where a second factor is set up, it must have been part of it.

What adds a factor or a way in asks `StepUp.require_verified`. *Pre-hijacking* (Sudhodanan and Paverd, USENIX
Security 2022): somebody registers a victim's address first and, where unverified users may log in, sets up a
factor of their own, which would outlive the victim's verification and lock them out, or let the stranger in. So
nothing of the kind can be there when an address is first verified, whoever does it and in whatever way.
"""

from datetime import datetime, timedelta
from typing import Protocol

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import EmailNotVerified, InvalidCode, SessionRevoked, StepUpRequired
from auth.models import MULTI_FACTOR, Client, FactorAnswer, Principal, Session, User
from auth.passwords import Passwords
from auth.rate_limits import RateLimits
from auth.second_factors import SecondFactors
from auth.session_terms import SessionReader
from auth.stores.users import Users

MAX_AGE = timedelta(minutes=10)
PASSWORD = "password"  # noqa: S105 - a method's name
ACR_PASSWORD = "urn:vigil:acr:recent"  # noqa: S105 - a name
ACR_MULTI_FACTOR = "urn:vigil:acr:recent-mfa"


class AssuranceStore(SessionReader, Protocol):
    """Where sessions are kept, and the proofs given on them."""

    async def assure(self, session_id: str, *, amr: tuple[str, ...], now: datetime) -> Session | None:
        """Note a proof given on a live session; None when it is not live."""


class StepUp:
    """Asks for proof, and takes it."""

    def __init__(
        self,
        *,
        users: Users,
        sessions: AssuranceStore,
        second_factors: SecondFactors,
        passwords: Passwords,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._second_factors = second_factors
        self._passwords = passwords
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def who(self, principal: Principal) -> tuple[User, Session]:
        """The principal's user and session as they are now. Raises `SessionRevoked` when either is gone."""
        # The user first: who is read with a new password, and nothing left to end, has had the sessions of before
        # ended by then.
        user = await self._users.by_id(principal.user_id)
        session = await self._sessions.get(principal.session_id)
        if session is None or user is None or not session.is_live(self._clock()) or user.has_ended(session):
            raise SessionRevoked
        return user, session

    async def require(self, principal: Principal) -> User:
        """The principal's user, if this session gave a proof that will do.

        Raises `StepUpRequired`, or `SessionRevoked` when the session or the user is gone.
        """
        now = self._clock()
        user, session = await self.who(principal)
        factors = await self._second_factors.own_methods(user)
        if session.is_assured(now, max_age=MAX_AGE, strongly=bool(factors)):
            return user
        raise StepUpRequired(
            acr=ACR_MULTI_FACTOR if factors else ACR_PASSWORD,
            max_age=round(MAX_AGE.total_seconds()),
            methods=factors or _without_factor(user),
        )

    async def require_verified(self, principal: Principal) -> User:
        """As `require`, of an account whose address was verified: `EmailNotVerified` else.

        Guarantee: a session that ends with the verification adds nothing, however close the two come
        (`User.has_ended`).
        """
        user = await self.require(principal)
        if user.email_verified_at is None:
            raise EmailNotVerified("Confirm your e-mail address first.")
        return user

    async def require_two_factors(self, principal: Principal) -> User:
        """The principal's user, if this session ever gave two factors, however long ago.

        Raises `StepUpRequired`, or `SessionRevoked` when the session or the user is gone.
        """
        user, session = await self.who(principal)
        if MULTI_FACTOR in session.amr:
            return user
        methods = await self._second_factors.own_methods(user)
        raise StepUpRequired(
            acr=ACR_MULTI_FACTOR, max_age=round(MAX_AGE.total_seconds()), methods=methods or _without_factor(user)
        )

    async def prove(self, principal: Principal, answer: FactorAnswer, *, client: Client) -> datetime:
        """Take a proof on the principal's session; until when it will do.

        By a second factor where one is set up, by the password where none is. Raises `InvalidCode`,
        `RateLimited`, `SessionRevoked` or `Unavailable`.
        """
        await self._limits.hit("second_factor", principal.user_id)
        user, _ = await self.who(principal)
        try:
            amr = await self._proved(user, answer, principal)
        except InvalidCode:
            await self._record("step_up_failed", principal, answer, client)
            raise
        now = self._clock()
        if await self._sessions.assure(principal.session_id, amr=amr, now=now) is None:
            raise SessionRevoked
        await self._limits.reset("second_factor", principal.user_id)
        await self._record("step_up", principal, answer, client)
        return now + MAX_AGE

    async def _proved(self, user: User, answer: FactorAnswer, principal: Principal) -> tuple[str, ...]:
        if answer.method != PASSWORD:
            return await self._second_factors.prove(user, answer, principal)
        if await self._second_factors.own_methods(user) or answer.password is None:
            raise InvalidCode
        verification = await self._passwords.verify(password=answer.password, password_hash=user.password_hash)
        if not verification.matches:
            raise InvalidCode("The password is wrong.")
        return ("pwd",)

    async def _record(self, kind: str, principal: Principal, answer: FactorAnswer, client: Client) -> None:
        await self._audit.record(
            kind,
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details={"method": answer.method[:32]},
            now=self._clock(),
        )


def _without_factor(user: User) -> tuple[str, ...]:
    """How somebody without a second factor can prove themselves; nothing: they log in anew."""
    return (PASSWORD,) if user.password_hash else ()
