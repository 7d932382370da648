"""Passkeys: adding, naming and removing them, logging in by one alone, and using one as the second factor.

A challenge is drawn for each ceremony, has 256 random bits, is bound to what it was drawn for and to whose it is,
and is used up by the first answer, right or wrong (ASVS 5.0, 6.7.2). A count that does not grow means that
somebody has a copy: such an answer is refused and the owner is told (WebAuthn level 3, section 6.1.1).

Logging in by a passkey alone asks that its device verified its user, so that it is two factors at once: something
one has and something one knows or is. Beside a password, having it is enough.
"""

import contextlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from auth.accounts import clean_name
from auth.admission import Admission, LoggedIn, MfaPending, WaitingLogin
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import (
    AuthError,
    Conflict,
    EmailNotVerified,
    InvalidCode,
    MfaRequired,
    NotFound,
    RateLimited,
    SessionRevoked,
)
from auth.keys import base64url
from auth.metrics import Metrics
from auth.models import MULTI_FACTOR, Client, FactorAnswer, Passkey, Principal, Session, TokenDelivery, User
from auth.rate_limits import RateLimits
from auth.relying_party import RelyingParty, presented
from auth.second_factors import SecondFactors
from auth.step_up import StepUp
from auth.stores.challenges import Challenge, ChallengePurpose, Challenges
from auth.stores.passkeys import Passkeys, PasskeyTaken
from auth.stores.users import Users
from auth.ways_in import WaysIn

METHOD = "passkey"
CEREMONY_LIFE = timedelta(minutes=5)
CHALLENGE_BYTES = 32
MOST_PASSKEYS = 20
DEFAULT_NAME = "Passkey"
# RFC 8176: possession of a key that an authenticator keeps.
POSSESSION = "hwk"


class PasskeyNotice(Protocol):
    """Tells a user by mail what became of their passkeys."""

    async def passkey_added(self, user: User, *, at: datetime, ip: str) -> None:
        """Queue the mail; never waits for a mail server."""

    async def passkey_removed(self, user: User, *, at: datetime, ip: str) -> None:
        """Queue the mail; never waits for a mail server."""

    async def passkey_copied(self, user: User, *, at: datetime, ip: str) -> None:
        """Queue the mail; never waits for a mail server."""


class CodeForgetter(Protocol):
    """Keeps recovery codes."""

    async def forget_codes(self, user_id: str) -> None:
        """Void the user's recovery codes."""


class SessionReader(Protocol):
    """Where sessions are kept."""

    async def get(self, session_id: str) -> Session | None:
        """The session, live or not."""


