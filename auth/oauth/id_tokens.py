"""Whether an ID token is to be believed (OpenID Connect Core 1.0, section 3.1.3.7). Pure: takes `now`.

Only asymmetric algorithms are known here, so that neither `none` nor an HMAC under a public key can pass, and the
key is one of the provider's own set: what a token's header says of keys (`jwk`, `jku`, `x5u`, `x5c`) is not read.
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

from auth.oauth.claims import Claims, claims_of, is_subject

# Algorithm to the kind of key (and curve) that it takes, and to its hash for `at_hash`.
ALGORITHMS: dict[str, tuple[str, str | None, str]] = {
    "RS256": ("RSA", None, "sha256"),
    "PS256": ("RSA", None, "sha256"),
    "ES256": ("EC", "P-256", "sha256"),
    "EdDSA": ("OKP", "Ed25519", "sha512"),
}
RFC_7518_LEAST_RSA_BITS = 2048
MAX_TOKEN = 16_384
# Between the provider's clock and ours.
LEEWAY = timedelta(seconds=60)
# A token is asked for and made in one breath: an old one was asked for by somebody else.
MAX_AGE = timedelta(minutes=10)


class IdTokenRefused(Exception):
    """The token is not believed; the message says why, for the log, and repeats nothing of it."""


class UnknownKey(IdTokenRefused):
    """It names a key that is not in the set: the set may be out of date."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say: by whom, for whom, for which visit, and beside which access token."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str
    algorithms: Collection[str]

    def __repr__(self) -> str:
        return f"Expected(issuer={self.issuer!r}, …)"


def judge(token: str, *, keys: Sequence[Mapping[str, Any]], expected: Expected, now: datetime) -> Claims:
    """The claims of a token that is everything that was expected.

    Raises `UnknownKey`, or `IdTokenRefused` for whatever else is wrong.
    """
    if len(token) > MAX_TOKEN:
        raise IdTokenRefused("too long")
    algorithm, key_id = _header(token, expected.algorithms)
    claims = _verified(token, algorithm, _key(keys, algorithm, key_id))
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
    """The left half of the access token's hash (OpenID Connect Core 1.0, section 3.1.3.6)."""
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
        raise UnknownKey("kid")
    if len(fitting) > 1:
        # Section 10.1: with several keys in the set, a token has to name its own.
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
        # A private key in a set that everybody can read is a key that everybody can sign with.
        and "d" not in key
    )


def _verified(token: str, algorithm: str, key: Any) -> dict[str, Any]:
    judged_here = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
    options: Any = {"verify_signature": True, **{f"verify_{claim}": False for claim in judged_here}}
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], options=options)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise IdTokenRefused("signature") from None
    return dict(claims)


def _check_parties(claims: Mapping[str, Any], expected: Expected) -> None:
    if not _equal(claims.get("iss"), expected.issuer):
        raise IdTokenRefused("iss")
    # One for several audiences could be replayed to us by another of them: none but us is trusted.
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if not _equal(audience, expected.client_id):
        raise IdTokenRefused("aud")
    if "azp" in claims and not _equal(claims["azp"], expected.client_id):
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
