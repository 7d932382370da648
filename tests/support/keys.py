"""Signing keys without a database, for tests that use keys.

Storing, rotating and sharing keys is tested on the real store (tests/unit/test_signing_keys.py).
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from auth.core.clock import utc_now
from auth.crypto.root_secret import RootSecret
from auth.crypto.signing_keys import KeyRing, SigningKey

ROOT_SECRET = b"tests-only-root-secret-0123456789abcdef"
TOKEN_LIFE = timedelta(minutes=15, seconds=5)


class HeldKeys:
    """An in-memory `SigningKeyStore`."""

    def __init__(self) -> None:
        self.keys: list[SigningKey] = []

    async def all(self) -> list[SigningKey]:
        return sorted(self.keys, key=lambda key: key.sequence)

    async def add(self, key: SigningKey) -> bool:
        if any(other.sequence == key.sequence for other in self.keys):
            return False
        self.keys.append(key)
        return True

    async def discard_before(self, sequence: int) -> None:
        self.keys = [key for key in self.keys if key.sequence >= sequence]

    async def replace_seal(self, key_id: str, sealed: bytes) -> None:
        self.keys = [replace(key, sealed=sealed) if key.key_id == key_id else key for key in self.keys]

    async def activate(self, key_id: str, *, now: datetime, retire_older_at: datetime) -> bool:
        self.keys = [replace(key, activated_at=now) if key.key_id == key_id else key for key in self.keys]
        return True


def sealing_key(secret: bytes = ROOT_SECRET) -> bytes:
    return RootSecret(secret).derive("signing keys")


async def held_ring(clock: Callable[[], datetime] = utc_now) -> KeyRing:
    """Create a key ring with a current and a next key, without background reloading."""
    ring = KeyRing(HeldKeys(), sealing_key(), token_life=TOKEN_LIFE, clock=clock)
    await ring.start()
    await ring.close()
    return ring


def random_session_id() -> str:
    return secrets.token_hex(16)
