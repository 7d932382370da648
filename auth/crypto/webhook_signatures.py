"""Signatures of the requests that Vigil sends: Standard Webhooks 1.0, symmetric (`v1`).

The signature covers the message's id, the time and the exact bytes of the body, so the receiver can tell that this
server wrote the request and that it is not an old one. The official `standardwebhooks` libraries verify it.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

PREFIX = "whsec_"
VERSION = "v1"
# Standard Webhooks, "Signature scheme": secrets have 24 to 64 bytes.
LEAST_BYTES, MOST_BYTES = 24, 64
NEW_SECRET_BYTES = 32


class WebhookSecretWrong(ValueError):
    """The text is no webhook secret. The message does not contain it."""


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A key that a receiver shares with this server, written `whsec_` and base64."""

    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `whsec_…`. Raises `WebhookSecretWrong`."""
        if not text.startswith(PREFIX):
            raise WebhookSecretWrong(f"it must begin with {PREFIX}")
        encoded = text.removeprefix(PREFIX)
        try:
            # Padding may be missing, as the official libraries accept.
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise WebhookSecretWrong(f"after {PREFIX} it must be base64") from None
        if not LEAST_BYTES <= len(key) <= MOST_BYTES:
            raise WebhookSecretWrong(f"it must have {LEAST_BYTES} to {MOST_BYTES} bytes, in base64")
        return cls(key)

    @classmethod
    def generate(cls) -> Self:
        """Return a new random secret."""
        return cls(secrets.token_bytes(NEW_SECRET_BYTES))

    @property
    def text(self) -> str:
        """The secret as the receiver configures it: `whsec_…`."""
        return PREFIX + base64.b64encode(self.key).decode()


def sign(held: Iterable[WebhookSecret], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature for each secret, separated by spaces.

    `timestamp`: seconds since 1970. While a secret is replaced, both sign, so that receivers with either accept.
    """
    content = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return " ".join(
        f"{VERSION},{base64.b64encode(hmac.digest(secret.key, content, hashlib.sha256)).decode()}"
        for secret in held
    )


def signed_headers(
    held: Iterable[WebhookSecret], *, message_id: str, now: datetime, body: bytes
) -> Mapping[str, str]:
    """Return the three headers of a signed request."""
    timestamp = int(now.timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(held, message_id=message_id, timestamp=timestamp, body=body),
    }
