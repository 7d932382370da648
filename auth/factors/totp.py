"""Authenticator app codes: time-based one-time passwords (RFC 6238, RFC 4226).

A code is valid for its 30-second time step and one step on either side, to allow for clock drift and for a code
typed at the end of its step (RFC 6238, section 5.2). That is 90 seconds where ASVS 5.0, 6.5.5 asks for 30, on
purpose (docs/security.md). A code is accepted once (6.5.1): the step of the last accepted code is stored, and
codes of that or an earlier step are refused. Time is taken from the server's clock (6.5.8). The secret has 160
random bits (RFC 4226, section 4, R6) and is stored encrypted, because verification needs its plaintext.

An attacker who knows the password could guess six digits within months, so after 100 wrong codes none is accepted
for a day (NIST SP 800-63B, 5.2.2). The owner can still use recovery codes, which cannot be guessed.
"""

import hmac
import re
from collections.abc import Iterator
from datetime import datetime

import pyotp
import structlog

from auth.core import typed_input as typed
from auth.core.errors import InvalidCode
from auth.core.models import FactorAnswer, User
from auth.crypto.root_secret import RootSecret
from auth.crypto.sealing import Seal, SealBroken
from auth.factors.registry import Occasion
from auth.services import Operation, Services
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
    """Generate a base32 secret from the system's random source (ASVS 5.0, 6.5.3)."""
    return pyotp.random_base32(SECRET_CHARACTERS)


def provisioning_uri(secret: str, *, account: str, service: str) -> str:
    """Return the URI that an authenticator app reads from the QR code (Key URI format)."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS).provisioning_uri(
        name=account, issuer_name=service
    )


def is_code(typed_code: str) -> bool:
    """Whether this has the form of a code."""
    return _CODE.fullmatch(typed.code(typed_code)) is not None


def time_step(now: datetime) -> int:
    """Return the number of the time step since the Unix epoch (RFC 6238, section 4.2)."""
    return int(now.timestamp()) // STEP_SECONDS


def steps_of(code: str, *, secret: str, now: datetime) -> Iterator[int]:
    """Yield the steps around `now` that this code matches, oldest first; none for a wrong code.

    Ignores spaces, which apps display. Compares with every step, in constant time.
    """
    read = typed.code(code)
    if _CODE.fullmatch(read) is None:
        return
    generator = pyotp.HOTP(secret, digits=DIGITS)
    current = time_step(now)
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(generator.at(step), read):
            yield step


def factor_seal(root: RootSecret) -> Seal:
    """Return the seal of authenticator apps' secrets."""
    return Seal(root.derive("second factors"), second=root.derive_second("second factors"))


def seal_context(user_id: str) -> str:
    """Return the context that binds a sealed secret to its user: it opens in no other user's document."""
    return f"totp {user_id}"


class TotpFactor(Operation):
    """The authenticator app as a second factor. Implements `registry.SecondFactor`."""

    method: str = METHOD
    amr: tuple[str, ...] = ("otp",)  # RFC 8176
    stands_alone = True

    def __init__(self, services: Services, *, store: FactorSecrets, seal: Seal) -> None:
        super().__init__(services)
        self._store = store
        self._seal = seal

    async def is_ready(self, user: User) -> bool:
        """Whether the user has enabled an authenticator app."""
        return (await self._store.of_user(user.user_id)).totp is not None

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:  # noqa: ARG002
        """Raise `InvalidCode` unless the code is current and unused, or `RateLimited` after many wrong codes."""
        await self._limits.check("totp_guesses", user.user_id)
        enabled = (await self._store.of_user(user.user_id)).totp
        if enabled is None or answer.code is None:
            raise InvalidCode
        try:
            secret = self._seal.open(enabled.sealed_secret, context=seal_context(user.user_id)).decode()
        except SealBroken:
            # The root secret was changed, or the document was moved by hand: no code can be verified.
            log.exception("totp_secret_not_opened", user_id=user.user_id)
            raise InvalidCode from None
        for step in steps_of(answer.code, secret=secret, now=self._clock()):
            if await self._store.use_step(user.user_id, sealed_secret=enabled.sealed_secret, step=step):
                await self._limits.reset("totp_guesses", user.user_id)
                return
        await self._limits.hit("totp_guesses", user.user_id)
        raise InvalidCode
