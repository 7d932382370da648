"""SMS codes: six digits, valid once, for five minutes and five attempts, for the request they were sent for.

A code is bound to its request, number and account (ASVS 5.0, 6.6.2). A new request invalidates the previous one
and its code. Only a keyed digest is stored, so that someone who reads the database cannot find the code by trying
a million. There is one open request for each number and requester; a new one is possible after 30 seconds.

*Denial of service*: a requester is the account that adds the number, a device that has logged in to the number's
account before, or otherwise an IP address. Requests and guesses are counted for each requester separately and do
not affect other requesters, so a stranger cannot block a number for its owner (6.6.3). An attacker with any number
of addresses is limited because only a code that was sent can be guessed: with three codes an hour
(`VIGIL_LIMIT_SMS_NUMBER`) and five attempts each, 360 guesses a day at six digits, a chance of 1 in 2,700, while
the owner's phone receives 72 codes.

*Toll fraud*: someone who rents a range of numbers earns money with every SMS sent there. SMS are therefore limited
by the caller's IP address, by the account that adds a number, by number, by number range and in total; the last
three limits are not disclosed. An attacker can change addresses and ranges, so the total limit, which applies to
everyone, bounds the cost of an attack.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import structlog

from auth.core.errors import InvalidCode, RateLimited
from auth.core.models import Client
from auth.login.phones.numbers import PhoneNumber
from auth.notifications.sms import SmsDispatcher
from auth.platform.rate_limits import LimitName, network_of
from auth.services import Operation, Services
from auth.stores.challenges import Challenge, ChallengePurpose, Challenges
from auth.stores.one_time_tokens import OneTimeTokens

CODE_DIGITS = 6
# ASVS 5.0, 6.5.5 allows ten minutes.
CODE_LIFE = timedelta(minutes=5)
CODE_TRIES = 5
RESEND_AFTER = timedelta(seconds=30)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """A request that waits for its code. `request_id` is a secret, useless without the code."""

    request_id: str
    expires_at: datetime
    resend_after: timedelta

    def __repr__(self) -> str:
        return f"CodeRequest(expires_at={self.expires_at!r}, …)"


@dataclass(frozen=True, slots=True)
class CodeRequester:
    """The party that requests and enters codes; limits are counted for each separately.

    `owner`: the account that adds a number; `name`: that account, a known device, or an IP address.
    """

    name: str
    owner: str = ""
    is_known: bool = False

    @classmethod
    def adding(cls, user_id: str) -> Self:
        """Return the requester for an account that adds a number."""
        return cls(user_id, owner=user_id)

    @classmethod
    def logging_in(cls, device: str | None, *, ip: str) -> Self:
        """Return the requester for a login: a device known to the number's account, or an IP address."""
        return cls(f"device {device}", is_known=True) if device else cls(ip)


