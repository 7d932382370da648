"""Keys derived from the root secret, one for each purpose (RFC 5869, HKDF-SHA256)."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class RootSecret:
    """The server's root secret, used only to derive keys."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for `purpose`; it reveals nothing about other keys."""
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"vigil " + purpose.encode()).derive(
            self._secret
        )

    def __repr__(self) -> str:
        return "RootSecret(…)"
