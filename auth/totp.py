"""Codes of an authenticator app: time-based one-time passwords (RFC 6238, RFC 4226).

A code is good for its time step of thirty seconds, and for one step on either side: the phone's clock is not ours,
and a code typed at the end of its step must not be refused on the way (RFC 6238, section 5.2). That makes ninety
seconds where ASVS 5.0, 6.5.5 wants thirty, on purpose (docs/security.md). It is good once (6.5.1): the step of the
last code taken is kept, and no code of that step or an earlier one is taken again. Time is the server's own
(6.5.8). The secret has 160 random bits (RFC 4226, section 4, R6), and is sealed where it is stored: it must be
readable to be compared with.

Six digits can be guessed by whoever has the password and months of time: after a hundred wrong codes no more are
taken for a day (NIST SP 800-63B, 5.2.2). Recovery codes, which nobody guesses, stay open to the owner.
"""

import hmac
import re
from collections.abc import Iterator
from datetime import datetime

import pyotp
import structlog

from auth.clock import Clock
from auth.errors import InvalidCode
from auth.models import FactorAnswer, User
from auth.rate_limits import RateLimits
from auth.sealing import Seal, SealBroken
from auth.second_factors import Occasion
from auth.stores.factor_secrets import FactorSecrets

METHOD = "totp"
STEP_SECONDS = 30  # RFC 6238, section 5.2
DRIFT_STEPS = 1
DIGITS = 6  # RFC 4226, section 5.3
# 32 base32 characters are 160 bits, the length of an HMAC-SHA-1.
SECRET_CHARACTERS = 32

_CODE = re.compile(r"[0-9]{6}", re.ASCII)

log = structlog.get_logger()


def new_secret() -> str:
    """A secret in base32, from the system's random source (ASVS 5.0, 6.5.3)."""
    return pyotp.random_base32(SECRET_CHARACTERS)


def provisioning_uri(secret: str, *, account: str, service: str) -> str:
    """What an authenticator app reads off the QR code, by the Key URI format that all of them know."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS).provisioning_uri(
        name=account, issuer_name=service
    )


def time_step(now: datetime) -> int:
    """Which step since the Unix epoch it is (RFC 6238, section 4.2)."""
    return int(now.timestamp()) // STEP_SECONDS


def steps_of(code: str, *, secret: str, now: datetime) -> Iterator[int]:
    """The steps around `now` whose code this is, oldest first; for a wrong one, none.

    Spaces are forgiven, as apps show them. Every step is compared, in constant time.
    """
    typed = "".join(code.split())
    if _CODE.fullmatch(typed) is None:
        return
    generator = pyotp.HOTP(secret, digits=DIGITS)
    current = time_step(now)
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(generator.at(step), typed):
            yield step


def seal_context(user_id: str) -> str:
    """What a user's sealed secret is bound to: in another's document it opens nothing."""
    return f"totp {user_id}"


class TotpFactor:
    """The second factor of whoever has set an authenticator app up. Implements `second_factors.SecondFactor`."""

    method: str = METHOD
    amr: tuple[str, ...] = ("otp",)  # RFC 8176
    stands_alone = True

    def __init__(self, store: FactorSecrets, seal: Seal, limits: RateLimits, clock: Clock) -> None:
        self._store = store
        self._seal = seal
        self._limits = limits
        self._clock = clock

    async def is_ready(self, user: User) -> bool:
        """Whether the user has set one up."""
        return (await self._store.of_user(user.user_id)).totp is not None

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:  # noqa: ARG002
        """Raise `InvalidCode` unless it is the code of now, which nobody has used before, or `RateLimited`."""
        await self._limits.check("totp_guesses", user.user_id)
        enabled = (await self._store.of_user(user.user_id)).totp
        if enabled is None or answer.code is None:
            raise InvalidCode
        try:
            secret = self._seal.open(enabled.sealed_secret, context=seal_context(user.user_id)).decode()
        except SealBroken:
            # Another root secret, or a document moved by hand: nobody can prove anything by it.
            log.exception("totp_secret_not_opened", user_id=user.user_id)
            raise InvalidCode from None
        for step in steps_of(answer.code, secret=secret, now=self._clock()):
            if await self._store.use_step(user.user_id, sealed_secret=enabled.sealed_secret, step=step):
                await self._limits.reset("totp_guesses", user.user_id)
                return
        await self._limits.hit("totp_guesses", user.user_id)
        raise InvalidCode