class PhoneCodes(Operation):
    """Sends and verifies codes."""

    def __init__(
        self, services: Services, *, challenges: Challenges, tokens: OneTimeTokens, sms: SmsDispatcher, key: bytes
    ) -> None:
        super().__init__(services)
        self._challenges = challenges
        self._tokens = tokens
        self._sms = sms
        self._key = key

    async def send(
        self,
        number: PhoneNumber,
        purpose: ChallengePurpose,
        *,
        user_id: str | None,
        requester: CodeRequester,
        client: Client,
    ) -> CodeRequest:
        """Start a request and send its code; without a `user_id`, send nothing but take the same time.

        Raises `RateLimited` by the caller's IP address, by the account that adds the number, or within 30 seconds
        of the requester's last request; such a call does not count towards the other limits.
        """
        now = self._clock()
        await self._limit_caller("sms_ip", client.ip, number, client)
        if requester.owner:
            await self._limit_caller("sms_account", requester.owner, number, client)
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        salt = secrets.token_hex(16)
        expires_at = now + CODE_LIFE
        data = {"salt": salt, "line": self._binding(number, requester), "code": ""}
        request_id = await self._challenges.issue_only(
            purpose,
            subject=self._subject(number, requester),
            user_id=user_id,
            data=data,
            tries=CODE_TRIES,
            now=now,
            expires_at=expires_at,
            unless_since=now - RESEND_AFTER,
        )
        if request_id is None:
            raise RateLimited(retry_after_seconds=RESEND_AFTER.total_seconds())
        # Counted only now, so that requests refused above do not use up the limits.
        sends = await self._may_send(number, requester, client, known=user_id is not None)
        # A code that is not sent cannot be guessed either.
        digest = self._digest(code, salt, number, user_id) if sends else ""
        await self._challenges.keep(request_id, purpose, data=data | {"code": digest})
        if user_id is not None and sends:
            await self._sms.send_code(user_id, number.e164, code=code, purpose=purpose, valid_for=CODE_LIFE)
        else:
            await self._tokens.pretend(now=now)
        return CodeRequest(request_id, expires_at, RESEND_AFTER)

    async def prove(
        self,
        number: PhoneNumber,
        purpose: ChallengePurpose,
        *,
        code: str,
        request_id: str | None,
        requester: CodeRequester,
    ) -> Challenge:
        """Verify a code, consume its request and return it.

        Without a `request_id`, uses the requester's own open request for the number. Of concurrent guesses, at
        most five are checked, and only one right guess succeeds (ASVS 5.0, 6.5.1). Raises `InvalidCode`, or
        `RateLimited` by number and requester.
        """
        guesser = (number.e164, requester.name)
        await self._limits.hit("sms_verify", *guesser)
        await self._limits.check("sms_guesses", *guesser)
        taken = await self._take_try(number, purpose, request_id, requester)
        if taken is None or taken.data["line"] != self._binding(number, requester):
            raise InvalidCode
        digest = self._digest(code, taken.data["salt"], number, taken.user_id)
        if not hmac.compare_digest(digest, taken.data["code"]):
            await self._limits.hit("sms_guesses", *guesser)
            raise InvalidCode
        if not await self._challenges.withdraw(taken.challenge_id, purpose):
            raise InvalidCode
        await self._limits.reset("sms_guesses", *guesser)
        return taken

    async def _take_try(
        self, number: PhoneNumber, purpose: ChallengePurpose, request_id: str | None, requester: CodeRequester
    ) -> Challenge | None:
        now = self._clock()
        if request_id is None:
            return await self._challenges.take_try_of(self._subject(number, requester), purpose, now=now)
        return await self._challenges.take_try(request_id, purpose, now=now)

    async def _limit_caller(self, limit: LimitName, counted: str, number: PhoneNumber, client: Client) -> None:
        try:
            await self._limits.hit(limit, counted)
        except RateLimited:
            await self._audit_limited(limit, number, client)
            raise

    async def _may_send(
        self, number: PhoneNumber, requester: CodeRequester, client: Client, *, known: bool
    ) -> bool:
        """Whether an SMS may be sent; for an unknown number, performs the same work on separate counts."""
        limits: tuple[tuple[LimitName, tuple[str, ...]], ...] = (
            # Codes requested by strangers do not use up the limit of the owner's known devices.
            ("sms_number", (number.e164, requester.name) if requester.is_known else (number.e164,)),
            ("sms_prefix", (number.prefix,)),
            ("sms_total", ("sent",)),
        )
        room = known
        for limit, counted in limits:
            # Numbers that are sent no SMS do not use up the limits of those that are.
            within = await self._is_within(limit, number, client, counted if room else (f"unsent {number.e164}",))
            if room and not within and limit == "sms_total":
                # No more SMS are sent to anyone; the operator must act.
                log.error("sms_total_reached")
            room = room and within
        return room

    async def _is_within(
        self, limit: LimitName, number: PhoneNumber, client: Client, counted: tuple[str, ...]
    ) -> bool:
        """Count towards a limit and return whether it is kept.

        The result is not disclosed to callers, because it would reveal who is sent codes.
        """
        try:
            await self._limits.hit(limit, *counted)
        except RateLimited:
            await self._audit_limited(limit, number, client)
            return False
        return True

    async def _audit_limited(self, limit: LimitName, number: PhoneNumber, client: Client) -> None:
        await self._audit.record(
            "sms_limited", user_id=None, client=client, details={"limit": limit, "prefix": number.prefix}
        )

    def _subject(self, number: PhoneNumber, requester: CodeRequester) -> bytes:
        return self._keyed("subject", number.e164, requester.owner, network_of(requester.name))

    def _binding(self, number: PhoneNumber, requester: CodeRequester) -> str:
        """Return what binds a request id to its use: login to a number, or an account that adds the number."""
        return self._keyed("line", number.e164, requester.owner).hex()

    def _digest(self, code: str, salt: str, number: PhoneNumber, user_id: str | None) -> str:
        return self._keyed("code", salt, number.e164, user_id or "", code).hex()

    def _keyed(self, *parts: str) -> bytes:
        return hmac.digest(self._key, "\0".join(parts).encode(), hashlib.sha256)
