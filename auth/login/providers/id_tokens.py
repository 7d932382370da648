"""Validates ID tokens (OpenID Connect Core 1.0, section 3.1.3.7). Pure: takes `now`.

Supports only asymmetric algorithms, so that neither `none` nor an HMAC with a public key is accepted. Keys come
only from the provider's key set; key parameters of a token's header (`jwk`, `jku`, `x5u`, `x5c`) are ignored.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from auth.login.providers.claims import Claims, claims_of, is_subject

# Maps an algorithm to its key type, its curve, and its hash for `at_hash`.
ALGORITHMS: dict[str, tuple[str, str | None, str]] = {
    "RS256": ("RSA", None, "sha256"),
    "PS256": ("RSA", None, "sha256"),
    "ES256": ("EC", "P-256", "sha256"),
    "EdDSA": ("OKP", "Ed25519", "sha512"),
}
RFC_7518_LEAST_RSA_BITS = 2048
# Enough for hundreds of groups and roles besides the claims that are read here.
MAX_TOKEN = 64 * 1024
# Allowed clock difference to the provider.
LEEWAY = timedelta(seconds=60)
# A token is issued when it is requested, so an old one belongs to another request.
MAX_AGE = timedelta(minutes=10)


class IdTokenRefused(Exception):
    """The token is invalid; the message gives the reason for the log and contains no part of the token."""


class OutdatedKeys(IdTokenRefused):
    """The key set may be outdated: it lacks the token's key, or has another one under the same name."""


@dataclass(frozen=True, slots=True)
class ExpectedClaims:
    """The values that a token must match."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str
    algorithms: Collection[str]

    def __repr__(self) -> str:
        return f"ExpectedClaims(issuer={self.issuer!r}, …)"


def judge(token: str, *, keys: Sequence[Mapping[str, Any]], expected: ExpectedClaims, now: datetime) -> Claims:
    """Validate a token and return its claims.

    Raises `OutdatedKeys`, or `IdTokenRefused` for any other failure.
    """
    if len(token) > MAX_TOKEN:
        raise IdTokenRefused("too long")
    algorithm, key_id = _header(token, expected.algorithms)
    claims = _verify_signature(token, algorithm, _key(keys, algorithm, key_id))
    _check_parties(claims, expected)
    _check_times(claims, now)
    if not _equal(claims.get("nonce"), expected.nonce):
        raise IdTokenRefused("nonce")
    if "at_hash" in claims and not _equal(claims["at_hash"], at_hash(expected.access_token, algorithm)):
        raise IdTokenRefused("at_hash")
    if not is_subject(claims.get("sub")):
        raise IdTokenRefused("sub")
    return claims_of(expected.issuer, claims["sub"], claims)


def at_hash(access_token: str, algorithm: str) -> str:
    """Return the left half of the access token's hash (OpenID Connect Core 1.0, section 3.1.3.6)."""
    digest = hashlib.new(ALGORITHMS[algorithm][2], access_token.encode("utf-8", "replace")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _header(token: str, allowed: Collection[str]) -> tuple[str, str | None]:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise IdTokenRefused("not a JWS") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or algorithm not in allowed:
        raise IdTokenRefused("algorithm")
    if "crit" in header or "b64" in header:
        raise IdTokenRefused("critical header")
    if key_id is not None and not isinstance(key_id, str):
        raise IdTokenRefused("kid")
    return algorithm, key_id


def _key(keys: Sequence[Mapping[str, Any]], algorithm: str, key_id: str | None) -> Any:
    fitting = [key for key in keys if _fits(key, algorithm) and (key_id is None or key.get("kid") == key_id)]
    if not fitting:
        raise OutdatedKeys("kid")
    if len(fitting) > 1:
        # Section 10.1: if the set has several keys, a token must name its key.
        raise IdTokenRefused("which key")
    try:
        key = jwt.PyJWK.from_dict(dict(fitting[0]), algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        raise IdTokenRefused("key") from None
    if isinstance(key, RSAPublicKey) and key.key_size < RFC_7518_LEAST_RSA_BITS:
        raise IdTokenRefused("weak key")
    return key


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    kind, curve, _ = ALGORITHMS[algorithm]
    return (
        key.get("kty") == kind
        and (curve is None or key.get("crv") == curve)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        # Anyone can sign with a private key that is published in the set.
        and "d" not in key
    )


def _verify_signature(token: str, algorithm: str, key: Any) -> dict[str, Any]:
    judged_here = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
    options: Any = {"verify_signature": True, **{f"verify_{claim}": False for claim in judged_here}}
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], options=options)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise OutdatedKeys("signature") from None
    return dict(claims)


def _check_parties(claims: Mapping[str, Any], expected: ExpectedClaims) -> None:
    if not _equal(claims.get("iss"), expected.issuer):
        raise IdTokenRefused("iss")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not any(_equal(each, expected.client_id) for each in audiences):
        raise IdTokenRefused("aud")
    # One of several audiences could replay a token that was issued to another of them (Zitadel always names
    # the project beside the client): `azp` must say that it was issued to this client.
    if (len(audiences) > 1 or "azp" in claims) and not _equal(claims.get("azp"), expected.client_id):
        raise IdTokenRefused("azp")


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    seconds, leeway = now.timestamp(), LEEWAY.total_seconds()
    expires, issued = _number(claims, "exp"), _number(claims, "iat")
    if seconds >= expires + leeway:
        raise IdTokenRefused("exp")
    if not seconds - MAX_AGE.total_seconds() - leeway <= issued <= seconds + leeway:
        raise IdTokenRefused("iat")
    if "nbf" in claims and _number(claims, "nbf") > seconds + leeway:
        raise IdTokenRefused("nbf")


def _number(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise IdTokenRefused(name)
    return value


def _equal(value: object, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(
        value.encode("utf-8", "replace"), expected.encode("utf-8", "replace")
    )
