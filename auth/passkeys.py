"""Passkeys: logging in by one alone, and using one as the second factor; auth/own_passkeys.py adds them.

A challenge has 256 random bits (ASVS 5.0, 6.7.2). It is drawn for each ceremony, is bound to what it was drawn for
and to the session, or the waiting login, that it was drawn in, and is used up by the first answer, right or wrong.
A count that does not grow means that somebody has a copy: such an answer is refused and the owner is told
(WebAuthn level 3, section 6.1.1).

Logging in by a passkey alone asks that its device verified its user, so that it is two factors at once: something
one has and something one knows or is. Beside a password, having it is enough.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from auth.admission import Admission, LoggedIn, MfaPending, WaitingLogin, counted
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import InvalidCode
from auth.keys import base64url
from auth.metrics import Metrics
from auth.models import MULTI_FACTOR, Client, FactorAnswer, Passkey, Principal, TokenDelivery, User
from auth.rate_limits import RateLimits
from auth.relying_party import RelyingParty, presented
from auth.second_factors import Occasion
from auth.stores.challenges import Challenge, ChallengePurpose, Challenges
from auth.stores.passkeys import Passkeys
from auth.stores.users import Users

METHOD = "passkey"
CEREMONY_LIFE = timedelta(minutes=5)
CHALLENGE_BYTES = 32
MOST_PASSKEYS = 20
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


class PasskeyCeremonies:
    """Draws challenges and judges what answers them: what adding a passkey and using one have in common."""

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

    async def request(self, purpose: ChallengePurpose, user: User, data: Mapping[str, Any]) -> dict[str, Any]:
        """Options for one of the user's own passkeys."""
        challenge = await self.draw(purpose, user_id=user.user_id, data=data)
        passkeys = await self._store.of_user(user.user_id, limit=MOST_PASSKEYS)
        return self._party.request_options(challenge, allow=passkeys)

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
        if await self._limits.allows_mail("passkey_copied", user.user_id):
            await self._notice.passkey_copied(user, at=now, ip="")


def bound_to(occasion: Occasion) -> dict[str, str]:
    """What a challenge keeps of where it was drawn: it is answered there and nowhere else."""
    if isinstance(occasion, Principal):
        return {"sessionId": occasion.session_id}
    return {"loginId": occasion.challenge_id.hex()}


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

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:
        """Raise `InvalidCode` unless it answers a challenge that was drawn in this login, or in this session."""
        stepping_up = isinstance(occasion, Principal)
        purpose = ChallengePurpose.PASSKEY_STEP_UP if stepping_up else ChallengePurpose.PASSKEY_SECOND
        credential, drawn, text = await self._ceremonies.answered(answer.credential, purpose)
        if drawn.user_id != user.user_id or drawn.data != bound_to(occasion):
            raise InvalidCode
        await self._ceremonies.judge(credential, text, user_id=user.user_id, verify_user=False)

    async def options_for_login(self, login: WaitingLogin) -> dict[str, Any]:
        """Options for the second factor of a waiting login."""
        data = bound_to(login.challenge)
        return await self._ceremonies.request(ChallengePurpose.PASSKEY_SECOND, login.user, data)

    async def options_for_step_up(self, user: User, principal: Principal) -> dict[str, Any]:
        """Options for a step-up of the principal's session."""
        return await self._ceremonies.request(ChallengePurpose.PASSKEY_STEP_UP, user, bound_to(principal))


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
        return await self._factor.options_for_step_up(user, principal)

    async def log_in(
        self,
        credential: Mapping[str, Any],
        *,
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> LoggedIn | MfaPending:
        """Begin a session for whoever holds the passkey and was verified by its device.

        Raises `InvalidCode`, `AccountLocked`, `EmailNotVerified`, `Conflict`, `SessionLimitReached`,
        `RateLimited` or `Unavailable`.
        """
        return await counted(self._metrics, self._log_in(credential, device_name, delivery, client))

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
