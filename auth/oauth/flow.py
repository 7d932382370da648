"""One visit to a provider: what is derived from its secret, and the URL that it begins with. Pure.

The secret lives in the browser's cookie and nowhere else. `state`, `nonce` and the PKCE verifier are derived from
it one way each: what the provider, a log or a referrer may see of one tells nothing of the others, and whoever
lacks the cookie can answer for none (RFC 9700, section 2.1; ASVS 5.0, 10.1.2).
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

MAX_RETURN_TO = 512

# Ends the state of a visit that was begun under this machine's second name: no letter of base64url, so that it is
# no part of what is proved.
SECOND_NAME = ".localhost"

# A path of this very site, in the characters of RFC 3986. A second slash would name a host, browsers read a
# backslash as a slash and leave out tabs and line breaks: none of them can stand here.
# Nor is it one of the API: coming back from a provider must not do anything there. So that there
# is one spelling of a path for browsers and for servers, it has no escapes and no dot segments.
LOCAL_PATH = (
    r"/(?!/|[Aa][Pp][Ii]/|(?:[^?#]*/)?\.\.?(?:[/?#]|$))"
    r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*(?:[?#][A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*)?"
)
_LOCAL_PATH = re.compile(LOCAL_PATH)


@dataclass(frozen=True, slots=True)
class Proofs:
    """What one visit proves itself by."""

    state: str
    nonce: str
    code_verifier: str

    @property
    def code_challenge(self) -> str:
        """RFC 7636, section 4.2: S256."""
        return _base64url(hashlib.sha256(self.code_verifier.encode()).digest())

    def __repr__(self) -> str:
        return "Proofs(…)"


def proofs_of(secret: str) -> Proofs:
    """The proofs of the visit whose secret this is."""
    return Proofs(_derived(secret, b"state"), _derived(secret, b"nonce"), _derived(secret, b"code verifier"))


def under_second_name(proofs: Proofs) -> Proofs:
    """The same proofs, with a state that says where the visit was begun."""
    return replace(proofs, state=proofs.state + SECOND_NAME)


def is_state_of(secret: str, state: str) -> bool:
    """Whether `state` came from the visit whose secret this is."""
    proved = state.removesuffix(SECOND_NAME)
    return hmac.compare_digest(proofs_of(secret).state.encode(), proved.encode("utf-8", "replace"))


def authorization_url(
    endpoint: str, *, client_id: str, redirect_uri: str, scope: str, proofs: Proofs, more: Mapping[str, str]
) -> str:
    """Where the browser is sent: the authorization code flow with PKCE (RFC 6749, 4.1.1; RFC 7636, 4.3)."""
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
    """`text` if it leads to a page of this site and nowhere else; None for anything else."""
    return text if len(text) <= MAX_RETURN_TO and _LOCAL_PATH.fullmatch(text) is not None else None


def _derived(secret: str, purpose: bytes) -> str:
    return _base64url(hmac.digest(secret.encode("utf-8", "replace"), b"vigil provider " + purpose, "sha256"))


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
