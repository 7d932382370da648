"""Recovery codes: ten, shown once, each good once, for whoever has lost the phone or the key.

A code has 125 random bits (ASVS 5.0, 6.5.3 and 6.5.4), written as five groups of five. With 112 bits or more a
plain hash is all that storing them takes (6.5.2): there is no dictionary to try, and a salt would part what is
different already. So using one up is a single update, and a root secret that was lost takes no code with it.

They are worth something only beside another factor: alone they would be a second factor that nobody chose, and
that runs out.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from auth.clock import Clock
from auth.errors import InvalidCode
from auth.models import FactorAnswer, User
from auth.second_factors import Occasion, SecondFactor
from auth.stores.factor_secrets import FactorSecrets

METHOD = "recovery_code"
HOW_MANY = 10
GROUPS, GROUP_LENGTH = 5, 5
# Crockford's base 32: no I, L, O, U, so that a code can be read off paper and over the phone.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MISREAD = str.maketrans("ILO", "110")

_CODE = re.compile(f"[{ALPHABET}]{{{GROUPS * GROUP_LENGTH}}}", re.ASCII)


class RecoveryNotice(Protocol):
    """Tells a user by mail that one of their recovery codes was used."""

    async def recovery_code_used(self, user: User, *, left: int, now: datetime) -> None:
        """Queue the mail; never waits for a mail server."""


def new_codes() -> tuple[str, ...]:
    """Ten codes as they are shown: `7Q2MX-0K4TD-…`."""
    return tuple(
        "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
        for _ in range(HOW_MANY)
    )


def code_digest(code: str) -> bytes | None:
    """What is kept of a code; None for what is none. Case, spaces, dashes and misread letters are forgiven."""
    typed = "".join(code.split()).replace("-", "").upper().translate(MISREAD)
    return hashlib.sha256(typed.encode()).digest() if _CODE.fullmatch(typed) else None


class RecoveryCodeFactor:
    """Implements `second_factors.SecondFactor`. `beside` are the factors that the codes stand in for."""

    method: str = METHOD
    amr: tuple[str, ...] = (METHOD,)  # RFC 8176 has no value for it
    stands_alone = True

    def __init__(
        self, store: FactorSecrets, notice: RecoveryNotice, clock: Clock, *, beside: Sequence[SecondFactor]
    ) -> None:
        self._store = store
        self._notice = notice
        self._clock = clock
        self._beside = tuple(beside)

    async def is_ready(self, user: User) -> bool:
        """Whether the user has codes left, and a factor that they stand in for."""
        kept = await self._store.of_user(user.user_id)
        return bool(kept.codes_left) and await self.is_needed(user)

    async def is_needed(self, user: User) -> bool:
        """Whether the user has a factor that can be lost."""
        for factor in self._beside:
            if await factor.is_ready(user):
                return True
        return False

    async def prove(self, user: User, answer: FactorAnswer, occasion: Occasion) -> None:  # noqa: ARG002
        """Use a code up. Raise `InvalidCode` unless it is one of those left."""
        digest = code_digest(answer.code) if answer.code is not None else None
        left = await self._store.use_code(user.user_id, digest) if digest is not None else None
        if left is None:
            raise InvalidCode
        await self._notice.recovery_code_used(user, left=left, now=self._clock())
