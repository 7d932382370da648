"""Password hashes of other systems than ours: bcrypt, scrypt and PBKDF2, in the forms in which they are exported.

A hash is read within bounds of its cost, so that no hash, wherever it comes from, costs a thread of the pool
(passwords.py) more than about a second and 256 MiB. The password is used as it was typed: these systems do not
normalise it. bcrypt uses its first 72 bytes only, as those systems did.
"""

import base64
import binascii
import hashlib
import hmac
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

import bcrypt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# Twice the work for each step: 13 takes about half a second.
MAX_BCRYPT_COST = 13
MAX_ITERATIONS = 2_000_000
MAX_SCRYPT_BYTES = 256 * 1024 * 1024
# N times r times p: that of 256 MiB in one lane.
MAX_SCRYPT_WORK = MAX_SCRYPT_BYTES // 128
# r times p: scrypt begins and ends with PBKDF2 over 128 bytes for each; for a million it takes minutes.
MAX_SCRYPT_BLOCKS = 1024
# OWASP's Password Storage Cheat Sheet: the least cost of bcrypt.
OWASP_LEAST_BCRYPT_COST = 10
# NIST SP 800-63B (2017), 5.1.1.2: "typically at least 10,000 iterations"; also the default of ASP.NET Identity 3.
NIST_LEAST_ITERATIONS = 10_000
# The interactive logins of the paper on scrypt (Percival, 2009), and the default of Firebase: N=2^14, r=8, p=1.
SCRYPT_INTERACTIVE_WORK = 2**14 * 8

BCRYPT_BYTES = 72
MAX_SALT_BYTES, MAX_KEY_BYTES = 128, 128
DIGESTS = {"sha1": 20, "sha256": 32, "sha512": 64}
# KeyDerivationPrf of ASP.NET.
ASPNET_PRFS = ("sha1", "sha256", "sha512")
ASPNET_V3, ASPNET_HEADER_BYTES = 1, 13

_NUMBER = r"[1-9]\d{0,8}"
_BCRYPT = re.compile(r"(?:(bcrypt|bcrypt_sha256)\$)?(\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53})", re.ASCII)
_SCRYPT_PHC = re.compile(rf"\$scrypt\$ln=(\d{{1,2}}),r=({_NUMBER}),p=({_NUMBER})\$([^$]+)\$([^$]+)", re.ASCII)
_SCRYPT_WERKZEUG = re.compile(rf"scrypt:({_NUMBER}):({_NUMBER}):({_NUMBER})\$([^$]+)\$([0-9a-f]+)")
_SCRYPT_DJANGO = re.compile(rf"scrypt\$({_NUMBER})\$([^$]+)\$({_NUMBER})\$({_NUMBER})\$([^$]+)")
_FIREBASE = re.compile(
    rf"\$fbscrypt\$v=1,n=(\d{{1,2}}),r=({_NUMBER}),p=({_NUMBER})(?:,ss=([^,$]*))?,sk=([^,$]+)\$([^$]+)\$([^$]+)",
    re.ASCII,
)
_PBKDF2_PHC = re.compile(
    rf"\$pbkdf2(?:-(sha1|sha256|sha512))?\$(?:i=)?({_NUMBER})(?:,l=\d{{1,3}})?\$([^$]+)\$([^$]+)"
)
_PBKDF2_WERKZEUG = re.compile(rf"pbkdf2:(sha1|sha256|sha512):({_NUMBER})\$([^$]+)\$([0-9a-f]+)")
_PBKDF2_DJANGO = re.compile(rf"pbkdf2_(sha1|sha256)\$({_NUMBER})\$([^$]+)\$([^$]+)")


class UnusableHash(ValueError):
    """The hash has a known form, and is damaged or costs too much; the message says which and quotes nothing."""


class ForeignHash(ABC):
    """A hash that was read."""

    @abstractmethod
    def matches(self, password: str) -> bool:
        """Whether the password is the hashed one. Takes up to about a second."""

    @property
    @abstractmethod
    def weakness(self) -> str | None:
        """Why the hash is too easy to guess to be taken over, or None."""


