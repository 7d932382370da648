"""Argon2id by libsodium, for half the CPU of argon2-cffi: 73 ms a hash instead of 150 (`make bench`, login).

libsodium picks AVX2 or AVX-512 code at run time; the wheels of argon2-cffi do not. It computes one lane only
(p=1), so hashes with other parameters, for example imported ones, are verified by argon2-cffi.
"""

from typing import Literal

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import ARGON2_VERSION, Type
from nacl import pwhash
from nacl.exceptions import InvalidkeyError

# RFC 9106, section 4, second recommended option: t=3, m=64 MiB. It has p=4, which divides the same work among
# threads; here the pool computes several hashes at once.
TIME_COST = 3
MEMORY_KIB = 64 * 1024


class SodiumHasher(PasswordHasher):
    """An argon2-cffi hasher whose hashes are computed and, where possible, verified by libsodium.

    Hashes are in PHC format, and argon2-cffi verifies them too.
    """

    def __init__(self, *, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB) -> None:
        # libsodium's sizes of salt and hash.
        super().__init__(
            time_cost=time_cost,
            memory_cost=memory_kib,
            parallelism=1,
            hash_len=32,
            salt_len=pwhash.argon2id.SALTBYTES,
        )

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        """Override of `PasswordHasher`: a given `salt` is left to argon2-cffi."""
        if salt is not None:
            return super().hash(password, salt=salt)
        return pwhash.argon2id.str(_as_bytes(password), self.time_cost, self.memory_cost * 1024).decode()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2-cffi's name
        """Override of `PasswordHasher`: raises its exceptions."""
        encoded = _as_bytes(hash)
        if not _is_for_sodium(encoded):
            return super().verify(hash, password)
        try:
            pwhash.argon2id.verify(encoded, _as_bytes(password))
        except InvalidkeyError:
            raise VerifyMismatchError from None
        return True


def _is_for_sodium(encoded: bytes) -> bool:
    """Whether libsodium can verify this hash. Raises `InvalidHashError` if it is none."""
    parameters = extract_parameters(encoded.decode(errors="replace"))
    return (
        parameters.type is Type.ID
        and parameters.version == ARGON2_VERSION
        and parameters.parallelism == 1
        and len(encoded) < pwhash.argon2id.PWHASH_SIZE
    )


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