class PasskeyCeremonies:
    """Draws challenges and judges what answers them. What other parts of this file have in common."""

    def __init__(
        self,
        *,
        store: Passkeys,
        challenges: Challenges,
        party: RelyingParty,
        users: Users,
        notice: PasskeyNotice,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._store = store
        self._challenges = challenges
        self._party = party
        self._users = users
        self._notice = notice
        self._audit = audit
        self._clock = clock

    async def draw(self, purpose: ChallengePurpose, *, user_id: str | None, data: Mapping[str, Any] = {}) -> str:
        """A new challenge, in base64url as the browser writes it back."""
        now = self._clock()
        return await self._challenges.issue(
            purpose,
            user_id=user_id,
            data=data,
            tries=1,
            now=now,
            expires_at=now + CEREMONY_LIFE,
            secret=base64url(secrets.token_bytes(CHALLENGE_BYTES)),
        )

    async def request(self, purpose: ChallengePurpose, user: User, data: Mapping[str, Any] = {}) -> dict[str, Any]:
        """Options for one of the user's own passkeys."""
        challenge = await self.draw(purpose, user_id=user.user_id, data=data)
        passkeys = await self._store.of_user(user.user_id, limit=MOST_PASSKEYS)
        return self._party.request_options(challenge, allow=[passkey.credential_id for passkey in passkeys])

    async def answered(
        self, credential: Mapping[str, Any] | None, purpose: ChallengePurpose
    ) -> tuple[Mapping[str, Any], Challenge, str]:
        """The answer with its challenge, which is used up by it. Raises `InvalidCode`."""
        if credential is None:
            raise InvalidCode
        challenge = presented(credential).challenge
        found = await self._challenges.consume(challenge, purpose, now=self._clock())
        if found is None:
            raise InvalidCode("This took too long, or was answered before. Try again.")
        return credential, found, challenge

    async def judge(
        self, credential: Mapping[str, Any], challenge: str, *, user_id: str | None, verify_user: bool
    ) -> Passkey:
        """The passkey that answered; `user_id`: whose it must be, else it says so itself. Raises `InvalidCode`."""
        said = presented(credential)
        passkey = await self._store.get(said.credential_id)
        if passkey is None or passkey.user_id != (user_id or passkey.user_id):
            raise InvalidCode
        # WebAuthn level 3, section 7.2, step 6: it must be there where nothing else names the user.
        handle = passkey.user_id.encode()
        if said.user_handle != handle and (said.user_handle is not None or user_id is None):
            raise InvalidCode
        assertion = self._party.verify_assertion(
            credential, expected_challenge=challenge, public_key=passkey.public_key, verify_user=verify_user
        )
        now = self._clock()
        used = await self._store.use(
            passkey.credential_id, sign_count=assertion.sign_count, backed_up=assertion.backed_up, now=now
        )
        if not used:
            if await self._store.get(passkey.credential_id) is not None:
                await self._tell_copied(passkey, now)
            raise InvalidCode("This passkey could not be used here.")
        return passkey

    async def _tell_copied(self, passkey: Passkey, now: datetime) -> None:
        await self._audit.record("passkey_copied", user_id=passkey.user_id, session_id=None, client=None, now=now)
        user = await self._users.by_id(passkey.user_id)
        if user is None:
            return
        # Whoever has the copy may try it as often as they like; its owner is told some times an hour.
        with contextlib.suppress(RateLimited):
            await self._limits.hit("mail", user.email.casefold())
            await self._notice.passkey_copied(user, at=now, ip="")


class PasskeyFactor:
    """A passkey as the second factor. Implements `second_factors.SecondFactor`."""

    method: str = METHOD
    amr: tuple[str, ...] = (POSSESSION,)
    stands_alone = True

    def __init__(self, ceremonies: PasskeyCeremonies, store: Passkeys) -> None:
        self._ceremonies = ceremonies
        self._store = store

    async def is_ready(self, user: User) -> bool:
        """Whether the user has one."""
        return await self._store.has_any(user.user_id)

    async def prove(self, user: User, answer: FactorAnswer, challenge: Challenge | None) -> None:
        """Raise `InvalidCode` unless it answers the challenge that was drawn for this login, or this step-up."""
        purpose = ChallengePurpose.PASSKEY_STEP_UP if challenge is None else ChallengePurpose.PASSKEY_SECOND
        credential, drawn, text = await self._ceremonies.answered(answer.credential, purpose)
        login_id = challenge.challenge_id.hex() if challenge is not None else None
        if drawn.user_id != user.user_id or drawn.data.get("loginId") != login_id:
            raise InvalidCode
        await self._ceremonies.judge(credential, text, user_id=user.user_id, verify_user=False)

    async def options_for_login(self, login: WaitingLogin) -> dict[str, Any]:
        """Options for the second factor of a waiting login."""
        data = {"loginId": login.challenge.challenge_id.hex()}
        return await self._ceremonies.request(ChallengePurpose.PASSKEY_SECOND, login.user, data)

    async def options_for_step_up(self, user: User) -> dict[str, Any]:
        """Options for a step-up."""
        return await self._ceremonies.request(ChallengePurpose.PASSKEY_STEP_UP, user)


class PasskeyWay:
    """Passkeys as a way in. Implements `ways_in.WayIn`."""

    def __init__(self, store: Passkeys) -> None:
        self._store = store

    async def is_open(self, user: User) -> bool:
        """Whether the user has one."""
        return await self._store.has_any(user.user_id)


class PasskeyLogin:
    """Logs users in by a passkey alone, and hands out the options of every way to use one."""

    def __init__(
        self,
        *,
        ceremonies: PasskeyCeremonies,
        factor: PasskeyFactor,
        party: RelyingParty,
        admission: Admission,
        users: Users,
        limits: RateLimits,
        audit: AuditLog,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._ceremonies = ceremonies
        self._factor = factor
        self._party = party
        self._admission = admission
        self._users = users
        self._limits = limits
        self._audit = audit
        self._metrics = metrics
        self._clock = clock

    async def options(self, *, client: Client) -> dict[str, Any]:
        """Options for a login by any passkey of this site. Raises `RateLimited`: each is a challenge kept."""
        await self._limits.hit("passkey_options", client.ip)
        challenge = await self._ceremonies.draw(ChallengePurpose.PASSKEY_LOGIN, user_id=None)
        return self._party.request_options(challenge, verify_user=True)

    async def options_for_login(self, mfa_token: str, *, client: Client) -> dict[str, Any]:
        """Options for the second factor of a waiting login. Raises `InvalidToken` or `RateLimited`."""
        await self._limits.hit("passkey_options", client.ip)
        return await self._factor.options_for_login(await self._admission.waiting(mfa_token))

    async def options_for_step_up(self, principal: Principal, *, client: Client) -> dict[str, Any]:
        """Options for a step-up of the principal's. Raises `RateLimited`."""
        await self._limits.hit("passkey_options", client.ip)
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise InvalidCode
        return await self._factor.options_for_step_up(user)

    async def log_in(
        self,
        credential: Mapping[str, Any],
        *,
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> LoggedIn | MfaPending:
        """Begin a session for whoever holds the passkey and was verified by its device.

        Raises `InvalidCode`, `AccountLocked`, `EmailNotVerified`, `SessionLimitReached`, `RateLimited` or
        `Unavailable`.
        """
        try:
            result = await self._log_in(credential, device_name, delivery, client)
        except AuthError as refusal:
            self._metrics.logins.labels(refusal.code).inc()
            raise
        self._metrics.logins.labels("success" if isinstance(result, LoggedIn) else MfaRequired.code).inc()
        return result

    async def _log_in(
        self, credential: Mapping[str, Any], device_name: str | None, delivery: TokenDelivery, client: Client
    ) -> LoggedIn | MfaPending:
        await self._limits.hit("login_ip", client.ip)
        try:
            credential, _, challenge = await self._ceremonies.answered(credential, ChallengePurpose.PASSKEY_LOGIN)
            passkey = await self._ceremonies.judge(credential, challenge, user_id=None, verify_user=True)
            user = await self._users.by_id(passkey.user_id)
            if user is None:
                raise InvalidCode
        except InvalidCode:
            await self._audit.record(
                "login_failed",
                user_id=None,
                session_id=None,
                client=client,
                details={"reason": "wrong_passkey"},
                now=self._clock(),
            )
            raise
        return await self._admission.admit(
            user, amr=(POSSESSION, MULTI_FACTOR), device_name=device_name, delivery=delivery, client=client
        )


class OwnPasskeys:
    """What a user does with their own passkeys. Adding and removing is sensitive: a step-up comes first."""

    def __init__(
        self,
        *,
        ceremonies: PasskeyCeremonies,
        store: Passkeys,
        party: RelyingParty,
        step_up: StepUp,
        sessions: SessionReader,
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
        self._sessions = sessions
        self._ways_in = ways_in
        self._notice = notice
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def list(self, principal: Principal) -> list[Passkey]:
        """The principal's passkeys, oldest first."""
        return await self._store.of_user(principal.user_id, limit=MOST_PASSKEYS)

    async def begin(self, principal: Principal, *, client: Client) -> dict[str, Any]:
        """Options for a new passkey. Raises `StepUpRequired`, `Conflict` for one too many, or `RateLimited`."""
        await self._limits.hit("passkey_options", client.ip)
        user = await self._verified(principal)
        passkeys = await self._store.of_user(user.user_id, limit=MOST_PASSKEYS)
        if len(passkeys) >= MOST_PASSKEYS:
            raise Conflict(f"You have {MOST_PASSKEYS} passkeys. Remove one first.")
        challenge = await self._ceremonies.draw(ChallengePurpose.PASSKEY_REGISTER, user_id=user.user_id)
        return self._party.creation_options(
            user, challenge, exclude=[passkey.credential_id for passkey in passkeys]
        )

    async def add(
        self, principal: Principal, credential: Mapping[str, Any], *, name: str | None, client: Client
    ) -> Passkey:
        """Keep a new passkey.

        Raises `InvalidCode`, `StepUpRequired`, `InvalidRequest` for a name that will not do, or `Conflict` when
        the passkey is known already.
        """
        user = await self._verified(principal)
        label = clean_name(name) or DEFAULT_NAME
        credential, drawn, challenge = await self._ceremonies.answered(
            credential, ChallengePurpose.PASSKEY_REGISTER
        )
        if drawn.user_id != user.user_id:
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

    async def _verified(self, principal: Principal) -> User:
        """The principal's user, proved to be one.

        Whose address nobody has verified gets no passkey: it would stay with a stranger who registered first.
        """
        user = await self._step_up.require(principal)
        if user.email_verified_at is None:
            raise EmailNotVerified
        return user

    async def _keep_only_if_allowed(self, passkey: Passkey, principal: Principal) -> None:
        """Take a passkey back that is one too many, or whose session was ended while it was added.

        Looked for when it is there already: of several that are added at once none is overlooked, and a thief
        whose session ends leaves nothing behind.
        """
        session = await self._sessions.get(principal.session_id)
        too_many = await self._store.count(passkey.user_id) > MOST_PASSKEYS
        if session is not None and session.is_live(self._clock()) and not too_many:
            return
        await self._store.remove(passkey.user_id, passkey.credential_id)
        if too_many:
            raise Conflict(f"You have {MOST_PASSKEYS} passkeys. Remove one first.")
        raise SessionRevoked

    async def rename(self, principal: Principal, credential_id: bytes, *, name: str) -> Passkey:
        """Give a passkey another name. Raises `InvalidRequest` or `NotFound`."""
        label = clean_name(name) or DEFAULT_NAME
        renamed = await self._store.rename(principal.user_id, credential_id, name=label)
        if renamed is None:
            raise NotFound("There is no such passkey.")
        return renamed

    async def remove(self, principal: Principal, credential_id: bytes, *, client: Client) -> None:
        """Forget a passkey. Raises `StepUpRequired`, `NotFound`, or `Conflict` for the last way in.

        That is looked for when this one is gone, so that two taken off at once are not both.
        """
        user = await self._step_up.require(principal)
        removed = await self._store.remove(user.user_id, credential_id)
        if removed is None:
            raise NotFound("There is no such passkey.")
        if not await self._ways_in.any_open(user):
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
