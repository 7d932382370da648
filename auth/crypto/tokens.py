"""Access tokens (JWT, RFC 9068, EdDSA) and refresh tokens (opaque, derived; docs/sessions.md).

An access token is accepted only with the exact header bytes that we generate for one of our keys, so header
parameters (`alg`, `jwk`, `jku`, `x5u`, `crit`, `b64`) are never interpreted.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import orjson

from auth.core.clock import from_ms
from auth.core.errors import InvalidToken, TokenExpired
from auth.core.lru_cache import LruCache
from auth.core.models import Principal, Session
from auth.crypto.root_secret import RootSecret, is_tag
from auth.crypto.signing_keys import KeyRing, OpenedKey, base64url

LEEWAY = timedelta(seconds=5)
# Our tokens have some 500 bytes. Longer ones are rejected before decoding.
MAX_ACCESS_TOKEN_LENGTH = 4096
# Cached verified tokens per node, at some 600 bytes each; a cache miss costs 60 µs.
CACHED_TOKENS = 20_000

REFRESH_PREFIX = "rt1."
# The second, longer form also names the user, so that a sharded database finds the session on one shard.
REFRESH_LAYOUT, NAMED_LAYOUT = struct.Struct(">16sI16s"), struct.Struct(">16sI16s16s")
TAG_BYTES = 32
MAX_GENERATION = 2**32 - 1
# The year 6325: a later time could overflow `datetime` arithmetic.
MAX_TIMESTAMP = 2**37
CLAIM_TYPES: tuple[tuple[str, type], ...] = (
    ("sub", str),
    ("sid", str),
    ("jti", str),
    ("roles", list),
    ("amr", list),
)
LIST_CLAIMS = frozenset({"roles", "amr"})
MAX_CLAIM_VALUES = {"exp": MAX_TIMESTAMP, "iat": MAX_TIMESTAMP, "auth_time": MAX_TIMESTAMP, "gen": MAX_GENERATION}
# By the length of a token: 68 or 84 bytes in base64url without padding.
REFRESH_FORMS = {len(REFRESH_PREFIX) + 91: REFRESH_LAYOUT, len(REFRESH_PREFIX) + 112: NAMED_LAYOUT}
USER_ID = re.compile(r"[0-9a-f]{32}")


class AccessTokens:
    """Issues and verifies access tokens."""

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, lifetime: timedelta) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lifetime = lifetime
        self._verified: LruCache[bytes, _CachedToken] = LruCache(CACHED_TOKENS)

    def mint(self, session: Session, *, now: datetime) -> tuple[str, datetime]:
        """Issue an access token for the session's generation; return it and its expiry, which is never after
        the session's.
        """
        issued = int(now.timestamp())
        expires = min(issued + int(self._lifetime.total_seconds()), int(session.expires_at.timestamp()))
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": session.user_id,
            "sid": session.session_id,
            "gen": session.generation,
            "roles": list(session.roles),
            "amr": list(session.amr),
            "auth_time": int(session.logged_in_at.timestamp()),
            "iat": issued,
            "exp": expires,
            "jti": secrets.token_urlsafe(12),
        }
        key = self._keys.current
        signed = key.header + "." + base64url(orjson.dumps(claims))
        token = f"{signed}.{base64url(key.private.sign(signed.encode()))}"
        # This node need not verify tokens that it signed itself.
        self._verified.put(_digest(token), _CachedToken(key, _principal(claims)))
        return token, from_ms(expires * 1000)

    async def verify(self, token: str, *, now: datetime) -> Principal:
        """The principal of the token. Queries no store, except for a key id that is new to this node.

        Verified tokens are cached while their key and their lifetime are valid. Revocation of the session is
        not checked here. Raises `TokenExpired` for a genuine expired token (leeway 5 s), otherwise
        `InvalidToken`.
        """
        digest = _digest(token)
        known = self._verified.get(digest)
        if known is not None and self._keys.of_header(known.key.header) is known.key:
            return _check_times(known.principal, now=now)
        if len(token) > MAX_ACCESS_TOKEN_LENGTH or token.count(".") != 2 or not token.isascii():
            raise InvalidToken
        header = token.partition(".")[0]
        key = self._keys.of_header(header) or await self._keys.find(_key_id(header))
        if key is None or header != key.header:
            raise InvalidToken
        principal = _check_times(_principal(self._claims(token, key)), now=now)
        self._verified.put(digest, _CachedToken(key, principal))
        return principal

    def _claims(self, token: str, key: OpenedKey) -> dict[str, Any]:
        """The claims of the token, if `key` signed it. The header has already been compared byte by byte."""
        signed, _, signature = token.rpartition(".")
        try:
            raw = _decode(signature)
            # Only the canonical encoding: base64 decoding ignores the unused bits of the last character.
            if base64url(raw) != signature:
                raise InvalidToken
            if not key.has_signed(signed.encode(), raw):
                raise InvalidToken
            claims = orjson.loads(_decode(signed.partition(".")[2]))
        except ValueError as error:
            raise InvalidToken from error
        if (
            not isinstance(claims, dict)
            or claims.get("iss") != self._issuer
            or claims.get("aud") != self._audience
        ):
            raise InvalidToken
        return claims


@dataclass(frozen=True, slots=True)
class _CachedToken:
    """A cache entry: the principal of a verified token, and the key that verified it."""

    key: OpenedKey
    principal: Principal


def _digest(token: str) -> bytes:
    """The cache key of a token: a hash, so that valid tokens are not kept in memory."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _key_id(header: str) -> str:
    """The key id in a header, used only for the lookup; the header must then equal the key's own."""
    try:
        parsed = orjson.loads(_decode(header))
    except (ValueError, binascii.Error):
        raise InvalidToken from None
    key_id = parsed.get("kid") if isinstance(parsed, dict) else None
    if not isinstance(key_id, str) or len(key_id) > 64:
        raise InvalidToken
    return key_id


