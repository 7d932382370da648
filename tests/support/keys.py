"""Signing keys without a database, for tests of what is done with them.

How keys are kept, changed and shared is tested on the real store (tests/unit/test_keys.py).
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from auth.clock import utc_now
from auth.keys import KeyRing, SigningKey
from auth.secrets import RootSecret

ROOT_SECRET = b"tests-only-root-secret-0123456789abcdef"
TOKEN_LIFE = timedelta(minutes=15, seconds=5)


class HeldKeys:
    """A `SigningKeyStore` that holds what it is given."""

    def __init__(self) -> None:
        self.keys: list[SigningKey] = []

    async def all(self) -> list[SigningKey]:
        return sorted(self.keys, key=lambda key: key.sequence)

    async def add(self, key: SigningKey) -> bool:
        if any(other.sequence == key.sequence for other in self.keys):
            return False
        self.keys.append(key)
        return True

    async def activate(self, key_id: str, *, now: datetime, retire_older_at: datetime) -> bool:
        self.keys = [replace(key, activated_at=now) if key.key_id == key_id else key for key in self.keys]
        return True


def sealing_key(secret: bytes = ROOT_SECRET) -> bytes:
    return RootSecret(secret).derive("signing keys")


async def held_ring(clock: Callable[[], datetime] = utc_now) -> KeyRing:
    """A ring with a current and a next key of its own, which follows nothing."""
    ring = KeyRing(HeldKeys(), sealing_key(), token_life=TOKEN_LIFE, clock=clock)
    await ring.start()
    await ring.close()
    return ring


def random_session_id() -> str:
    return secrets.token_hex(16)
