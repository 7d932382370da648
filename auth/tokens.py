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

import orjson

from auth.clock import from_ms
from auth.errors import InvalidToken, TokenExpired
from auth.keys import KeyRing, OpenedKey, base64url
from auth.models import Principal, Session
from auth.recent import Recent

LEEWAY = timedelta(seconds=5)
# Ours are some 500 bytes. A longer one is refused before anything is decoded.
MAX_ACCESS_TOKEN_LENGTH = 4096
# A node remembers whose the access tokens last seen are, at some 600 bytes each; forgetting one costs 60 µs.
REMEMBERED = 20_000

REFRESH_PREFIX = "rt1."
REFRESH_LAYOUT = struct.Struct(">16sI16s")
TAG_BYTES = 32
MAX_GENERATION = 2**32 - 1
# The year 6325: a later time could overflow `datetime` once something is added to it.
MAX_TIMESTAMP = 2**37
KINDS: tuple[tuple[str, type], ...] = (("sub", str), ("sid", str), ("jti", str), ("roles", list), ("amr", list))
LISTS = frozenset({"roles", "amr"})
MOST = {"exp": MAX_TIMESTAMP, "iat": MAX_TIMESTAMP, "auth_time": MAX_TIMESTAMP, "gen": MAX_GENERATION}
REFRESH_TOKEN_LENGTH = len(REFRESH_PREFIX) + 91  # 68 bytes in base64url without padding


class AccessTokens:
    """Mints and verifies access tokens."""

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, lifetime: timedelta) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lifetime = lifetime
        self._verified: Recent[bytes, _Verified] = Recent(REMEMBERED)

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
        signed = key.header + "." + base64url(orjson.dumps(claims))
        token = f"{signed}.{base64url(key.private.sign(signed.encode()))}"
        # What this node has signed it need not verify when the client comes with it.
        self._verified.put(_digest(token), _Verified(key, _principal(claims)))
        return token, from_ms(expires * 1000)

    async def verify(self, token: str, *, now: datetime) -> Principal:
        """Who the token speaks for. Touches no store, but for a key id that this node has not seen yet.

        A client sends its token with every request and every reconnect: who it speaks for is remembered, for as
        long as its key may verify and its time lasts. Whether its session was revoked, only a store knows.
        Raises `TokenExpired` for a genuine token past its time (leeway 5 s), `InvalidToken` for all else.
        """
        digest = _digest(token)
        known = self._verified.get(digest)
        if known is not None and self._keys.of_header(known.key.header) is known.key:
            return _in_time(known.principal, now=now)
        if len(token) > MAX_ACCESS_TOKEN_LENGTH or token.count(".") != 2 or not token.isascii():
            raise InvalidToken
        header = token.partition(".")[0]
        key = self._keys.of_header(header) or await self._keys.find(_key_id(header))
        if key is None or header != key.header:
            raise InvalidToken
        principal = _in_time(_principal(self._claims(token, key)), now=now)
        self._verified.put(digest, _Verified(key, principal))
        return principal

    def _claims(self, token: str, key: OpenedKey) -> dict[str, Any]:
        """What the token claims, if `key` signed it. Its header is ours byte by byte: JOSE has no more to say."""
        signed, _, signature = token.rpartition(".")
        try:
            raw = _decode(signature)
            # One token, one spelling: base64 would otherwise ignore the last character's spare bits.
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
class _Verified:
    """What `AccessTokens` remembers of a token: whose it is, and the key that says so."""

    key: OpenedKey
    principal: Principal


def _digest(token: str) -> bytes:
    """What a token is remembered by. Not the token: what lies in memory for minutes shall be good for nothing."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


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


def _principal(claims: dict[str, Any]) -> Principal:
    for name, kind in KINDS:
        if not isinstance(claims.get(name), kind):
            raise InvalidToken
    for name, most in MOST.items():
        # bool is an int to Python, and NaN a float: neither is a time.
        if type(claims.get(name)) is not int or not 0 <= claims[name] <= most:
            raise InvalidToken
    for word in (*claims["roles"], *claims["amr"]):
        if not isinstance(word, str):
            raise InvalidToken
    for name, value in claims.items():
        # Ours are flat. How deep a nesting the JSON parser survives depends on the Python it runs on.
        if isinstance(value, (dict, list)) and name not in LISTS:
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


def _in_time(principal: Principal, *, now: datetime) -> Principal:
    if principal.issued_at > now + LEEWAY:
        raise InvalidToken
    if now >= principal.expires_at + LEEWAY:
        raise TokenExpired
    return principal


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
        return REFRESH_PREFIX + base64url(body + self._tag(body))

    def parse(self, text: str) -> RefreshToken:
        """The inverse of `mint`; touches no store. Raises `InvalidToken` for anything we did not mint."""
        if len(text) != REFRESH_TOKEN_LENGTH or not text.startswith(REFRESH_PREFIX) or not text.isascii():
            raise InvalidToken
        try:
            raw = _decode(text.removeprefix(REFRESH_PREFIX))
        except (ValueError, binascii.Error):
            raise InvalidToken from None
        # One token, one spelling: base64 would otherwise ignore the last character's spare bits.
        if REFRESH_PREFIX + base64url(raw) != text:
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


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
