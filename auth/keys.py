"""The keys that sign access tokens: current, next, and those still in use.

The next key is published long before it signs, so that a service which caches the JWKS knows it by then.
A retired key stays until no token it signed can be alive.
"""

import asyncio
import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, Self

import orjson
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError

from auth.clock import Clock
from auth.errors import Unavailable

RELOAD_SECONDS = 10
# A forged key id must not become a database query each: unknown ids reload at most this often.
MIN_RELOAD_GAP = timedelta(seconds=2)
AEAD_NONCE_BYTES = 12  # NIST SP 800-38D, section 8.2

log = structlog.get_logger()


class KeySecretChanged(RuntimeError):
    """The root secret does not open the signing keys in the database."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key as stored: `sealed` is the private half under the root secret. Never active: `next`."""

    key_id: str
    sequence: int
    public: bytes
    sealed: bytes
    created_at: datetime
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A signing key ready for use. `header`: the only JWS header, encoded, under which it signs and verifies.

    `public` is the public half's 32 bytes.
    """

    key_id: str
    header: str
    private: Ed25519PrivateKey
    public: bytes
    jwk: dict[str, str]

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `message` (RFC 8032, section 5.1.7).

        Judged by libsodium, in half of OpenSSL's time. An S of the group's order or more, which is a second
        spelling of a good signature, is refused.
        """
        # Joined, a shorter or longer one would only move the border between signature and message.
        if len(signature) != crypto_sign_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, self.public)
        except BadSignatureError:
            return False
        return True


class SigningKeyStore(Protocol):
    """What the ring needs of the store."""

    async def all(self) -> list[SigningKey]:
        """Every kept key, oldest first."""

    async def add(self, key: SigningKey) -> bool:
        """Add `key`; False when its sequence number is taken."""

    async def activate(self, key_id: str, *, now: datetime, retire_older_at: datetime) -> bool:
        """Make a next key current and let the older ones leave at `retire_older_at`; False when it was already."""


def choose_current(keys: list[SigningKey]) -> SigningKey | None:
    """The key that signs: the newest one that was activated."""
    active = [key for key in keys if key.activated_at is not None]
    return max(active, key=lambda key: key.sequence, default=None)


