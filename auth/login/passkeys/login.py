"""Passkeys as the only factor of a login and as a second factor; auth/login/passkeys/manage.py adds them.

A challenge has 256 random bits (ASVS 5.0, 6.7.2). It is issued for one ceremony, bound to its purpose and to its
session or waiting login, and consumed by the first answer, right or wrong. A signature counter that does not
increase indicates a copied passkey: the answer is refused and the owner notified (WebAuthn level 3, section
6.1.1).

A login with a passkey alone requires user verification on its device, so that it counts as two factors:
possession, and knowledge or biometrics. A step-up requires it too, because no other proof precedes it: someone
with an unlocked device that holds the passkey must not pass. After a password, possession is enough (NIST SP
800-63B-4, section 2.2.1).
"""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from auth.core.errors import InvalidCode
from auth.core.models import MULTI_FACTOR, Client, FactorAnswer, Passkey, Principal, TokenDelivery, User
from auth.crypto.signing_keys import base64url
from auth.factors.registry import Occasion
from auth.login.admission import Admission, LoggedIn, MfaPending, WaitingLogin, count_outcome
from auth.login.methods import passkey_method
from auth.login.passkeys.relying_party import RelyingParty, parse_response
from auth.notifications.mail_contents import PasskeyCopied
from auth.services import Operation, Services
from auth.stores.challenges import Challenge, ChallengePurpose, Challenges
from auth.stores.passkeys import Passkeys

METHOD = "passkey"
CEREMONY_LIFE = timedelta(minutes=5)
CHALLENGE_BYTES = 32
MOST_PASSKEYS = 20
# RFC 8176: proof of possession of a hardware-secured key.
POSSESSION = "hwk"


class PasskeyCeremonies(Operation):
    """Issues challenges and verifies responses; shared by adding and using passkeys."""

    def __init__(
        self, services: Services, *, store: Passkeys, challenges: Challenges, party: RelyingParty
    ) -> None:
        super().__init__(services)
        self._store = store
        self._challenges = challenges
        self._party = party

    async def new_challenge(
        self, purpose: ChallengePurpose, *, user_id: str | None, data: Mapping[str, Any] = {}
    ) -> str:
        """Issue a challenge, in base64url as the browser returns it."""
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

    async def request(
        self, purpose: ChallengePurpose, user: User, data: Mapping[str, Any], *, verify_user: bool
    ) -> dict[str, Any]:
        """Return the options for using one of the user's passkeys; `verify_user`: require user verification."""
        challenge = await self.new_challenge(purpose, user_id=user.user_id, data=data)
        passkeys = await self._store.of_user(user.user_id, limit=MOST_PASSKEYS)
        return self._party.request_options(challenge, allow=passkeys, verify_user=verify_user)

    async def consume_challenge(
        self, credential: Mapping[str, Any] | None, purpose: ChallengePurpose
    ) -> tuple[Mapping[str, Any], Challenge, str]:
        """Consume the challenge of a response; return the response, the stored challenge and its text.

        Raises `InvalidCode`.
        """
        if credential is None:
            raise InvalidCode
        challenge = parse_response(credential).challenge
        found = await self._challenges.consume(challenge, purpose, now=self._clock())
        if found is None:
            raise InvalidCode("This took too long or was already answered. Try again.")
        return credential, found, challenge

    async def verify(
        self, credential: Mapping[str, Any], challenge: str, *, user_id: str | None, verify_user: bool
    ) -> Passkey:
        """Verify an assertion and return its passkey. Raises `InvalidCode`.

        `user_id`: the required owner; None to accept the owner that the response names.
        """
        parsed = parse_response(credential)
        passkey = await self._store.get(parsed.credential_id)
        if passkey is None or passkey.user_id != (user_id or passkey.user_id):
            raise InvalidCode
        # WebAuthn level 3, section 7.2, step 6: the user handle is required if nothing else names the user.
        handle = passkey.user_id.encode()
        if parsed.user_handle != handle and (parsed.user_handle is not None or user_id is None):
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
                await self._report_copied(passkey, now)
            raise InvalidCode("This passkey could not be used here.")
        return passkey

    async def _report_copied(self, passkey: Passkey, now: datetime) -> None:
        await self._audit.record("passkey_copied", user_id=passkey.user_id, now=now)
        user = await self._users.by_id(passkey.user_id)
        if user is None:
            return
        # The copy may be tried any number of times; limit the mails to its owner.
        if await self._limits.allows_mail("passkey_copied", user.user_id):
            await self._mailer.tell(user, PasskeyCopied(at=now, ip=""))


def bound_to(occasion: Occasion) -> dict[str, str]:
    """Return the data that bind a challenge to the session or waiting login it is issued in."""
    if isinstance(occasion, Principal):
        return {"sessionId": occasion.session_id}
    return {"loginId": occasion.challenge_id.hex()}