def _principal(claims: dict[str, Any]) -> Principal:
    for name, kind in CLAIM_TYPES:
        if not isinstance(claims.get(name), kind):
            raise InvalidToken
    for name, most in MAX_CLAIM_VALUES.items():
        # `type() is int` excludes bool, which is a subclass of int, and floats such as NaN.
        if type(claims.get(name)) is not int or not 0 <= claims[name] <= most:
            raise InvalidToken
    for word in (*claims["roles"], *claims["amr"]):
        if not isinstance(word, str):
            raise InvalidToken
    for name, value in claims.items():
        # Our claims are flat. The nesting depth that the JSON parser survives depends on the Python version.
        if isinstance(value, (dict, list)) and name not in LIST_CLAIMS:
            raise InvalidToken
    return Principal(
        user_id=claims["sub"],
        session_id=claims["sid"],
        generation=claims["gen"],
        roles=tuple(claims["roles"]),
        amr=tuple(claims["amr"]),
        auth_time=from_ms(claims["auth_time"] * 1000),
        issued_at=from_ms(claims["iat"] * 1000),
        expires_at=from_ms(claims["exp"] * 1000),
    )


def _check_times(principal: Principal, *, now: datetime) -> Principal:
    if principal.issued_at > now + LEEWAY:
        raise InvalidToken
    if now >= principal.expires_at + LEEWAY:
        raise TokenExpired
    return principal


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The contents of a genuine refresh token: its tag was checked, its validity depends on the session.

    `user_id` is None if the token does not name it.
    """

    session_id: str
    generation: int
    nonce: bytes
    user_id: str | None = None

    @property
    def nonce_hash(self) -> bytes:
        """The hash of the nonce, as stored with the session."""
        return hash_nonce(self.nonce)

    def successor(self, user_id: str) -> "RefreshToken":
        """The token of the next generation. It is derived, so that it can be reissued without being stored."""
        return RefreshToken(self.session_id, self.generation + 1, self.nonce, user_id)

    def __repr__(self) -> str:
        return f"RefreshToken(session_id={self.session_id!r}, generation={self.generation}, …)"


class RefreshTokens:
    """Issues and parses refresh tokens under a key derived from the root secret. `second` is for parsing only.

    Both forms are always accepted. Tokens name their user once `names_user` says so: nodes of earlier versions,
    which would refuse them, are gone then.
    """

    def __init__(
        self, tag_key: bytes, *, second: bytes | None = None, names_user: Callable[[], bool] = lambda: True
    ) -> None:
        self._tag_key = tag_key
        self._second = second
        self._names_user = names_user

    @classmethod
    def under(cls, root: RootSecret, *, names_user: Callable[[], bool]) -> Self:
        """The tokens of an installation."""
        second = root.derive_second("refresh tokens")
        return cls(root.derive("refresh tokens"), second=second, names_user=names_user)

    def mint(self, token: RefreshToken) -> str:
        """Encode the token: `rt1.` and base64url of session id, generation, nonce, perhaps user id, and tag."""
        parts = (bytes.fromhex(token.session_id), token.generation, token.nonce)
        if token.user_id is not None and USER_ID.fullmatch(token.user_id) and self._names_user():
            body = NAMED_LAYOUT.pack(*parts, bytes.fromhex(token.user_id))
        else:
            body = REFRESH_LAYOUT.pack(*parts)
        return REFRESH_PREFIX + base64url(body + _tag(self._tag_key, body))

    def parse(self, text: str) -> RefreshToken:
        """The inverse of `mint`; queries no store. Raises `InvalidToken` for anything we did not issue."""
        layout = REFRESH_FORMS.get(len(text))
        if layout is None or not text.startswith(REFRESH_PREFIX) or not text.isascii():
            raise InvalidToken
        try:
            raw = _decode(text.removeprefix(REFRESH_PREFIX))
        except (ValueError, binascii.Error):
            raise InvalidToken from None
        # Only the canonical encoding: base64 decoding ignores the unused bits of the last character.
        if REFRESH_PREFIX + base64url(raw) != text:
            raise InvalidToken
        body, tag = raw[:-TAG_BYTES], raw[-TAG_BYTES:]
        if not is_tag(tag, lambda key: _tag(key, body), (self._tag_key, self._second)):
            raise InvalidToken
        session_id, generation, nonce, *user_id = layout.unpack(body)
        if generation == MAX_GENERATION:
            raise InvalidToken
        return RefreshToken(session_id.hex(), generation, nonce, user_id[0].hex() if user_id else None)


def _tag(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, REFRESH_PREFIX.encode() + body, "sha256")


def hash_nonce(nonce: bytes) -> bytes:
    """SHA-256 of the nonce. A fast hash is safe, since the nonce has 128 random bits."""
    return hashlib.sha256(nonce).digest()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
