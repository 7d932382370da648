"""Signing keys of access tokens: current, next, and retired ones still in use.

The next key is published long before it is used, so that services that cache the JWKS know it by then. A
retired key is kept until all tokens it signed have expired.
"""

import asyncio
import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, Self

import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError

from auth.core.clock import Clock
from auth.core.errors import StartRefused, Unavailable
from auth.core.tasks import end
from auth.crypto.root_secret import RootSecret
from auth.crypto.sealing import Seal, SealBroken

RELOAD_SECONDS = 10
# Minimum interval of reloads for unknown key ids, so that forged ids do not cause a database query each.
MIN_RELOAD_GAP = timedelta(seconds=2)

log = structlog.get_logger()


class KeySecretChanged(StartRefused):
    """The root secret cannot open the signing keys in the database."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key as stored. `sealed` is the private half, encrypted; the next key has no `activated_at`."""

    key_id: str
    sequence: int
    public: bytes
    sealed: bytes
    created_at: datetime
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A signing key ready for use. `header` is the encoded JWS header of all its tokens; no other is accepted.

    `public` is the 32-byte public key.
    """

    key_id: str
    header: str
    private: Ed25519PrivateKey
    public: bytes
    jwk: dict[str, str]

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is valid for `message` under this key (RFC 8032, section 5.1.7).

        Uses libsodium, which takes half of OpenSSL's time. Non-canonical signatures (S not below the group
        order) are rejected.
        """
        # The two are concatenated below: with another length, part of one would be taken as the other.
        if len(signature) != crypto_sign_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, self.public)
        except BadSignatureError:
            return False
        return True


class SigningKeyStore(Protocol):
    """The store methods that `KeyRing` uses."""

    async def all(self) -> list[SigningKey]:
        """All keys, oldest first."""

    async def add(self, key: SigningKey) -> bool:
        """Add `key`; False if its sequence number is taken."""

    async def discard_before(self, sequence: int) -> None:
        """Delete all keys with a lower sequence number."""

    async def replace_seal(self, key_id: str, sealed: bytes) -> None:
        """Replace the sealed private half of a key by the same one, sealed anew."""

    async def activate(self, key_id: str, *, now: datetime, retire_older_at: datetime) -> bool:
        """Make a next key the current one and schedule removal of older keys at `retire_older_at`; False if
        already active.
        """


def choose_current(keys: list[SigningKey]) -> SigningKey | None:
    """The signing key: the activated key with the highest sequence number."""
    active = [key for key in keys if key.activated_at is not None]
    return max(active, key=lambda key: key.sequence, default=None)


