"""Vigil's public keys: cached, read again from time to time, and at once for a key that is not known yet."""

import base64
import binascii
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vigil_verify.errors import InvalidToken
from vigil_verify.tokens import header_of

FRESH_SECONDS = 300.0
# Tokens with invented key ids must not make the service ask Vigil for each of them.
UNKNOWN_INTERVAL_SECONDS, EMPTY_INTERVAL_SECONDS = 5.0, 1.0
WAIT_SECONDS = 5.0
MAX_KEYS = 64
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
HEADER = re.compile(rb'\{"alg":"EdDSA","kid":"[A-Za-z0-9_-]{1,64}","typ":"at\+jwt"\}')

log = logging.getLogger("vigil_verify")


class KeySet:
    """The keys by the headers of their tokens. `fetch` returns the JWKS document, or raises."""

    def __init__(self, fetch: Callable[[], Any]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._tried_at = float("-inf")
        self.by_header: Mapping[str, Ed25519PublicKey] = {}
        self.read_at = float("-inf")

    @property
    def are_fresh(self) -> bool:
        """Whether they need not be read again yet."""
        return time.monotonic() - self.read_at < FRESH_SECONDS

    def may_find(self, header: str) -> bool:
        """Whether reading them again could find the key of this header, and may be done now."""
        if header in self.by_header or time.monotonic() - self._tried_at < UNKNOWN_INTERVAL_SECONDS:
            return False
        try:
            text = base64.b64decode(header + "=" * (-len(header) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise InvalidToken from None
        return HEADER.fullmatch(text) is not None

    @property
    def may_be_read(self) -> bool:
        """Whether there are none, and none could be read a moment ago."""
        return not self.by_header and time.monotonic() - self._tried_at > EMPTY_INTERVAL_SECONDS

    def read(self, *, asked_at: float) -> None:
        """Read them again, unless that ended since `asked_at`. On a failure the old ones stay; never raises.

        Waits for another thread that reads them, up to `WAIT_SECONDS`.
        """
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            return
        try:
            if self._tried_at >= asked_at:
                return
            begun = time.monotonic()
            try:
                self.by_header = _keys_in(self._fetch())
                self.read_at = begun
            except (OSError, ValueError) as error:
                log.warning("Vigil's public keys could not be read: %s", error)
            finally:
                self._tried_at = time.monotonic()
        finally:
            self._lock.release()


def _keys_in(document: Any) -> dict[str, Ed25519PublicKey]:
    """Raises `ValueError` if it is no JWKS document, or has no usable key. Keys of other kinds are ignored."""
    listed = document.get("keys") if isinstance(document, dict) else None
    found = {}
    for each in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        if not isinstance(each, dict) or each.get("kty") != "OKP" or each.get("crv") != "Ed25519":
            continue
        key_id, x = each.get("kid"), each.get("x")
        if isinstance(key_id, str) and KEY_ID.fullmatch(key_id) and isinstance(x, str):
            raw = base64.urlsafe_b64decode(x + "=" * (-len(x) % 4))
            found[header_of(key_id)] = Ed25519PublicKey.from_public_bytes(raw)
    if not found:
        raise ValueError("the document has no key")
    return found
