"""WebAuthn relying party: creates the options for the browser and verifies its responses. Accesses no store.

Implements W3C Web Authentication level 3, sections 7.1 (registration) and 7.2 (assertion), with py_webauthn; the
checks it leaves to its caller are made here. A ceremony in a frame of another site (`crossOrigin`, `topOrigin`) is
refused, because no page of this server is framed. Any exception that a malicious response causes in a parser
counts as a wrong response.

Attestation is neither requested nor trusted. A browser then returns `none` or self-attestation, which says nothing
of the manufacturer (section 5.1.3). Any other attestation was not created by such a browser, and there are no
trust anchors to verify it. Section 7.1 requires such a registration to fail; it does, before any certificate is
parsed.
"""

import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
import webauthn
from webauthn.helpers import base64url_to_bytes, options_to_json_dict, parse_attestation_object
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from auth.core.errors import InvalidCode
from auth.core.models import Passkey, User

ALGORITHMS = (
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)
TIMEOUT_MS = 120_000
# Genuine responses have some 2,000 characters in total.
MAX_FIELD = 8192
# WebAuthn level 3, section 4: a credential id has at most 1023 bytes.
MAX_CREDENTIAL_ID = 1023
TRANSPORTS = frozenset(transport.value for transport in AuthenticatorTransport)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential from a verified registration."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    backed_up: bool
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assertion:
    """A verified use of a credential. The store checks that the signature counter increases."""

    sign_count: int
    backed_up: bool


@dataclass(frozen=True, slots=True)
class UnverifiedAssertion:
    """The unverified claims of a response: its credential, user and challenge."""

    credential_id: bytes
    user_handle: bytes | None
    challenge: str


class RelyingParty:
    """This server as a relying party. `rp_id`: its domain; `origins`: the origins of allowed pages."""

    def __init__(self, *, rp_id: str, name: str, origins: Sequence[str]) -> None:
        self._rp_id = rp_id
        self._name = name
        self._origins = list(origins)

    def creation_options(self, user: User, challenge: str, *, exclude: Sequence[Passkey]) -> dict[str, Any]:
        """Return options for `navigator.credentials.create`: discoverable, user verification preferred."""
        options = webauthn.generate_registration_options(
            rp_id=self._rp_id,
            rp_name=self._name,
            user_id=user_handle(user),
            user_name=user.email,
            user_display_name=user.name or user.email,
            challenge=base64url_to_bytes(challenge),
            timeout=TIMEOUT_MS,
            attestation=AttestationConveyancePreference.NONE,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.PREFERRED,
            ),
            exclude_credentials=[_descriptor(passkey) for passkey in exclude],
            supported_pub_key_algs=list(ALGORITHMS),
        )
        return dict(options_to_json_dict(options))

    def request_options(
        self, challenge: str, *, allow: Sequence[Passkey] = (), verify_user: bool = False
    ) -> dict[str, Any]:
        """Return options for `navigator.credentials.get`; with an empty `allow`, any passkey of this site."""
        options = webauthn.generate_authentication_options(
            rp_id=self._rp_id,
            challenge=base64url_to_bytes(challenge),
            timeout=TIMEOUT_MS,
            allow_credentials=[_descriptor(passkey) for passkey in allow],
            user_verification=UserVerificationRequirement.REQUIRED
            if verify_user
            else UserVerificationRequirement.PREFERRED,
        )
        return dict(options_to_json_dict(options))

    def verify_registration(self, credential: Mapping[str, Any], *, expected_challenge: str) -> NewCredential:
        """Verify a registration and return the new credential. Raises `InvalidCode`."""
        try:
            _refuse_attestation(credential["response"]["attestationObject"])
            verified = webauthn.verify_registration_response(
                credential=_without_attachment(credential),
                expected_challenge=base64url_to_bytes(expected_challenge),
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                supported_pub_key_algs=list(ALGORITHMS),
            )
        except Exception as error:  # noqa: BLE001 - untrusted input
            # Untrusted CBOR, ASN.1 and keys: each library raises its own exceptions, and none indicates a bug
            # here.
            raise _refusal(error) from None
        if len(verified.credential_id) > MAX_CREDENTIAL_ID:
            raise InvalidCode
        return NewCredential(
            credential_id=verified.credential_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            backed_up=verified.credential_backed_up,
            transports=_transports(credential),
        )

    def verify_assertion(
        self, credential: Mapping[str, Any], *, expected_challenge: str, public_key: bytes, verify_user: bool
    ) -> Assertion:
        """Verify an assertion. Raises `InvalidCode`."""
        try:
            verified = webauthn.verify_authentication_response(
                credential=_without_attachment(credential),
                expected_challenge=base64url_to_bytes(expected_challenge),
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                credential_public_key=public_key,
                # The store checks that the counter increases, in the update that records it.
                credential_current_sign_count=0,
                require_user_verification=verify_user,
            )
        except Exception as error:  # noqa: BLE001 - untrusted input, as above
            raise _refusal(error) from None
        return Assertion(verified.new_sign_count, verified.credential_backed_up)