@dataclass(frozen=True, slots=True, repr=False)
class BcryptHash(ForeignHash):
    """`$2a$`, `$2b$` or `$2y$`; `prehashed` by SHA-256 in hexadecimal (Django's `bcrypt_sha256`)."""

    encoded: bytes
    cost: int
    prehashed: bool = False

    def __post_init__(self) -> None:
        if not 4 <= self.cost <= MAX_BCRYPT_COST:
            raise UnusableHash(
                f"This bcrypt hash costs too much to verify: the cost must be 4 to {MAX_BCRYPT_COST}."
            )

    def matches(self, password: str) -> bool:
        """See `ForeignHash`."""
        typed = _typed(password)
        if self.prehashed:
            typed = hashlib.sha256(typed).hexdigest().encode()
        try:
            return bcrypt.checkpw(typed[:BCRYPT_BYTES], self.encoded)
        except ValueError:  # a salt with stray bits
            return False

    @property
    def weakness(self) -> str | None:
        """See `ForeignHash`."""
        return None if self.cost >= OWASP_LEAST_BCRYPT_COST else f"a cost of at least {OWASP_LEAST_BCRYPT_COST}"


@dataclass(frozen=True, slots=True, repr=False)
class ScryptHash(ForeignHash):
    """scrypt (RFC 7914); with `signer_key`, Firebase's: the key that is derived encrypts the project's key."""

    n: int
    r: int
    p: int
    salt: bytes
    key: bytes
    signer_key: bytes | None = None

    def __post_init__(self) -> None:
        _check_sizes(self.salt, self.key)
        # RFC 7914, section 2: N is a power of two, and less than 2 to the power of 16 times r.
        if self.n < 2 or self.n & (self.n - 1) or self.n.bit_length() > 16 * self.r:
            raise UnusableHash("This is not a valid scrypt hash.")
        if 128 * self.n * self.r > MAX_SCRYPT_BYTES or self.n * self.r * self.p > MAX_SCRYPT_WORK:
            raise UnusableHash(
                f"This scrypt hash costs too much to verify: N times r times p must be at most {MAX_SCRYPT_WORK}."
            )
        if self.r * self.p > MAX_SCRYPT_BLOCKS:
            raise UnusableHash(
                f"This scrypt hash costs too much to verify: r times p must be at most {MAX_SCRYPT_BLOCKS}."
            )
        if self.signer_key is not None and len(self.key) != len(self.signer_key):
            raise UnusableHash("This is not a valid hash of Firebase: hash and signer key differ in length.")

    def matches(self, password: str) -> bool:
        """See `ForeignHash`."""
        length = len(self.key) if self.signer_key is None else 32
        # OpenSSL's own estimate, and some space.
        memory = 128 * self.r * (self.n + self.p + 4) + 1024 * 1024
        derived = hashlib.scrypt(
            _typed(password), salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=memory, dklen=length
        )
        if self.signer_key is not None:
            encryptor = Cipher(algorithms.AES(derived), modes.CTR(bytes(16))).encryptor()
            derived = encryptor.update(self.signer_key) + encryptor.finalize()
        return hmac.compare_digest(derived, self.key)

    @property
    def weakness(self) -> str | None:
        """See `ForeignHash`."""
        strong = self.n * self.r * self.p >= SCRYPT_INTERACTIVE_WORK
        return None if strong else f"N times r times p of at least {SCRYPT_INTERACTIVE_WORK}"


