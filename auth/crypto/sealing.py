"""Encryption of secrets at rest: AES-256-GCM under a key derived from the root secret.

A sealed secret is bound to a context (the user or key it belongs to): it cannot be opened in another document
or with another root secret (ASVS 5.0, 11.3.3; NIST SP 800-38D). The stored format is key id, nonce and
ciphertext; every later version must be able to open it.
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12  # NIST SP 800-38D, section 8.2
KEY_ID = b"k1"


class SealBroken(Exception):
    """The sealed value cannot be opened: different root secret, different context, or damaged data."""


class Seal:
    """Seals and opens small secrets. `key_id` is the key's name in stored values; it may be empty.

    `second`: another key, which opens only.
    """

    def __init__(self, key: bytes, *, key_id: bytes = KEY_ID, second: bytes | None = None) -> None:
        self._aead = AESGCM(key)
        self._key_id = key_id
        self._second = None if second is None else Seal(second, key_id=key_id)

    def seal(self, secret: bytes, *, context: str) -> bytes:
        """Encrypt `secret` for storage; it can be opened only with the same `context`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self._key_id + nonce + self._aead.encrypt(nonce, secret, self._bound(context))

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """The inverse of `seal`. Raises `SealBroken`."""
        try:
            return self._open(sealed, context)
        except SealBroken:
            if self._second is None:
                raise
            return self._second.open(sealed, context=context)

    def renew(self, sealed: bytes, *, context: str) -> bytes | None:
        """Seal anew what only the second key opens; None if the first one does. Raises `SealBroken`."""
        try:
            self._open(sealed, context)
        except SealBroken:
            return self.seal(self.open(sealed, context=context), context=context)
        return None

    def _open(self, sealed: bytes, context: str) -> bytes:
        if not sealed.startswith(self._key_id):
            raise SealBroken
        rest = sealed.removeprefix(self._key_id)
        try:
            return self._aead.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], self._bound(context))
        except (InvalidTag, ValueError):
            raise SealBroken from None

    def _bound(self, context: str) -> bytes:
        return (self._key_id + b" " if self._key_id else b"") + context.encode()
