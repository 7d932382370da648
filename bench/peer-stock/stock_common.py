"""Code shared by the stock peer's server, seed and mint: settings, tokens and session documents."""

import base64
import hashlib
import hmac
import os
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

ISSUER, AUDIENCE = "bench", "bench"
REFRESH_LIFE = timedelta(days=7)
REFRESH_LAYOUT = struct.Struct(">16sI16s")
REFRESH_PREFIX = "rt1."
TAG_BYTES = 32

Document = dict[str, Any]


class Refused(Exception):
    """A token is not valid; the code is sent to the client."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Config:
    """The environment passed to every peer."""

    port: int
    mongo_url: str
    redis_url: str
    database: str
    prefix: str
    secret: bytes
    token_seconds: int

    @classmethod
    def read(cls) -> "Config":
        """Read the environment."""
        environ = os.environ
        return cls(
            port=int(environ.get("BENCH_PORT", "0")),
            mongo_url=environ["BENCH_MONGO_URL"],
            redis_url=environ["BENCH_REDIS_URL"],
            database=environ["BENCH_DATABASE"],
            prefix=environ["BENCH_PREFIX"],
            secret=bytes.fromhex(environ["BENCH_SECRET"]),
            token_seconds=int(environ.get("BENCH_TOKEN_SECONDS", "900")),
        )

    def open_database(self) -> AsyncDatabase[Document]:
        """Open MongoDB with majority writes."""
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            self.mongo_url, tz_aware=True, w="majority", maxPoolSize=64
        )
        return client[self.database]


class Tokens:
    """Access tokens with PyJWT and EdDSA; refresh tokens with their generation, protected by an HMAC."""

    def __init__(self, config: Config) -> None:
        seed = hmac.digest(config.secret, b"signing key", "sha256")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key()
        self._tag_key = hmac.digest(config.secret, b"refresh tokens", "sha256")
        self._seconds = config.token_seconds

    def mint_access(
        self, session: Mapping[str, Any], *, now: datetime, seconds: int | None = None
    ) -> tuple[str, datetime]:
        """Mint an access token for the session's generation; return it with its expiry."""
        issued = int(now.timestamp())
        expires = issued + (seconds or self._seconds)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": session["userId"],
            "sid": session["_id"],
            "gen": session["generation"],
            "roles": session["roles"],
            "amr": session["amr"],
            "auth_time": int(session["loggedInAt"].timestamp()),
            "iat": issued,
            "exp": expires,
            "jti": secrets.token_urlsafe(12),
        }
        token = jwt.encode(claims, self._private, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": "1"})
        return token, datetime.fromtimestamp(expires, UTC)

    def verify_access(self, token: object) -> dict[str, Any]:
        """Return the claims of a valid token. Raises `Refused`."""
        if not isinstance(token, str):
            raise Refused("missing_token")
        try:
            return jwt.decode(
                token, self._public, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER, leeway=5
            )
        except jwt.ExpiredSignatureError:
            raise Refused("token_expired") from None
        except jwt.PyJWTError:
            raise Refused("invalid_token") from None

    def mint_refresh(self, session_id: str, generation: int, nonce: bytes) -> str:
        """Mint the refresh token of a generation."""
        body = REFRESH_LAYOUT.pack(bytes.fromhex(session_id), generation, nonce)
        raw = body + hmac.digest(self._tag_key, body, "sha256")
        return REFRESH_PREFIX + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def parse_refresh(self, token: object) -> tuple[str, int, bytes]:
        """Return session, generation and nonce of a valid token. Raises `Refused`."""
        if not isinstance(token, str) or not token.startswith(REFRESH_PREFIX):
            raise Refused("invalid_token")
        try:
            raw = base64.urlsafe_b64decode(token.removeprefix(REFRESH_PREFIX) + "=")
            session_id, generation, nonce = REFRESH_LAYOUT.unpack(raw[:-TAG_BYTES])
        except (ValueError, struct.error):
            raise Refused("invalid_token") from None
        if not hmac.compare_digest(raw[-TAG_BYTES:], hmac.digest(self._tag_key, raw[:-TAG_BYTES], "sha256")):
            raise Refused("invalid_token")
        return session_id.hex(), generation, nonce


def new_session(user_id: str, nonce: bytes, user_agent: str, *, now: datetime) -> Document:
    """Build a session document."""
    return {
        "_id": secrets.token_hex(16),
        "userId": user_id,
        "nonceHash": hashlib.sha256(nonce).digest(),
        "generation": 0,
        "confirmed": False,
        "roles": [],
        "amr": ["pwd"],
        "device": {"name": "Firefox on Linux", "browser": "Firefox", "os": "Linux", "kind": "desktop"},
        "userAgent": user_agent,
        "ip": "127.0.0.1",
        "location": None,
        "loggedInAt": now,
        "lastSeenAt": now,
        "rotatedAt": now,
        "expiresAt": now + REFRESH_LIFE,
        "revokedAt": None,
    }


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """Format a time for clients."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def view_session(session: Mapping[str, Any], *, current: str, online: Sequence[str]) -> dict[str, Any]:
    """Build the view of a session for its user."""
    return {
        "sessionId": session["_id"],
        "device": session["device"],
        "userAgent": session["userAgent"],
        "ip": session["ip"],
        "location": session["location"],
        "loggedInAt": iso(session["loggedInAt"]),
        "lastSeenAt": iso(session["lastSeenAt"]),
        "expiresAt": iso(session["expiresAt"]),
        "isCurrent": session["_id"] == current,
        "online": session["_id"] in online,
        "amr": session["amr"],
    }
