"""Codes by SMS: six digits, good once, for five minutes and five tries, for the request they were sent for.

A code is bound to its request, its number and its account (ASVS 5.0, 6.6.2): a new request voids the one before,
whose code is good for nothing then. Only a keyed digest is kept, so that whoever reads the database cannot try a
million codes at leisure. One request is open for a number at a time, and the next waits thirty seconds.

*Toll fraud*: whoever rents a range of numbers earns by every SMS that is sent there. So they are limited by the
caller's address, by the account that adds a number, by number, by range and in all; the last three are said to
nobody. Addresses and ranges can be changed: the last limit is what an attack can cost, and holds for everybody.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import InvalidCode, RateLimited
from auth.models import Client
from auth.phone_numbers import PhoneNumber
from auth.rate_limits import LimitName, RateLimits
from auth.stores.challenges import Challenge, ChallengePurpose, Challenges
from auth.stores.one_time_tokens import OneTimeTokens

CODE_DIGITS = 6
# ASVS 5.0, 6.5.5 allows ten minutes.
CODE_LIFE = timedelta(minutes=5)
CODE_TRIES = 5
RESEND_AFTER = timedelta(seconds=30)

log = structlog.get_logger()


class CodeTexter(Protocol):
    """Sends codes."""

    async def send_code(
        self, user_id: str, to: str, *, code: str, purpose: ChallengePurpose, valid_for: timedelta
    ) -> None:
        """Queue the SMS; never waits for whoever delivers it."""


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """A request that waits for its code. `request_id` is a secret, worth nothing without the code."""

    request_id: str
    expires_at: datetime
    resend_after: timedelta

    def __repr__(self) -> str:
        return f"CodeRequest(expires_at={self.expires_at!r}, …)"


class PhoneCodes:
    """Sends codes and takes them back."""

    def __init__(
        self,
        *,
        challenges: Challenges,
        tokens: OneTimeTokens,
        texter: CodeTexter,
        limits: RateLimits,
        audit: AuditLog,
        key: bytes,
        clock: Clock,
    ) -> None:
        self._challenges = challenges
        self._tokens = tokens
        self._texter = texter
        self._limits = limits
        self._audit = audit
        self._key = key
        self._clock = clock

    async def send(
        self,
        number: PhoneNumber,
        purpose: ChallengePurpose,
        *,
        user_id: str | None,
        owner: str = "",
        client: Client,
    ) -> CodeRequest:
        """Begin a request and send its code; without a `user_id` nothing is sent, and it takes as long.

        `owner` is the account whose request it is, where nobody else's for the same number shall replace it.
        Raises `RateLimited` by the caller's address and by the owner, or when the last request is younger than
        thirty seconds; that one counts for nothing else.
        """
        now = self._clock()
        await self._limit_caller("sms_ip", client.ip, number, client)
        if owner:
            await self._limit_caller("sms_account", owner, number, client)
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        salt = secrets.token_hex(16)
        expires_at = now + CODE_LIFE
        request_id = await self._challenges.issue_only(
            purpose,
            subject=self._subject(number, owner),
            user_id=user_id,
            data={"salt": salt, "code": self._digest(code, salt, number, user_id) if user_id else ""},
            tries=CODE_TRIES,
            now=now,
            expires_at=expires_at,
            unless_since=now - RESEND_AFTER,
        )
        if request_id is None:
            raise RateLimited(retry_after_seconds=RESEND_AFTER.total_seconds())
        # Counted now that it has begun: what was refused above sent nothing, and takes no room from what will.
        sends = await self._has_room(number, client, known=user_id is not None)
        if user_id is not None and sends:
            await self._texter.send_code(user_id, number.e164, code=code, purpose=purpose, valid_for=CODE_LIFE)
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
        owner: str = "",
        client: Client,
    ) -> Challenge:
        """The request that `code` was sent for, which is over with that.

        Without a `request_id` the one open request for the number is meant. Of any number of guesses at once five
        are looked at, and of right ones one gets the request (ASVS 5.0, 6.5.1). Raises `InvalidCode`, or
        `RateLimited` by number and address together, or after many wrong codes for one number.
        """
        await self._limits.hit("sms_verify", number.e164, client.ip)
        await self._limits.check("sms_guesses", number.e164)
        subject = self._subject(number, owner)
        taken = await self._challenges.take_try_of(subject, purpose, secret=request_id, now=self._clock())
        if taken is None:
            # Nothing was guessed at: whoever tries codes out of the blue must not close the number to its owner.
            raise InvalidCode
        digest = self._digest(code, taken.data["salt"], number, taken.user_id)
        if not hmac.compare_digest(digest, taken.data["code"]):
            await self._limits.hit("sms_guesses", number.e164)
            raise InvalidCode
        if not await self._challenges.withdraw(taken.challenge_id, purpose):
            raise InvalidCode
        await self._limits.reset("sms_guesses", number.e164)
        return taken

    async def _limit_caller(self, limit: LimitName, counted: str, number: PhoneNumber, client: Client) -> None:
        try:
            await self._limits.hit(limit, counted)
        except RateLimited:
            await self._tell_limited(limit, number, client)
            raise

    async def _has_room(self, number: PhoneNumber, client: Client, *, known: bool) -> bool:
        """Whether one more SMS may go to a known number; for others as much is counted, and elsewhere."""
        limits: tuple[tuple[LimitName, str], ...] = (
            ("sms_number", number.e164),
            ("sms_prefix", number.prefix),
            ("sms_total", "sent"),
        )
        room = known
        for limit, counted in limits:
            # Numbers that get no SMS cannot use up what there is for those that do.
            within = await self._within(limit, number, client, counted if room else f"unsent {number.e164}")
            if room and not within and limit == "sms_total":
                # Nobody is sent anything any more: whoever runs this is to look at once.
                log.error("sms_total_reached")
            room = room and within
        return room

    async def _within(self, limit: LimitName, number: PhoneNumber, client: Client, counted: str) -> bool:
        """Whether a limit leaves room. Said to nobody: others would learn what is sent to whom."""
        try:
            await self._limits.hit(limit, counted)
        except RateLimited:
            await self._tell_limited(limit, number, client)
            return False
        return True

    async def _tell_limited(self, limit: LimitName, number: PhoneNumber, client: Client) -> None:
        await self._audit.record(
            "sms_limited",
            user_id=None,
            session_id=None,
            client=client,
            details={"limit": limit, "prefix": number.prefix},
            now=self._clock(),
        )

    def _subject(self, number: PhoneNumber, owner: str) -> bytes:
        return self._keyed("subject", number.e164, owner)

    def _digest(self, code: str, salt: str, number: PhoneNumber, user_id: str | None) -> str:
        return self._keyed("code", salt, number.e164, user_id or "", code).hex()

    def _keyed(self, *parts: str) -> bytes:
        return hmac.digest(self._key, "\0".join(parts).encode(), hashlib.sha256)