def parse_response(credential: Mapping[str, Any]) -> UnverifiedAssertion:
    """Parse a response without verifying it. Raises `InvalidCode` if malformed or from a cross-origin frame."""
    response = credential.get("response")
    if not isinstance(response, dict) or _is_oversized(credential) or _is_oversized(response):
        raise InvalidCode
    try:
        client_data = json.loads(base64url_to_bytes(response["clientDataJSON"]))
        credential_id = base64url_to_bytes(credential["rawId"])
        handle = response.get("userHandle")
        user_handle = base64url_to_bytes(handle) if handle is not None else None
        challenge = client_data["challenge"]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error):
        raise InvalidCode from None
    if not isinstance(challenge, str) or len(credential_id) > MAX_CREDENTIAL_ID:
        raise InvalidCode
    if client_data.get("crossOrigin", False) is not False or client_data.get("topOrigin") is not None:
        raise InvalidCode
    return UnverifiedAssertion(credential_id, user_handle, challenge)


def user_handle(user: User) -> bytes:
    """Return the user handle of a credential: the opaque user id, no personal data (section 14.6.1)."""
    return user.user_id.encode()


def _is_oversized(part: Mapping[str, Any]) -> bool:
    return any(isinstance(value, str) and len(value) > MAX_FIELD for value in part.values())


def _refuse_attestation(attestation_object: str) -> None:
    """Raise `InvalidCode` for an attestation other than `none` or self-attestation."""
    attested = parse_attestation_object(base64url_to_bytes(attestation_object))
    is_self_attestation = attested.fmt == "packed" and attested.att_stmt.x5c is None
    if attested.fmt != "none" and not is_self_attestation:
        raise InvalidCode


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    """Return the descriptor of a passkey, with its transports so that the browser asks for the right device."""
    transports = [AuthenticatorTransport(word) for word in passkey.transports if word in TRANSPORTS]
    return PublicKeyCredentialDescriptor(id=passkey.credential_id, transports=transports or None)


def _without_attachment(credential: Mapping[str, Any]) -> dict[str, Any]:
    """Leave `authenticatorAttachment` out: it is not used, and unknown values are as none (section 5.1)."""
    return {name: value for name, value in credential.items() if name != "authenticatorAttachment"}


def _transports(credential: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the transports that the browser reports, limited to those of the standard."""
    claimed = credential["response"].get("transports")
    if not isinstance(claimed, list):
        return ()
    return tuple(sorted({word for word in claimed if isinstance(word, str) and word in TRANSPORTS}))


def _refusal(error: Exception) -> InvalidCode:
    log.info("passkey_refused", reason=type(error).__name__)
    return InvalidCode("This passkey could not be used here.")
