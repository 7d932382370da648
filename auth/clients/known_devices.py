"""Known devices: a signed cookie identifies browsers that have logged in before (OWASP, "device cookies").

A daily limit per account stops password guessing from many addresses, but would also lock out the owner. A
device that has logged in to the account before has a limit of its own instead. The cookie is not a credential:
it does not log anyone in, and a stolen one allows only the guesses of one device.

It contains a random device id, and for each account a day and a tag, HMAC-SHA-256 over the id, the day and the
account. It contains no personal data, cannot be forged for another account, and keeps the accounts that logged
in last. It survives logout and password changes, so that the owner's devices stay known.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Self

from auth.core.clock import Clock
from auth.crypto.root_secret import RootSecret, is_tag

PREFIX = "kd1."
NAME_BYTES, DAY_BYTES, TAG_BYTES = 16, 4, 16
ENTRY_BYTES = DAY_BYTES + TAG_BYTES
# Maximum accounts per browser: enough for a family; the cookie has some 230 characters.
MAX_ACCOUNTS = 8
KNOWN_DAYS = 365
SECONDS_PER_DAY = 86_400

_COOKIE = re.compile(re.escape(PREFIX) + r"([A-Za-z0-9_-]{48,240})", re.ASCII)


class KnownDevices:
    """Reads and writes the cookie value. `key` signs it; signatures of `second` are accepted."""

    def __init__(self, key: bytes, clock: Clock, *, second: bytes | None = None) -> None:
        self._key = key
        self._second = second
        self._clock = clock

    @classmethod
    def under(cls, root: RootSecret, clock: Clock) -> Self:
        """The cookies of an installation."""
        return cls(root.derive("known devices"), clock, second=root.derive_second("known devices"))

    def device_of(self, cookie: str | None, user_id: str) -> str | None:
        """The device id, if the user has logged in on this device in the last year; else None."""
        name, entries = _parse(cookie)
        return name.hex() if any(self._is_good(name, entry, user_id) for entry in entries) else None

    def remember(self, cookie: str | None, user_id: str) -> str:
        """The new cookie value after the user has logged in on this device."""
        name, entries = _parse(cookie)
        name = name or secrets.token_bytes(NAME_BYTES)
        others = [entry for entry in entries if not self._is_good(name, entry, user_id)]
        day = self._today().to_bytes(DAY_BYTES, "big")
        kept = [*others, day + _tag(self._key, name, day, user_id)][-MAX_ACCOUNTS:]
        return PREFIX + urlsafe_b64encode(name + b"".join(kept)).rstrip(b"=").decode()

    def _is_good(self, name: bytes, entry: bytes, user_id: str) -> bool:
        day, tag = entry[:DAY_BYTES], entry[DAY_BYTES:]
        is_signed = is_tag(tag, lambda key: _tag(key, name, day, user_id), (self._key, self._second))
        return is_signed and self._today() - int.from_bytes(day, "big") <= KNOWN_DAYS

    def _today(self) -> int:
        return int(self._clock().timestamp()) // SECONDS_PER_DAY


def _tag(key: bytes, name: bytes, day: bytes, user_id: str) -> bytes:
    return hmac.digest(key, name + day + user_id.encode(), "sha256")[:TAG_BYTES]


def _parse(cookie: str | None) -> tuple[bytes, list[bytes]]:
    """The device id and the entries of a cookie; empty if it is invalid."""
    match = _COOKIE.fullmatch(cookie or "")
    if match is None:
        return b"", []
    raw = urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4))
    entries = list(_slices(raw[NAME_BYTES:]))
    if not 0 < len(entries) <= MAX_ACCOUNTS or len(entries[-1]) != ENTRY_BYTES:
        return b"", []
    return raw[:NAME_BYTES], entries


def _slices(octets: bytes) -> Iterator[bytes]:
    return (octets[start : start + ENTRY_BYTES] for start in range(0, len(octets), ENTRY_BYTES))