class KeyRing:
    """This node's copy of the signing keys, reloaded periodically.

    `token_life` is the longest time for which an access token can be accepted, including leeway.
    `second_key` opens keys that were sealed under it.
    """

    def __init__(
        self,
        store: SigningKeyStore,
        sealing_key: bytes,
        *,
        second_key: bytes | None = None,
        token_life: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._seal = Seal(sealing_key, key_id=b"", second=second_key)
        self._token_life = token_life
        self._clock = clock
        self._opened: dict[str, OpenedKey] = {}
        self._by_header: dict[str, OpenedKey] = {}
        self._current: OpenedKey | None = None
        self._loaded_at: datetime | None = None
        self._reloader: asyncio.Task[None] | None = None

    @classmethod
    def under(cls, root: RootSecret, store: SigningKeyStore, *, token_life: timedelta, clock: Clock) -> Self:
        """The keys of an installation."""
        second = root.derive_second("signing keys")
        return cls(store, root.derive("signing keys"), second_key=second, token_life=token_life, clock=clock)

    async def start(self) -> Self:
        """Create missing keys, load all keys, and reload them periodically until `close`.

        Raises `KeySecretChanged` if the keys were sealed with another root secret.
        """
        await self._ensure_keys()
        await self.reload()
        self._reloader = asyncio.create_task(self._reload_periodically())
        return self

    async def close(self) -> None:
        """Stop reloading."""
        await end(self._reloader)

    @property
    def current(self) -> OpenedKey:
        """The key that signs. Raises `Unavailable` if none is loaded."""
        if self._current is None:
            raise Unavailable
        return self._current

    def get(self, key_id: str) -> OpenedKey | None:
        """The key with this id, if it may still verify tokens."""
        return self._opened.get(key_id)

    def of_header(self, header: str) -> OpenedKey | None:
        """The key with this token header, if it may still verify tokens."""
        return self._by_header.get(header)

    async def find(self, key_id: str) -> OpenedKey | None:
        """Like `get`, but reloads the keys if the id is unknown, at most every 2 s."""
        known = self.get(key_id)
        if known is None and (self._loaded_at is None or self._clock() - self._loaded_at >= MIN_RELOAD_GAP):
            try:
                await self.reload()
            except KeySecretChanged:
                # A key in the database was sealed with another secret: it is not ours; do not fail the request.
                log.exception("signing_keys_not_reloaded")
        return self.get(key_id)

    def jwks(self) -> dict[str, Any]:
        """The JSON Web Key Set (RFC 7517, section 5; RFC 8037 for Ed25519)."""
        return {"keys": [key.jwk for key in self._opened.values()]}

    async def reload(self) -> None:
        """Load all keys from the store; if it is unavailable, the loaded keys stay in use."""
        self._loaded_at = self._clock()
        keys = await self._store.all()
        self._opened = {key.key_id: self._opened.get(key.key_id) or self._open(key) for key in keys}
        self._by_header = {key.header: key for key in self._opened.values()}
        current = choose_current(keys)
        self._current = self._opened[current.key_id] if current else None

    async def rotate(self) -> str:
        """Make the next key current and generate a new next key; return the id of the current key.

        Raises `KeySecretChanged` before changing anything: a key sealed with another secret would prevent every
        node from starting.
        """
        keys = await self._ensure_keys()
        now = self._clock()
        current, upcoming = choose_current(keys), keys[-1]
        if current is not None and upcoming.sequence > current.sequence:
            # Other nodes sign with the old key until they reload, within RELOAD_SECONDS.
            retire_at = now + self._token_life + timedelta(seconds=2 * RELOAD_SECONDS)
            await self._store.activate(upcoming.key_id, now=now, retire_older_at=retire_at)
            await self._store.add(self._generate(upcoming.sequence + 1, activated_at=None))
        await self.reload()
        return self.current.key_id

    async def reseal(self) -> int:
        """Seal all keys anew that are sealed under the second secret; return how many.

        Raises `KeySecretChanged` for a key that is sealed under neither.
        """
        count = 0
        for key in await self._store.all():
            self._open(key)
            renewed = self._seal.renew(key.sealed, context=key.key_id)
            if renewed is not None:
                await self._store.replace_seal(key.key_id, renewed)
                count += 1
        return count

    async def replace_all(self) -> str:
        """Generate new current and next keys and delete all others, whatever secret sealed them; return the
        current key's id.

        Earlier tokens are no longer accepted, by running nodes after their next reload.
        """
        keys = await self._store.all()
        first = keys[-1].sequence + 1 if keys else 1
        current = self._generate(first, activated_at=self._clock())
        await self._store.add(current)
        await self._store.discard_before(first)
        await self.reload()
        await self._ensure_keys()
        return current.key_id

    async def _ensure_keys(self) -> list[SigningKey]:
        """Create the first key and a next key if missing. Return the stored keys, without a next key created
        here.

        Nodes that start at the same time generate different keys; the store keeps one per sequence number.
        """
        keys = await self._store.all()
        if not keys:
            await self._store.add(self._generate(1, activated_at=self._clock()))
            keys = await self._store.all()
        for key in keys:
            self._open(key)
        # Also missing after a crash between two writes, here or in `rotate`.
        if keys[-1].activated_at is not None:
            await self._store.add(self._generate(keys[-1].sequence + 1, activated_at=None))
        return keys

    async def _reload_periodically(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                await self.reload()
            except Unavailable:
                log.warning("signing_keys_not_reloaded")
            # The loaded keys remain valid; without further reloads the node would miss all later changes.
            except Exception:
                log.exception("signing_keys_not_reloaded")

    def _generate(self, sequence: int, *, activated_at: datetime | None) -> SigningKey:
        private = Ed25519PrivateKey.generate()
        key_id = f"{sequence}-{secrets.token_urlsafe(9)}"
        sealed = self._seal.seal(private.private_bytes_raw(), context=key_id)
        return SigningKey(
            key_id, sequence, private.public_key().public_bytes_raw(), sealed, self._clock(), activated_at
        )

    def _open(self, key: SigningKey) -> OpenedKey:
        try:
            raw = self._seal.open(key.sealed, context=key.key_id)
            private = Ed25519PrivateKey.from_private_bytes(raw)
        except (SealBroken, ValueError):  # ValueError: the document is damaged
            raise KeySecretChanged(
                "VIGIL_SECRET_KEY is not the secret that sealed the signing keys in this database: "
                "use that secret, or end all sessions with `server.py keys reset`"
            ) from None
        # Derived, not read from the store: an attacker with write access to it could publish their own key.
        public = private.public_key().public_bytes_raw()
        x = base64url(public)
        jwk = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.key_id, "x": x}
        header = base64url(orjson.dumps({"alg": "EdDSA", "kid": key.key_id, "typ": "at+jwt"}))
        return OpenedKey(key.key_id, header, private, public, jwk)


def base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
