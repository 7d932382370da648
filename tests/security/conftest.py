"""What the tests of the security requirements share: a forger who knows everything but the signing key."""

import base64
import json
from typing import Any

import jwt

Claims = dict[str, Any]


def claims_of(token: str) -> Claims:
    """What a token says, believed without a look at its signature."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def forge(header: dict[str, Any], claims: Claims, signature: bytes = b"") -> str:
    """A token of any header and claims."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    return ".".join((part(json.dumps(header).encode()), part(json.dumps(claims).encode()), part(signature)))