@dataclass(frozen=True, slots=True, repr=False)
class Pbkdf2Hash(ForeignHash):
    """PBKDF2 with HMAC (RFC 8018)."""

    digest: str
    iterations: int
    salt: bytes
    key: bytes

    def __post_init__(self) -> None:
        _check_sizes(self.salt, self.key)
        blocks = -(-len(self.key) // DIGESTS[self.digest])
        if not 0 < self.iterations * blocks <= MAX_ITERATIONS:
            raise UnusableHash(f"This PBKDF2 hash costs too much to verify: at most {MAX_ITERATIONS} iterations.")

    def matches(self, password: str) -> bool:
        """See `ForeignHash`."""
        derived = hashlib.pbkdf2_hmac(
            self.digest, _typed(password), self.salt, self.iterations, dklen=len(self.key)
        )
        return hmac.compare_digest(derived, self.key)

    @property
    def weakness(self) -> str | None:
        """See `ForeignHash`."""
        strong = self.iterations >= NIST_LEAST_ITERATIONS
        return None if strong else f"at least {NIST_LEAST_ITERATIONS} iterations"


def read_foreign_hash(text: str) -> ForeignHash | None:
    """Read a hash of another system; None for an unknown form. Raises `UnusableHash`."""
    if found := _BCRYPT.fullmatch(text):
        return BcryptHash(found[2].encode(), int(found[3]), prehashed=found[1] == "bcrypt_sha256")
    if found := _FIREBASE.fullmatch(text):
        separator, signer, salt, key = (_base64(part or "") for part in found.group(4, 5, 6, 7))
        n, r, p = 1 << min(int(found[1]), 40), int(found[2]), int(found[3])
        return ScryptHash(n, r, p, salt + separator, key, signer)
    return _read_scrypt(text) or _read_pbkdf2(text) or _read_aspnet(text)


def _read_scrypt(text: str) -> ScryptHash | None:
    if found := _SCRYPT_PHC.fullmatch(text):
        n, r, p = 1 << min(int(found[1]), 40), int(found[2]), int(found[3])
        return ScryptHash(n, r, p, _base64(found[4]), _base64(found[5]))
    if found := _SCRYPT_WERKZEUG.fullmatch(text):
        return ScryptHash(int(found[1]), int(found[2]), int(found[3]), found[4].encode(), _hex(found[5]))
    if found := _SCRYPT_DJANGO.fullmatch(text):
        return ScryptHash(int(found[1]), int(found[3]), int(found[4]), found[2].encode(), _base64(found[5]))
    return None


def _read_pbkdf2(text: str) -> Pbkdf2Hash | None:
    if found := _PBKDF2_PHC.fullmatch(text):
        return Pbkdf2Hash(found[1] or "sha1", int(found[2]), _base64(found[3]), _base64(found[4]))
    if found := _PBKDF2_WERKZEUG.fullmatch(text):
        return Pbkdf2Hash(found[1], int(found[2]), found[3].encode(), _hex(found[4]))
    if found := _PBKDF2_DJANGO.fullmatch(text):
        return Pbkdf2Hash(found[1], int(found[2]), found[3].encode(), _base64(found[4]))
    return None


def _read_aspnet(text: str) -> Pbkdf2Hash | None:
    """Version 3 of ASP.NET Identity: base64 of a byte 1, then PRF, iterations and salt's length, each 32 bits."""
    if not text.startswith("AQAAAA"):
        return None
    raw = _base64(text)
    if len(raw) < ASPNET_HEADER_BYTES or raw[0] != ASPNET_V3:
        raise UnusableHash("This is not a valid hash of ASP.NET Identity.")
    prf, iterations, size = (int.from_bytes(raw[start : start + 4], "big") for start in (1, 5, 9))
    salt, key = raw[ASPNET_HEADER_BYTES:][:size], raw[ASPNET_HEADER_BYTES:][size:]
    if prf >= len(ASPNET_PRFS) or len(salt) != size:
        raise UnusableHash("This is not a valid hash of ASP.NET Identity.")
    return Pbkdf2Hash(ASPNET_PRFS[prf], iterations, salt, key)


def _check_sizes(salt: bytes, key: bytes) -> None:
    if not 0 < len(salt) <= MAX_SALT_BYTES or not 16 <= len(key) <= MAX_KEY_BYTES:
        raise UnusableHash(
            f"This hash is damaged: a salt has up to {MAX_SALT_BYTES} bytes, a hash 16 to {MAX_KEY_BYTES}."
        )


def _base64(text: str) -> bytes:
    """Base64 as these systems write it: with or without padding, `+` also as `-` or `.`, `/` also as `_`."""
    plain = text.rstrip("=").replace("-", "+").replace(".", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UnusableHash("This hash is damaged: it is not valid base64.") from None


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UnusableHash("This hash is damaged: it is not valid hexadecimal.") from None


def _typed(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
