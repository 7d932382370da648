"""A software passkey with real keys, CBOR and signatures, in the role of authenticator and browser.

Implements W3C Web Authentication level 3, sections 5.8.1, 6.1 and 6.5, with cryptography and cbor2, without the
server's code.
"""

import base64
import hashlib
import json
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

USER_PRESENT, USER_VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, ATTESTED = 1, 4, 8, 16, 64


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class SoftPasskey:
    """One credential. Each use increments its counter, but not those of its copies."""

    origin: str
    rp_id: str = "localhost"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""
    count: int = 0
    flags: int = USER_PRESENT | USER_VERIFIED

    def client_data(self, kind: str, challenge: str, **more: Any) -> bytes:
        data = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False} | more
        return json.dumps(data).encode()

    def authenticator_data(self, flags: int, attested: bytes = b"") -> bytes:
        rp_hash = hashlib.sha256(self.rp_id.encode()).digest()
        return rp_hash + struct.pack(">BI", flags, self.count) + attested

    def create(self, options: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return the result of `navigator.credentials.create` for these options."""
        self.user_handle = base64.urlsafe_b64decode(options["user"]["id"] + "==")
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + struct.pack(">H", len(self.credential_id)) + self.credential_id + cbor2.dumps(cose)
        data = self.authenticator_data(self.flags | ATTESTED, attested)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential(
            {
                "clientDataJSON": b64(self.client_data("webauthn.create", options["challenge"], **more)),
                "attestationObject": b64(attestation),
                "transports": ["internal", "hybrid"],
            }
        )

    def get(self, options: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return the result of `navigator.credentials.get` for these options."""
        self.count += 1
        client_data = self.client_data("webauthn.get", options["challenge"], **more)
        data = self.authenticator_data(self.flags)
        signed = data + hashlib.sha256(client_data).digest()
        return self._credential(
            {
                "clientDataJSON": b64(client_data),
                "authenticatorData": b64(data),
                "signature": b64(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
                "userHandle": b64(self.user_handle),
            }
        )

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        name = b64(self.credential_id)
        return {
            "id": name,
            "rawId": name,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        }
