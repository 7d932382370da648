"""Secrets at rest: sealed with AES-256-GCM under a key derived from the root secret.

What is sealed names its key and is bound to a context (the user it belongs to): moved to another document, or
opened under another secret, it opens nothing (ASVS 5.0, 11.3.3; NIST SP 800-38D).
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12  # NIST SP 800-38D, section 8.2
KEY_ID = b"k1"


class SealBroken(Exception):
    """What was stored cannot be opened: another root secret, another context, or damage."""


class Seal:
    """Seals and opens small secrets."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, secret: bytes, *, context: str) -> bytes:
        """`secret` as it may be stored, to be opened with the same `context` alone."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return KEY_ID + nonce + self._aead.encrypt(nonce, secret, _bound(context))

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """The inverse of `seal`. Raises `SealBroken`."""
        if not sealed.startswith(KEY_ID):
            raise SealBroken
        rest = sealed.removeprefix(KEY_ID)
        try:
            return self._aead.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _bound(context))
        except (InvalidTag, ValueError):
            raise SealBroken from None


def _bound(context: str) -> bytes:
    return KEY_ID + b" " + context.encode()
