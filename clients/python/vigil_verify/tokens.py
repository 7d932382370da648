"""The checks of an access token (protocol.md, section 4). Pure.

Only the exact header that Vigil writes for one of its keys is accepted: nothing in a header is interpreted.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vigil_verify.errors import InvalidToken, TokenExpired

# Vigil's tokens have some 500 bytes. Longer ones are refused before they are decoded.
MAX_LENGTH = 4096
MAX_TIME, MAX_GENERATION = 2**37, 2**32 - 1
MAX_NUMBERS = {"exp": MAX_TIME, "iat": MAX_TIME, "auth_time": MAX_TIME, "gen": MAX_GENERATION}
LISTS = frozenset({"roles", "amr"})


@dataclass(frozen=True, slots=True)
class Claims:
    """Whose token it is. Times are in seconds since 1970. `roles` are those of when the token was issued."""

    user_id: str
    session_id: str
    roles: tuple[str, ...]
    amr: tuple[str, ...]
    generation: int
    auth_time: int
    issued_at: int
    expires_at: int
    token_id: str


def header_of(key_id: str) -> str:
    """The header of all tokens that are signed with this key."""
    return base64url(json.dumps({"alg": "EdDSA", "kid": key_id, "typ": "at+jwt"}, separators=(",", ":")).encode())


def verify(
    token: str,
    keys: Mapping[str, Ed25519PublicKey],
    *,
    issuer: str,
    audience: str,
    now: float,
    leeway: float,
) -> Claims:
    """Return the claims. `keys`: by the headers of their tokens. Raises `InvalidToken` or `TokenExpired`."""
    header = header_in(token)
    key = keys.get(header)
    if key is None:
        raise InvalidToken
    signed, _, signature = token.rpartition(".")
    try:
        key.verify(_canonical(signature), signed.encode())
        claims = json.loads(_canonical(signed[len(header) + 1 :]), parse_constant=_refuse)
    except (ValueError, InvalidSignature, RecursionError):
        raise InvalidToken from None
    if not isinstance(claims, dict):
        raise InvalidToken
    found_for, expected = (claims.get("iss"), claims.get("aud")), (issuer, audience)
    if found_for != expected:
        raise InvalidToken from ValueError(
            f"issuer and audience of a genuine token are {found_for}, expected {expected}"
        )
    found = _claims(claims)
    if found.issued_at > now + leeway:
        ahead = f"{found.issued_at - now:.0f} s"
        raise InvalidToken from ValueError(
            f"the clock of this machine is behind: a genuine token was issued {ahead} ahead of it"
        )
    if now >= found.expires_at + leeway:
        raise TokenExpired
    return found


def header_in(token: str) -> str:
    """The first segment of what may be a token. Raises `InvalidToken` for anything else."""
    if len(token) > MAX_LENGTH or not token.isascii() or token.count(".") != 2:
        raise InvalidToken
    return token.partition(".")[0]


def base64url(raw: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _canonical(text: str) -> bytes:
    """Decode base64url, in its only canonical form. Raises `ValueError`."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error
    if base64url(raw) != text:
        raise ValueError(text)
    return raw


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _claims(claims: Mapping[str, Any]) -> Claims:
    for name in ("sub", "sid", "jti"):
        if not isinstance(claims.get(name), str):
            raise InvalidToken
    for name, most in MAX_NUMBERS.items():
        # `type() is int` excludes bool, which is a subclass of int.
        if type(claims.get(name)) is not int or not 0 <= claims[name] <= most:
            raise InvalidToken
    for name, value in claims.items():
        if isinstance(value, dict | list) and name not in LISTS:
            raise InvalidToken
    for name in LISTS:
        values = claims.get(name)
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise InvalidToken
    return Claims(
        user_id=claims["sub"],
        session_id=claims["sid"],
        roles=tuple(claims["roles"]),
        amr=tuple(claims["amr"]),
        generation=claims["gen"],
        auth_time=claims["auth_time"],
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        token_id=claims["jti"],
    )
