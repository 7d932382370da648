"""The last step of every way in: whoever proved a first factor is let in here, or asked for a second one.

Passwords, providers, phones and passkeys all end here, so that none of them can forget a rule: a locked account
stays out, an address must be verified, and a second factor that is set up is always asked for (ASVS 5.0, 6.3.4).
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import (
    AccountLocked,
    AuthError,
    Conflict,
    EmailNotVerified,
    InvalidCode,
    InvalidToken,
    MfaRequired,
    SessionLimitReached,
)
from auth.metrics import Metrics
from auth.models import (
    MULTI_FACTOR,
    Client,
    FactorAnswer,
    IssuedTokens,
    Session,
    TokenDelivery,
    User,
)
from auth.rate_limits import RateLimits
from auth.second_factors import SecondFactors
from auth.session_terms import StartedSession
from auth.stores.challenges import Challenge, ChallengePurpose, Challenges
from auth.stores.users import Users

# How long the second factor of a login is waited for, and how many wrong answers it forgives.
MFA_LIFE = timedelta(minutes=5)
MFA_TRIES = 5


class SessionStarter(Protocol):
    """Begins sessions."""

    async def start(
        self,
        user: User,
        *,
        amr: Sequence[str],
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> StartedSession:
        """Begin a session for a user who has just proved who they are.

        Raises `AccountLocked`, `Conflict` or `SessionLimitReached`.
        """


class LoginNotice(Protocol):
    """Tells a user by mail of a login that stopped half-way."""

    async def second_factor_failed(self, user: User, *, ip: str, now: datetime) -> None:
        """Queue the mail; never waits for a mail server."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who logged in, the session begun and its first tokens."""

    user: User
    session: Session
    tokens: IssuedTokens


@dataclass(frozen=True, slots=True)
class MfaPending:
    """A login that waits for its second factor. `mfa_token` is a secret, worth nothing without that factor."""

    mfa_token: str
    methods: tuple[str, ...]
    expires_at: datetime

    def __repr__(self) -> str:
        return f"MfaPending(methods={self.methods!r}, …)"


@dataclass(frozen=True, slots=True)
class WaitingLogin:
    """Whose login waits, and how its tokens shall travel."""

    user: User
    challenge: Challenge
    delivery: TokenDelivery


Outcome = TypeVar("Outcome", LoggedIn, LoggedIn | MfaPending)


async def counted(metrics: Metrics, login: Awaitable[Outcome]) -> Outcome:
    """What comes of a login, by whichever way in; `vigil_logins_total` counts it."""
    try:
        outcome = await login
    except AuthError as refusal:
        metrics.logins.labels(refusal.code).inc()
        raise
    metrics.logins.labels("success" if isinstance(outcome, LoggedIn) else MfaRequired.code).inc()
    return outcome


class Admission:
    """Lets users in."""

    def __init__(
        self,
        *,
        users: Users,
        sessions: SessionStarter,
        second_factors: SecondFactors,
        challenges: Challenges,
        notice: LoginNotice,
        limits: RateLimits,
        audit: AuditLog,
        metrics: Metrics,
        clock: Clock,
        require_verified_email: bool,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._second_factors = second_factors
        self._challenges = challenges
        self._notice = notice
        self._limits = limits
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
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
        """Let in a user whose first factor was proved just now; with `mfa` in `amr` it was both at once.

        Raises `AccountLocked`, `EmailNotVerified`, `SessionLimitReached`, `Unavailable`, or `Conflict` for an
        account whose credentials changed meanwhile.
        """
        await self._refuse_unwelcome(user, client)
        methods = () if MULTI_FACTOR in amr else await self._second_factors.methods(user)
        if methods:
            return await self._ask_for_second(user, methods, amr, device_name, delivery)
        return await self._start(user, amr, device_name, delivery, client)

    async def waiting(self, mfa_token: str) -> WaitingLogin:
        """The login that `mfa_token` stands for. Raises `InvalidToken` when it does not wait any more."""
        challenge = await self._challenges.find(mfa_token, ChallengePurpose.SECOND_FACTOR, now=self._clock())
        return await self._waiting(challenge)

    async def methods_of(self, login: WaitingLogin) -> tuple[str, ...]:
        """By which a waiting login can be finished right now."""
        return await self._second_factors.methods(login.user)

    async def finish(self, mfa_token: str, answer: FactorAnswer, *, client: Client) -> LoggedIn:
        """Let in whoever answers a waiting login with a second factor.

        Raises `InvalidToken` when it does not wait any more: it is over, was finished, had five wrong answers, or
        the credentials changed meanwhile. Raises `InvalidCode`, `AccountLocked`, `EmailNotVerified`, `Conflict`,
        `SessionLimitReached`, `RateLimited` or `Unavailable`.
        """
        return await counted(self._metrics, self._finish(mfa_token, answer, client))

    async def _finish(self, mfa_token: str, answer: FactorAnswer, client: Client) -> LoggedIn:
        taken = await self._challenges.take_try(mfa_token, ChallengePurpose.SECOND_FACTOR, now=self._clock())
        login = await self._waiting(taken)
        user, data = login.user, login.challenge.data
        # Over all logins of the account: five tries each would otherwise be as many as somebody likes to begin.
        await self._limits.hit("second_factor", user.user_id)
        await self._refuse_unwelcome(user, client)
        try:
            added = await self._second_factors.prove(user, answer, login.challenge)
        except InvalidCode:
            await self._record_failure(user, f"wrong_{answer.method}"[:32], client)
            if not login.challenge.tries_left:
                await self._tell_failed(user, client)
            raise
        if await self._challenges.consume(mfa_token, ChallengePurpose.SECOND_FACTOR, now=self._clock()) is None:
            raise InvalidToken
        await self._limits.reset("second_factor", user.user_id)
        amr = tuple(dict.fromkeys((*data["amr"], *added)))
        return await self._start(user, amr, data["deviceName"], login.delivery, client)

    async def _tell_failed(self, user: User, client: Client) -> None:
        """Somebody has the first factor and not the second: its owner is to know (ASVS 5.0, 6.3.5)."""
        if await self._limits.allows_mail("second_factor", user.user_id):
            await self._notice.second_factor_failed(user, ip=client.ip, now=self._clock())

    async def _waiting(self, challenge: Challenge | None) -> WaitingLogin:
        user = await self._users.by_id(challenge.user_id) if challenge and challenge.user_id else None
        if challenge is None or user is None or challenge.data["credentialsVersion"] != user.credentials_version:
            raise InvalidToken("This login is over. Begin again.")
        return WaitingLogin(user, challenge, TokenDelivery(challenge.data["delivery"]))

    async def _ask_for_second(
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

    async def _refuse_unwelcome(self, user: User, client: Client) -> None:
        if user.locked_at is not None:
            await self._record_failure(user, "account_locked", client)
            raise AccountLocked
        if self._require_verified_email and user.email_verified_at is None:
            await self._record_failure(user, "email_not_verified", client)
            raise EmailNotVerified

    async def _start(
        self, user: User, amr: Sequence[str], device_name: str | None, delivery: TokenDelivery, client: Client
    ) -> LoggedIn:
        try:
            started = await self._sessions.start(
                user, amr=amr, device_name=device_name, delivery=delivery, client=client
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
            now=self._clock(),
        )
        return LoggedIn(user, started.session, started.tokens)

    async def _record_failure(self, user: User, reason: str, client: Client) -> None:
        await self._audit.record(
            "login_failed",
            user_id=user.user_id,
            session_id=None,
            client=client,
            details={"reason": reason},
            now=self._clock(),
        )
