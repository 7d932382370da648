"""What a passkey's ceremony must be: options for the browser, and the verdict on what it brings. Touches no store.

W3C Web Authentication level 3: section 7.1 for a registration, 7.2 for an assertion, by py_webauthn; what it
leaves to its caller is judged here. A ceremony in a frame of another site (`crossOrigin`, `topOrigin`) is refused:
nothing of ours is framed. Whatever a hostile answer makes a parser raise is a wrong answer.

Attestation: none is asked for, and none is trusted. A browser that is asked for none hands out `none`, or a key
that vouches for itself and so says nothing of its maker (section 5.1.3). Anything else was not made by such a
browser, and we have no trust anchors to judge a maker's certificate by; section 7.1 wants such a registration
failed, and it is, before any certificate of a stranger's is read. So no credential counts as one of some make.
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

from auth.errors import InvalidCode
from auth.models import Passkey, User

ALGORITHMS = (
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)
TIMEOUT_MS = 120_000
# Honest answers are some two thousand characters, all told.
MAX_FIELD = 8192
# WebAuthn level 3, section 4: a credential id has at most 1023 bytes.
MAX_CREDENTIAL_ID = 1023
TRANSPORTS = frozenset(transport.value for transport in AuthenticatorTransport)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential whose registration was good."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    backed_up: bool
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assertion:
    """A use of a credential that was good; whether its count grows, a store must say."""

    sign_count: int
    backed_up: bool


@dataclass(frozen=True, slots=True)
class Presented:
    """What an answer says of itself, believed of nobody yet: which credential, whose, for which challenge."""

    credential_id: bytes
    user_handle: bytes | None
    challenge: str


class RelyingParty:
    """This server as passkeys know it: `rp_id` is a domain, `origins` are those of pages that may ask."""

    def __init__(self, *, rp_id: str, name: str, origins: Sequence[str]) -> None:
        self._rp_id = rp_id
        self._name = name
        self._origins = list(origins)

    def creation_options(self, user: User, challenge: str, *, exclude: Sequence[Passkey]) -> dict[str, Any]:
        """For `navigator.credentials.create`: a discoverable credential whose owner is verified where possible."""
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
        """For `navigator.credentials.get`; with nothing allowed by name, any passkey of this site will do."""
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
        """The new credential. Raises `InvalidCode` for anything that is not good."""
        try:
            _refuse_attestation(credential["response"]["attestationObject"])
            verified = webauthn.verify_registration_response(
                credential=dict(credential),
                expected_challenge=base64url_to_bytes(expected_challenge),
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                supported_pub_key_algs=list(ALGORITHMS),
            )
        except Exception as error:  # noqa: BLE001 - a stranger's answer
            # CBOR, ASN.1 and keys of a stranger's: each library raises its own, and none of it is a defect of
            # ours.
            raise _refused(error) from None
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
        """The use of a credential. Raises `InvalidCode` for anything that is not good."""
        try:
            verified = webauthn.verify_authentication_response(
                credential=dict(credential),
                expected_challenge=base64url_to_bytes(expected_challenge),
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                credential_public_key=public_key,
                # Whether it grows is judged by the store, in the update that notes it.
                credential_current_sign_count=0,
                require_user_verification=verify_user,
            )
        except Exception as error:  # noqa: BLE001 - a stranger's answer
            # As above: whatever it is, the answer is wrong.
            raise _refused(error) from None
        return Assertion(verified.new_sign_count, verified.credential_backed_up)


def presented(credential: Mapping[str, Any]) -> Presented:
    """What an answer says of itself. Raises `InvalidCode` for what is none, or comes from a foreign frame."""
    response = credential.get("response")
    if not isinstance(response, dict) or _is_larger(credential) or _is_larger(response):
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
    return Presented(credential_id, user_handle, challenge)


def user_handle(user: User) -> bytes:
    """What a credential knows its user by: the opaque id, and nothing personal (section 14.6.1)."""
    return user.user_id.encode()


def _is_larger(part: Mapping[str, Any]) -> bool:
    return any(isinstance(value, str) and len(value) > MAX_FIELD for value in part.values())


def _refuse_attestation(attestation_object: str) -> None:
    """Raise `InvalidCode` for an attestation that is not `none`, and no key that vouches for itself."""
    attested = parse_attestation_object(base64url_to_bytes(attestation_object))
    vouches_for_itself = attested.fmt == "packed" and attested.att_stmt.x5c is None
    if attested.fmt != "none" and not vouches_for_itself:
        raise InvalidCode


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    """How a browser finds a passkey: without its transports it would ask for every kind of device in turn."""
    transports = [AuthenticatorTransport(word) for word in passkey.transports if word in TRANSPORTS]
    return PublicKeyCredentialDescriptor(id=passkey.credential_id, transports=transports or None)


def _transports(credential: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that the browser names and the standard knows: a hint for later, and never more than there are."""
    claimed = credential["response"].get("transports")
    if not isinstance(claimed, list):
        return ()
    return tuple(sorted({word for word in claimed if isinstance(word, str) and word in TRANSPORTS}))


def _refused(error: Exception) -> InvalidCode:
    log.info("passkey_refused", reason=type(error).__name__)
    return InvalidCode("This passkey could not be used here.")
