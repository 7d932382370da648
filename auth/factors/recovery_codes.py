"""Recovery codes: ten single-use codes, shown once, for users who have lost their phone or security key.

A code has 125 random bits (ASVS 5.0, 6.5.3 and 6.5.4), written as five groups of five characters. With 112 bits or
more, an unsalted hash suffices for storage (6.5.2): a dictionary attack is not possible, and a salt would only
distinguish values that already differ. So consuming a code is a single update, and codes survive the loss of the
root secret.

They are valid only beside another second factor. Alone, they would be a second factor that the user did not choose
and that runs out.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence

from auth.core import typed_input as typed
from auth.core.errors import InvalidCode
from auth.core.models import FactorAnswer, User
from auth.factors.registry import Occasion, SecondFactor
from auth.notifications.mail_contents import RecoveryCodeUsed
from auth.services import Operation, Services
from auth.stores.factor_secrets import FactorSecrets

METHOD = "recovery_code"
CODE_COUNT = 10
GROUPS, GROUP_LENGTH = 5, 5
# Crockford's base 32: without I, L, O and U, so that a code can be read from paper or over the phone.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MISREAD = str.maketrans("ILO", "110")

_CODE = re.compile(f"[{ALPHABET}]{{{GROUPS * GROUP_LENGTH}}}", re.ASCII)


def new_codes() -> tuple[str, ...]:
    """Generate ten codes in the format shown to the user: `7Q2MX-0K4TD-…`."""
    return tuple(
        "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
        for _ in range(CODE_COUNT)
    )


def code_digest(code: str) -> bytes | None:
    """Return the stored digest of a code; None if malformed. Ignores case, spaces, dashes and misread letters."""
    read = typed.code(code).upper().translate(MISREAD)
    return hashlib.sha256(read.encode()).digest() if _CODE.fullmatch(read) else None


def is_code(typed_code: str) -> bool:
    """Whether this has the form of a code."""
    return code_digest(typed_code) is not None


class RecoveryCodeFactor(Operation):
    """Implements `registry.SecondFactor`. `beside`: the factors that the codes can replace."""

    method: str = METHOD
    amr: tuple[str, ...] = (METHOD,)  # RFC 8176 has no value for it
    stands_alone = True

    def __init__(self, services: Services, *, store: FactorSecrets, beside: Sequence[SecondFactor]) -> None:
        super().__init__(services)
        self._store = store
        self._beside = tuple(beside)

    async def is_ready(self, user: User) -> bool:
        """Whether the user has codes left, and a factor that they can replace."""
        kept = await self._store.of_user(user.user_id)
        return bool(kept.codes_left) and await self.is_needed(user)

    async def is_needed(self, user: User) -> bool:
        """Whether the user has a factor that the codes can replace."""
        for factor in self._beside:
            if await factor.is_ready(user):
                return True
        return False

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:  # noqa: ARG002
        """Consume a code. Raises `InvalidCode` unless it is one of the remaining codes."""
        digest = code_digest(answer.code) if answer.code is not None else None
        left = await self._store.use_code(user.user_id, digest) if digest is not None else None
        if left is None:
            raise InvalidCode
        await self._mailer.tell(user, RecoveryCodeUsed(at=self._clock(), left=left))
