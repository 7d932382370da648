"""Authorization request of a visit to a provider: the values derived from its secret, and its URL. Pure.

The secret is stored only in the browser's cookie. `state`, `nonce` and the PKCE verifier are one-way derivations
of it: one of them, seen by the provider or in a log or referrer, reveals nothing about the others, and without the
cookie none can be proved (RFC 9700, section 2.1; ASVS 5.0, 10.1.2).
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

MAX_RETURN_TO = 512

# Suffix of the state of a visit that was started under this machine's second name. It contains a character outside
# base64url, so it cannot be part of the proof.
SECOND_NAME = ".localhost"

# A path of this site, in the characters of RFC 3986. Excludes a second slash, which would start a host name, and
# the backslash, tabs and line breaks, which browsers treat as a slash or ignore. Excludes paths of the API, so
# that the return from a provider cannot trigger an action. Excludes escapes and dot segments, so that browsers and
# servers read a path in the same way.
LOCAL_PATH = (
    r"/(?!/|[Aa][Pp][Ii]/|(?:[^?#]*/)?\.\.?(?:[/?#]|$))"
    r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*(?:[?#][A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*)?"
)
_LOCAL_PATH = re.compile(LOCAL_PATH)


@dataclass(frozen=True, slots=True)
class Proofs:
    """The proofs of one visit."""

    state: str
    nonce: str
    code_verifier: str

    @property
    def code_challenge(self) -> str:
        """The PKCE challenge, by method S256 (RFC 7636, section 4.2)."""
        return _base64url(hashlib.sha256(self.code_verifier.encode()).digest())

    def __repr__(self) -> str:
        return "Proofs(…)"


def proofs_of(secret: str) -> Proofs:
    """Derive the proofs of a visit from its secret."""
    return Proofs(_derived(secret, b"state"), _derived(secret, b"nonce"), _derived(secret, b"code verifier"))


def under_second_name(proofs: Proofs) -> Proofs:
    """Return the proofs with a state that marks a visit started under the second name."""
    return replace(proofs, state=proofs.state + SECOND_NAME)


def is_state_of(secret: str, state: str) -> bool:
    """Whether `state` belongs to the visit with this secret."""
    proved = state.removesuffix(SECOND_NAME)
    return hmac.compare_digest(proofs_of(secret).state.encode(), proved.encode("utf-8", "replace"))


def authorization_url(
    endpoint: str, *, client_id: str, redirect_uri: str, scope: str, proofs: Proofs, more: Mapping[str, str]
) -> str:
    """Return the URL of an authorization code request with PKCE (RFC 6749, 4.1.1; RFC 7636, 4.3)."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": proofs.state,
        "code_challenge": proofs.code_challenge,
        "code_challenge_method": "S256",
        **more,
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def local_path(text: str) -> str | None:
    """Return `text` if it is a safe path to a page of this site; otherwise None."""
    return text if len(text) <= MAX_RETURN_TO and _LOCAL_PATH.fullmatch(text) is not None else None


def _derived(secret: str, purpose: bytes) -> str:
    return _base64url(hmac.digest(secret.encode("utf-8", "replace"), b"vigil provider " + purpose, "sha256"))


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
