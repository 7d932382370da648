"""Keys derived from the root secret, one for each purpose (RFC 5869, HKDF-SHA256).

While the secret is replaced there are two. Everything is signed and sealed under the first; what was signed or
sealed under either is accepted. So nodes with the two in either order accept each other's tokens.
"""

import hmac
from collections.abc import Callable, Iterable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class RootSecret:
    """The server's root secret, used only to derive keys, and the `second` one while it is replaced."""

    def __init__(self, secret: bytes, second: bytes | None = None) -> None:
        self._secret = secret
        self._second = second

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for `purpose`; it reveals nothing about other keys."""
        return _derive(self._secret, purpose)

    def derive_second(self, purpose: str) -> bytes | None:
        """The key under the second secret, which is only accepted; None without one."""
        return None if self._second is None else _derive(self._second, purpose)

    def __repr__(self) -> str:
        return "RootSecret(…)"


def is_tag(given: bytes, tag_of: Callable[[bytes], bytes], keys: Iterable[bytes | None]) -> bool:
    """Whether `given` is the tag under one of `keys`, each compared in constant time; None is no key."""
    return any(key is not None and hmac.compare_digest(given, tag_of(key)) for key in keys)


def _derive(secret: bytes, purpose: str) -> bytes:
    info = b"vigil " + purpose.encode()
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret)