class PasskeyFactor:
    """A passkey as the second factor. Implements `registry.SecondFactor`."""

    method: str = METHOD
    amr: tuple[str, ...] = (POSSESSION,)
    stands_alone = True

    def __init__(self, ceremonies: PasskeyCeremonies, store: Passkeys) -> None:
        self._ceremonies = ceremonies
        self._store = store

    async def is_ready(self, user: User) -> bool:
        """Whether the user has a passkey."""
        return await self._store.has_any(user.user_id)

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:
        """Raise `InvalidCode` unless the response answers a challenge issued in this login or session."""
        stepping_up = isinstance(occasion, Principal)
        purpose = ChallengePurpose.PASSKEY_STEP_UP if stepping_up else ChallengePurpose.PASSKEY_SECOND
        credential, issued, text = await self._ceremonies.consume_challenge(answer.credential, purpose)
        if issued.user_id != user.user_id or issued.data != bound_to(occasion):
            raise InvalidCode
        await self._ceremonies.verify(credential, text, user_id=user.user_id, verify_user=stepping_up)

    async def options_for_login(self, login: WaitingLogin) -> dict[str, Any]:
        """Return the options for the second factor of a waiting login."""
        data = bound_to(login.challenge)
        return await self._ceremonies.request(ChallengePurpose.PASSKEY_SECOND, login.user, data, verify_user=False)

    async def options_for_step_up(self, user: User, principal: Principal) -> dict[str, Any]:
        """Return the options for a step-up in the principal's session."""
        return await self._ceremonies.request(
            ChallengePurpose.PASSKEY_STEP_UP, user, bound_to(principal), verify_user=True
        )


class PasskeyMethod:
    """Passkeys as a login method. Implements `auth.login.methods.LoginMethod`."""

    def __init__(self, store: Passkeys) -> None:
        self._store = store

    async def usable_methods(self, user: User) -> Collection[str]:
        """Return the names of the user's passkeys."""
        passkeys = await self._store.of_user(user.user_id, limit=MOST_PASSKEYS)
        return [passkey_method(passkey.credential_id) for passkey in passkeys]


class PasskeyLogin(Operation):
    """Logs in users with a passkey alone, and provides the options of every ceremony that uses one."""

    def __init__(
        self,
        services: Services,
        *,
        ceremonies: PasskeyCeremonies,
        factor: PasskeyFactor,
        party: RelyingParty,
        admission: Admission,
    ) -> None:
        super().__init__(services)
        self._ceremonies = ceremonies
        self._factor = factor
        self._party = party
        self._admission = admission

    async def options(self, *, client: Client) -> dict[str, Any]:
        """Return the options for a login with any passkey of this site.

        Raises `RateLimited`, because each call stores a challenge.
        """
        await self._limits.hit("passkey_options", client.ip)
        challenge = await self._ceremonies.new_challenge(ChallengePurpose.PASSKEY_LOGIN, user_id=None)
        return self._party.request_options(challenge, verify_user=True)

    async def options_for_login(self, mfa_token: str, *, client: Client) -> dict[str, Any]:
        """Return the options for the second factor of a waiting login. Raises `InvalidToken` or `RateLimited`."""
        await self._limits.hit("passkey_options", client.ip)
        return await self._factor.options_for_login(await self._admission.waiting(mfa_token))

    async def options_for_step_up(self, principal: Principal, *, client: Client) -> dict[str, Any]:
        """Return the options for a step-up in the principal's session. Raises `RateLimited`."""
        await self._limits.hit("passkey_options", client.ip)
        user = await self._users.by_id(principal.user_id)
        if user is None:
            raise InvalidCode
        return await self._factor.options_for_step_up(user, principal)

    @count_outcome
    async def log_in(
        self,
        credential: Mapping[str, Any],
        *,
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> LoggedIn | MfaPending:
        """Verify a passkey with user verification, then start a session.

        Raises `InvalidCode`, `AccountLocked`, `EmailNotVerified`, `Conflict`, `SessionLimitReached`,
        `RateLimited` or `Unavailable`.
        """
        await self._limits.hit("login_ip", client.ip)
        try:
            credential, _, challenge = await self._ceremonies.consume_challenge(
                credential, ChallengePurpose.PASSKEY_LOGIN
            )
            passkey = await self._ceremonies.verify(credential, challenge, user_id=None, verify_user=True)
            user = await self._users.by_id(passkey.user_id)
            if user is None:
                raise InvalidCode
        except InvalidCode:
            await self._audit.record(
                "login_failed", user_id=None, client=client, details={"reason": "wrong_passkey"}
            )
            raise
        return await self._admission.admit(
            user, amr=(POSSESSION, MULTI_FACTOR), device_name=device_name, delivery=delivery, client=client
        )
