"""Step-up authentication: sensitive operations require a recent, strong enough proof (RFC 9470; ASVS 5.0, 7.5.1).

Every operation that changes how a user logs in, or deletes an account, first calls `StepUp.require`. It accepts a
login or a step-up in the last ten minutes, which must include a second factor if one is set up.

Operations that add a factor or login method call `StepUp.require_verified`, against *pre-hijacking* (Sudhodanan
and Paverd, USENIX Security 2022): an attacker registers a victim's address first and, where unverified users may
log in, sets up a factor of their own, which would survive the victim's verification and lock the victim out or let
the attacker in. So no such factor can exist when an address is first verified, whoever verifies it and however.
"""

from datetime import datetime, timedelta

from auth.core.errors import EmailNotVerified, InvalidCode, SessionRevoked, StepUpRequired
from auth.core.models import MULTI_FACTOR, Client, FactorAnswer, Principal, Session, User
from auth.crypto.passwords import Passwords
from auth.factors.code_forms import require_code_form
from auth.factors.password_guesses import PasswordGuesses
from auth.factors.registry import SecondFactors
from auth.services import Operation, Services
from auth.stores.sessions.store import SessionStore

MAX_AGE = timedelta(minutes=10)
PASSWORD = "password"  # noqa: S105 - a method's name
ACR_PASSWORD = "urn:vigil:acr:recent"  # noqa: S105 - a name
ACR_MULTI_FACTOR = "urn:vigil:acr:recent-mfa"


class StepUp(Operation):
    """Requires and accepts step-up proofs."""

    def __init__(
        self,
        services: Services,
        *,
        sessions: SessionStore,
        second_factors: SecondFactors,
        passwords: Passwords,
        guesses: PasswordGuesses,
    ) -> None:
        super().__init__(services)
        self._sessions = sessions
        self._second_factors = second_factors
        self._passwords = passwords
        self._guesses = guesses

    async def current(self, principal: Principal) -> tuple[User, Session]:
        """Return the principal's current user and session. Raises `SessionRevoked` if either is gone."""
        # Read the user first: if it has a new password and no sessions left to end, the earlier sessions have
        # already been ended.
        user = await self._users.by_id(principal.user_id)
        session = await self._sessions.get(principal.session_id, user_id=principal.user_id)
        if session is None or user is None or not session.is_live(self._clock()) or user.has_ended(session):
            raise SessionRevoked
        return user, session

    async def require(self, principal: Principal) -> User:
        """Return the principal's user if this session has a sufficient proof.

        Raises `StepUpRequired`, or `SessionRevoked` if the session or the user is gone.
        """
        now = self._clock()
        user, session = await self.current(principal)
        factors = await self._second_factors.own_methods(user)
        if session.is_assured(now, max_age=MAX_AGE, strongly=bool(factors)):
            return user
        raise StepUpRequired(
            acr=ACR_MULTI_FACTOR if factors else ACR_PASSWORD,
            max_age=round(MAX_AGE.total_seconds()),
            methods=factors or _first_factors(user),
        )

    async def require_verified(self, principal: Principal) -> User:
        """Like `require`, but raises `EmailNotVerified` unless the account's address is verified.

        Guarantee: a session that the verification ends can add nothing, however close together the two are
        (`User.has_ended`).
        """
        user = await self.require(principal)
        if user.email_verified_at is None:
            raise EmailNotVerified("Confirm your e-mail address first.")
        return user

    async def allow_change(self, principal: Principal) -> User:
        """Like `require`, for a change of second factors or login methods; raises `RateLimited` after many."""
        return await self._count_change(await self.require(principal))

    async def allow_addition(self, principal: Principal) -> User:
        """Like `allow_change`, for additions, which need a verified address: see `require_verified`."""
        return await self._count_change(await self.require_verified(principal))

    async def _count_change(self, user: User) -> User:
        await self._limits.hit("second_factor", "changes", user.user_id)
        return user

    async def require_two_factors(self, principal: Principal) -> User:
        """Return the principal's user if this session was ever authenticated with two factors, however long ago.

        Raises `StepUpRequired`, or `SessionRevoked` if the session or the user is gone.
        """
        user, session = await self.current(principal)
        if MULTI_FACTOR in session.amr:
            return user
        methods = await self._second_factors.own_methods(user)
        raise StepUpRequired(
            acr=ACR_MULTI_FACTOR, max_age=round(MAX_AGE.total_seconds()), methods=methods or _first_factors(user)
        )

    async def prove(self, principal: Principal, answer: FactorAnswer, *, client: Client) -> datetime:
        """Verify a proof in the principal's session; return until when it is sufficient.

        Accepts a second factor if one is set up, otherwise the password. Raises `InvalidCode`, `RateLimited`,
        `SessionRevoked` or `Unavailable`; `InvalidRequest`, without counting a try, for a malformed code.
        """
        require_code_form(answer)
        await self._limits.hit("second_factor", principal.user_id)
        user, _ = await self.current(principal)
        try:
            amr = await self._verify(user, answer, principal, client)
        except InvalidCode:
            await self._record("step_up_failed", principal, answer, client)
            raise
        now = self._clock()
        if await self._sessions.assure(principal.session_id, user_id=user.user_id, amr=amr, now=now) is None:
            raise SessionRevoked
        await self._limits.reset("second_factor", principal.user_id)
        await self._record("step_up", principal, answer, client)
        return now + MAX_AGE

    async def _verify(
        self, user: User, answer: FactorAnswer, principal: Principal, client: Client
    ) -> tuple[str, ...]:
        if answer.method != PASSWORD:
            return (await self._second_factors.prove(user, answer, principal)).amr
        if await self._second_factors.own_methods(user) or answer.password is None:
            raise InvalidCode
        guesser = self._guesses.at_step_up(user, principal, client=client)
        await self._guesses.check(guesser)
        verification = await self._passwords.verify(
            password=answer.password, password_hash=user.password_hash, ip=client.ip
        )
        if not verification.matches:
            await self._guesses.wrong(guesser)
            raise InvalidCode("The password is wrong.")
        await self._guesses.right(guesser)
        return ("pwd",)

    async def _record(self, kind: str, principal: Principal, answer: FactorAnswer, client: Client) -> None:
        await self._audit.record(
            kind,
            user_id=principal.user_id,
            session_id=principal.session_id,
            client=client,
            details={"method": answer.method[:32]},
        )


def _first_factors(user: User) -> tuple[str, ...]:
    """Return the step-up methods of a user without a second factor; if empty, the user has to log in again."""
    return (PASSWORD,) if user.password_hash else ()