class KeyRing:
    """The keys of this node, kept fresh from the store.

    `token_life` is the longest an access token can be accepted, leeway included.
    """

    def __init__(self, store: SigningKeyStore, sealing_key: bytes, *, token_life: timedelta, clock: Clock) -> None:
        self._store = store
        self._aead = AESGCM(sealing_key)
        self._token_life = token_life
        self._clock = clock
        self._opened: dict[str, OpenedKey] = {}
        self._by_header: dict[str, OpenedKey] = {}
        self._current: OpenedKey | None = None
        self._loaded_at: datetime | None = None
        self._reloader: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        """Make the first keys where there are none, load them, and follow changes until `close`.

        Raises `KeySecretChanged` when the root secret is not the one that sealed them.
        """
        await self._ensure()
        await self.reload()
        self._reloader = asyncio.create_task(self._follow())
        return self

    async def close(self) -> None:
        """Stop following changes."""
        if self._reloader is not None:
            self._reloader.cancel()
            await asyncio.gather(self._reloader, return_exceptions=True)

    @property
    def current(self) -> OpenedKey:
        """The key that signs."""
        if self._current is None:
            raise Unavailable
        return self._current

    def get(self, key_id: str) -> OpenedKey | None:
        """The key of that id, if it may still verify a token."""
        return self._opened.get(key_id)

    def of_header(self, header: str) -> OpenedKey | None:
        """The key that signs under this header, if it may still verify a token."""
        return self._by_header.get(header)

    async def find(self, key_id: str) -> OpenedKey | None:
        """As `get`, but asks the store for a key that this node has not heard of, at most every 2 s."""
        known = self.get(key_id)
        if known is None and (self._loaded_at is None or self._clock() - self._loaded_at >= MIN_RELOAD_GAP):
            try:
                await self.reload()
            except KeySecretChanged:
                # Somebody else's key in our database: no key of ours, and no reason to fail a request.
                log.exception("signing_keys_not_reloaded")
        return self.get(key_id)

    def jwks(self) -> dict[str, Any]:
        """The JSON Web Key Set (RFC 7517, section 5; RFC 8037 for Ed25519)."""
        return {"keys": [key.jwk for key in self._opened.values()]}

    async def reload(self) -> None:
        """Load every kept key; keeps the known ones when the store is down."""
        self._loaded_at = self._clock()
        keys = await self._store.all()
        self._opened = {key.key_id: self._opened.get(key.key_id) or self._open(key) for key in keys}
        self._by_header = {key.header: key for key in self._opened.values()}
        current = choose_current(keys)
        self._current = self._opened[current.key_id] if current else None

    async def rotate(self) -> str:
        """Make the next key the current one and draw a new next; returns the id of the new current key.

        Raises `KeySecretChanged` before anything is changed: a key sealed with another secret in the
        database would keep every node from starting.
        """
        keys = await self._ensure()
        now = self._clock()
        current, upcoming = choose_current(keys), keys[-1]
        if current is not None and upcoming.sequence > current.sequence:
            # Nodes learn of the change within RELOAD_SECONDS; until then they sign with the old key.
            retire_at = now + self._token_life + timedelta(seconds=2 * RELOAD_SECONDS)
            await self._store.activate(upcoming.key_id, now=now, retire_older_at=retire_at)
            await self._store.add(self._draw(upcoming.sequence + 1, activated_at=None))
        await self.reload()
        return self.current.key_id

    async def _ensure(self) -> list[SigningKey]:
        """Make what is missing: the first key, and a next one. Returns the keys that were there before the latter.

        Nodes that start together draw different keys; the store keeps one of each number.
        """
        keys = await self._store.all()
        if not keys:
            await self._store.add(self._draw(1, activated_at=self._clock()))
            keys = await self._store.all()
        for key in keys:
            self._open(key)
        # Missing also after a crash between two writes, here or in `rotate`.
        if keys[-1].activated_at is not None:
            await self._store.add(self._draw(keys[-1].sequence + 1, activated_at=None))
        return keys

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                await self.reload()
            except Unavailable:
                log.warning("signing_keys_not_reloaded")
            # The known keys stay good; a node that stopped following would miss every later change.
            except Exception:
                log.exception("signing_keys_not_reloaded")

    def _draw(self, sequence: int, *, activated_at: datetime | None) -> SigningKey:
        private = Ed25519PrivateKey.generate()
        key_id = f"{sequence}-{secrets.token_urlsafe(9)}"
        nonce = secrets.token_bytes(AEAD_NONCE_BYTES)
        sealed = nonce + self._aead.encrypt(nonce, private.private_bytes_raw(), key_id.encode())
        return SigningKey(
            key_id, sequence, private.public_key().public_bytes_raw(), sealed, self._clock(), activated_at
        )

    def _open(self, key: SigningKey) -> OpenedKey:
        nonce, sealed = key.sealed[:AEAD_NONCE_BYTES], key.sealed[AEAD_NONCE_BYTES:]
        try:
            raw = self._aead.decrypt(nonce, sealed, key.key_id.encode())
            private = Ed25519PrivateKey.from_private_bytes(raw)
        except (InvalidTag, ValueError):  # the latter for a document that is damaged
            raise KeySecretChanged(
                "VIGIL_SECRET_KEY is not the one that sealed the signing keys in this database"
            ) from None
        # Not the stored public half: whoever can write to the database could publish a key of their own.
        public = private.public_key().public_bytes_raw()
        x = base64url(public)
        jwk = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.key_id, "x": x}
        header = base64url(orjson.dumps({"alg": "EdDSA", "kid": key.key_id, "typ": "at+jwt"}))
        return OpenedKey(key.key_id, header, private, public, jwk)


def base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
