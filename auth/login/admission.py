"""The last step of every login: starts a session after the first factor, or requests a second one.

Password, provider, phone and passkey logins all end here, so that the same rules apply to each: locked accounts
are refused, addresses must be verified, and a second factor is always required if set up (ASVS 5.0, 6.3.4).
"""

import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from auth.core.errors import (
    AccountLocked,
    AuthError,
    Conflict,
    EmailNotVerified,
    InvalidCode,
    InvalidCredentials,
    InvalidRequest,
    InvalidToken,
    MfaRequired,
    RateLimited,
    SessionLimitReached,
    Unavailable,
)
from auth.core.models import (
    MULTI_FACTOR,
    Client,
    FactorAnswer,
    IssuedTokens,
    Session,
    TokenDelivery,
    User,
)
from auth.factors.code_forms import require_code_form
from auth.factors.registry import SecondFactors
from auth.notifications.mail_contents import SecondFactorFailed
from auth.services import Operation, Services
from auth.sessions.sessions import Sessions
from auth.stores.challenges import Challenge, ChallengePurpose, Challenges

# How long a login waits for its second factor, and how many attempts it allows.
MFA_LIFE = timedelta(minutes=5)
MFA_TRIES = 5
SUCCESS = "success"
# The reasons for which a login can fail, whatever its method; labels of `vigil_logins_total`.
REFUSALS = (
    AccountLocked,
    Conflict,
    EmailNotVerified,
    InvalidCode,
    InvalidCredentials,
    InvalidRequest,
    InvalidToken,
    RateLimited,
    SessionLimitReached,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A completed login: the user, the new session and its first tokens."""

    user: User
    session: Session
    tokens: IssuedTokens


@dataclass(frozen=True, slots=True)
class MfaPending:
    """A login that waits for its second factor. `mfa_token` is a secret, useless without that factor."""

    mfa_token: str
    methods: tuple[str, ...]
    expires_at: datetime

    def __repr__(self) -> str:
        return f"MfaPending(methods={self.methods!r}, …)"


@dataclass(frozen=True, slots=True)
class WaitingLogin:
    """The user and challenge of a waiting login, and how its tokens will be delivered."""

    user: User
    challenge: Challenge
    delivery: TokenDelivery


P = ParamSpec("P")
Outcome = TypeVar("Outcome", LoggedIn, LoggedIn | MfaPending)


def count_outcome(
    login: Callable[Concatenate[Any, P], Awaitable[Outcome]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Outcome]]:
    """Decorate a method of an operation to count the outcome of its login in `vigil_logins_total`."""

    @functools.wraps(login)
    async def counted(operation: Any, /, *args: P.args, **kwargs: P.kwargs) -> Outcome:
        logins = operation._metrics.logins
        try:
            outcome = await login(operation, *args, **kwargs)
        except AuthError as refusal:
            logins.labels(refusal.code).inc()
            raise
        logins.labels(SUCCESS if isinstance(outcome, LoggedIn) else MfaRequired.code).inc()
        return outcome

    return counted


class Admission(Operation):
    """Admits users who have verified a first factor."""

    def __init__(
        self,
        services: Services,
        *,
        sessions: Sessions,
        second_factors: SecondFactors,
        challenges: Challenges,
        require_verified_email: bool,
    ) -> None:
        super().__init__(services)
        self._sessions = sessions
        self._second_factors = second_factors
        self._challenges = challenges
        self._metrics.begin(
            self._metrics.logins, SUCCESS, MfaRequired.code, *(refusal.code for refusal in REFUSALS)
        )
        self._require_verified_email = require_verified_email

    async def admit(
        self,
        user: User,
        *,
        amr: Sequence[str],
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> LoggedIn | MfaPending:
        """Start a session for a user who has just verified a first factor, or request a second one.

        With `mfa` in `amr`, the login already included both. Raises `AccountLocked`, `EmailNotVerified`,
        `SessionLimitReached`, `Unavailable`, or `Conflict` if the account's credentials changed in the meantime.
        """
        await self._check_allowed(user, client)
        methods = () if MULTI_FACTOR in amr else await self._second_factors.methods(user)
        if methods:
            return await self._request_second_factor(user, methods, amr, device_name, delivery)
        return await self._start(user, amr, device_name, delivery, client)

    async def waiting(self, mfa_token: str) -> WaitingLogin:
        """Return the waiting login of an `mfa_token`. Raises `InvalidToken` if it is no longer waiting."""
        challenge = await self._challenges.find(mfa_token, ChallengePurpose.SECOND_FACTOR, now=self._clock())
        return await self._waiting(challenge)

    async def methods_of(self, login: WaitingLogin) -> tuple[str, ...]:
        """Return the methods with which a waiting login can be completed now."""
        return await self._second_factors.methods(login.user)

    @count_outcome
    async def finish(self, mfa_token: str, answer: FactorAnswer, *, client: Client) -> LoggedIn:
        """Complete a waiting login with a second factor.

        Raises `InvalidToken` if it is no longer waiting: it expired, was completed, had five wrong answers, or the
        credentials changed in the meantime. Raises `InvalidCode`, `AccountLocked`, `EmailNotVerified`, `Conflict`,
        `SessionLimitReached`, `RateLimited` or `Unavailable`; `InvalidRequest`, without counting a try, for a
        malformed code.
        """
        require_code_form(answer)
        taken = await self._challenges.take_try(mfa_token, ChallengePurpose.SECOND_FACTOR, now=self._clock())
        login = await self._waiting(taken)
        user, data = login.user, login.challenge.data
        # Limited over all logins of the account, because an attacker can start any number with five attempts each.
        await self._limits.hit("second_factor", user.user_id)
        await self._check_allowed(user, client)
        try:
            proof = await self._second_factors.prove(user, answer, login.challenge)
        except InvalidCode:
            await self._record_failure(user, f"wrong_{answer.method}"[:32], client)
            if not login.challenge.tries_left:
                await self._notify_second_factor_failed(user, client)
            raise
        if await self._challenges.consume(mfa_token, ChallengePurpose.SECOND_FACTOR, now=self._clock()) is None:
            raise InvalidToken
        await self._limits.reset("second_factor", user.user_id)
        amr = tuple(dict.fromkeys((*data["amr"], *proof.amr)))
        return await self._start(
            user, amr, data["deviceName"], login.delivery, client, approved_by=proof.approved_by
        )

    async def _notify_second_factor_failed(self, user: User, client: Client) -> None:
        """Notify the owner that someone passed the first factor and failed the second (ASVS 5.0, 6.3.5)."""
        if await self._limits.allows_mail("second_factor", user.user_id):
            await self._mailer.tell(user, SecondFactorFailed(at=self._clock(), ip=client.ip))

    async def _waiting(self, challenge: Challenge | None) -> WaitingLogin:
        user = await self._users.by_id(challenge.user_id) if challenge and challenge.user_id else None
        if challenge is None or user is None or challenge.data["credentialsVersion"] != user.credentials_version:
            raise InvalidToken("This login has expired. Log in again.")
        return WaitingLogin(user, challenge, TokenDelivery(challenge.data["delivery"]))

    async def _request_second_factor(
        self,
        user: User,
        methods: tuple[str, ...],
        amr: Sequence[str],
        device_name: str | None,
        delivery: TokenDelivery,
    ) -> MfaPending:
        now = self._clock()
        data: dict[str, Any] = {
            "amr": list(amr),
            "deviceName": device_name,
            "delivery": delivery.value,
            "credentialsVersion": user.credentials_version,
        }
        expires_at = now + MFA_LIFE
        token = await self._challenges.issue(
            ChallengePurpose.SECOND_FACTOR,
            user_id=user.user_id,
            data=data,
            tries=MFA_TRIES,
            now=now,
            expires_at=expires_at,
        )
        return MfaPending(token, methods, expires_at)

    async def _check_allowed(self, user: User, client: Client) -> None:
        if user.locked_at is not None:
            await self._record_failure(user, "account_locked", client)
            raise AccountLocked
        if self._require_verified_email and user.email_verified_at is None:
            await self._record_failure(user, "email_not_verified", client)
            raise EmailNotVerified

    async def _start(
        self,
        user: User,
        amr: Sequence[str],
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
        *,
        approved_by: str | None = None,
    ) -> LoggedIn:
        try:
            started = await self._sessions.start(
                user,
                amr=amr,
                device_name=device_name,
                delivery=delivery,
                client=client,
                approved_by=approved_by,
            )
        except (AccountLocked, Conflict, SessionLimitReached) as refusal:
            await self._record_failure(user, refusal.code, client)
            raise
        await self._audit.record(
            "login",
            user_id=user.user_id,
            session_id=started.session.session_id,
            client=client,
            details={"amr": " ".join(amr), "delivery": delivery.value},
        )
        return LoggedIn(user, started.session, started.tokens)

    async def _record_failure(self, user: User, reason: str, client: Client) -> None:
        await self._audit.record("login_failed", user_id=user.user_id, client=client, details={"reason": reason})
