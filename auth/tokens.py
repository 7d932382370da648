"""Access tokens (JWT, RFC 9068, EdDSA) and refresh tokens (opaque, derived; docs/sessions.md).

An access token is accepted only under the exact header bytes that we mint for a key we hold. `alg`, `jwk`,
`jku`, `x5u`, `crit`, `b64` and whatever else a header can say is therefore never interpreted at all.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
import orjson
from jwt.exceptions import PyJWTError

from auth.clock import from_ms
from auth.errors import InvalidToken, TokenExpired
from auth.keys import KeyRing, OpenedKey
from auth.models import Principal, Session

LEEWAY = timedelta(seconds=5)
# Ours are some 500 bytes. A longer one is refused before anything is decoded.
MAX_ACCESS_TOKEN_LENGTH = 4096

REFRESH_PREFIX = "rt1."
REFRESH_LAYOUT = struct.Struct(">16sI16s")
TAG_BYTES = 32
MAX_GENERATION = 2**32 - 1
# The year 6325: a later time could overflow `datetime` once something is added to it.
MAX_TIMESTAMP = 2**37
MOST = {"exp": MAX_TIMESTAMP, "iat": MAX_TIMESTAMP, "auth_time": MAX_TIMESTAMP, "gen": MAX_GENERATION}
REFRESH_TOKEN_LENGTH = len(REFRESH_PREFIX) + 91  # 68 bytes in base64url without padding


class AccessTokens:
    """Mints and verifies access tokens."""

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, lifetime: timedelta) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lifetime = lifetime

    def mint(self, session: Session, *, now: datetime) -> tuple[str, datetime]:
        """An access token of the session's generation, and when it expires: never after the session."""
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
        signed = _header(key) + "." + _encode(orjson.dumps(claims))
        return f"{signed}.{_encode(key.private.sign(signed.encode()))}", from_ms(expires * 1000)

    async def verify(self, token: str, *, now: datetime) -> Principal:
        """Who the token speaks for. Touches no store, but for a key id that this node has not seen yet.

        Raises `TokenExpired` for a genuine token past its time (leeway 5 s), `InvalidToken` for all else.
        """
        if len(token) > MAX_ACCESS_TOKEN_LENGTH or token.count(".") != 2 or not token.isascii():
            raise InvalidToken
        header, _, signature = token.split(".")
        key = await self._keys.find(_key_id(header))
        if key is None or header != _header(key) or not _is_canonical(signature):
            raise InvalidToken
        return _principal(self._claims(token, key), now=now)

    def _claims(self, token: str, key: OpenedKey) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=["EdDSA"],
                audience=self._audience,
                issuer=self._issuer,
                # Time claims are checked by `_principal`, which takes `now`.
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "strict_aud": True},
            )
        except (PyJWTError, ValueError, RecursionError) as error:
            raise InvalidToken from error
        return claims


def _header(key: OpenedKey) -> str:
    return _encode(orjson.dumps({"alg": "EdDSA", "kid": key.key_id, "typ": "at+jwt"}))


def _key_id(header: str) -> str:
    """The key id a header names, only to look the key up by; the header must then equal ours."""
    try:
        parsed = orjson.loads(_decode(header))
    except (ValueError, binascii.Error):
        raise InvalidToken from None
    key_id = parsed.get("kid") if isinstance(parsed, dict) else None
    if not isinstance(key_id, str) or len(key_id) > 64:
        raise InvalidToken
    return key_id


def _principal(claims: dict[str, Any], *, now: datetime) -> Principal:
    for name, kind in (("sub", str), ("sid", str), ("jti", str), ("roles", list), ("amr", list)):
        if not isinstance(claims.get(name), kind):
            raise InvalidToken
    for name, most in MOST.items():
        # bool is an int to Python, and NaN a float: neither is a time.
        if type(claims.get(name)) is not int or not 0 <= claims[name] <= most:
            raise InvalidToken
    if not all(isinstance(word, str) for word in (*claims["roles"], *claims["amr"])):
        raise InvalidToken
    # Ours are flat. How deep a nesting the JSON parser survives depends on the Python it runs on.
    if any(isinstance(value, dict | list) for name, value in claims.items() if name not in {"roles", "amr"}):
        raise InvalidToken
    expires_at, issued_at = from_ms(claims["exp"] * 1000), from_ms(claims["iat"] * 1000)
    if issued_at > now + LEEWAY:
        raise InvalidToken
    if now >= expires_at + LEEWAY:
        raise TokenExpired
    return Principal(
        user_id=claims["sub"],
        session_id=claims["sid"],
        generation=claims["gen"],
        roles=tuple(claims["roles"]),
        amr=tuple(claims["amr"]),
        auth_time=from_ms(claims["auth_time"] * 1000),
        issued_at=issued_at,
        expires_at=expires_at,
    )


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a genuine refresh token carries. Its tag was checked; whether it is good the session says."""

    session_id: str
    generation: int
    nonce: bytes

    @property
    def nonce_hash(self) -> bytes:
        """What the session document keeps of the nonce."""
        return hash_nonce(self.nonce)

    def successor(self) -> "RefreshToken":
        """The token of the next generation: derived, so that it can be handed out again unstored."""
        return RefreshToken(self.session_id, self.generation + 1, self.nonce)

    def __repr__(self) -> str:
        return f"RefreshToken(session_id={self.session_id!r}, generation={self.generation}, …)"


class RefreshTokens:
    """Mints and parses refresh tokens under a key derived from the root secret."""

    def __init__(self, tag_key: bytes) -> None:
        self._tag_key = tag_key

    def mint(self, token: RefreshToken) -> str:
        """The token's text: `rt1.` and base64url of session id, generation, nonce and tag."""
        body = REFRESH_LAYOUT.pack(bytes.fromhex(token.session_id), token.generation, token.nonce)
        return REFRESH_PREFIX + _encode(body + self._tag(body))

    def parse(self, text: str) -> RefreshToken:
        """The inverse of `mint`; touches no store. Raises `InvalidToken` for anything we did not mint."""
        if len(text) != REFRESH_TOKEN_LENGTH or not text.startswith(REFRESH_PREFIX) or not text.isascii():
            raise InvalidToken
        try:
            raw = _decode(text.removeprefix(REFRESH_PREFIX))
        except (ValueError, binascii.Error):
            raise InvalidToken from None
        # One token, one spelling: base64 would otherwise ignore the last character's spare bits.
        if REFRESH_PREFIX + _encode(raw) != text:
            raise InvalidToken
        body, tag = raw[:-TAG_BYTES], raw[-TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(body)):
            raise InvalidToken
        session_id, generation, nonce = REFRESH_LAYOUT.unpack(body)
        if generation == MAX_GENERATION:
            raise InvalidToken
        return RefreshToken(session_id.hex(), generation, nonce)

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._tag_key, REFRESH_PREFIX.encode() + body, "sha256")


def hash_nonce(nonce: bytes) -> bytes:
    """SHA-256; the nonce has 128 random bits, so a fast hash gives nothing away."""
    return hashlib.sha256(nonce).digest()


def _is_canonical(segment: str) -> bool:
    """One token, one spelling: PyJWT's base64 skips foreign characters and ignores spare bits."""
    try:
        return _encode(_decode(segment)) == segment
    except (ValueError, binascii.Error):
        return False


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
