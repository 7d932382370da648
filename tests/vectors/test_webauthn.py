"""The test vectors of W3C Web Authentication level 3, as this server judges them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from webauthn.helpers import parse_attestation_object

from auth.core.errors import InvalidCode
from auth.login.passkeys.relying_party import RelyingParty, parse_response

VECTORS = json.loads((Path(__file__).parent / "webauthn_l3.json").read_text())["credentials"]
PARTY = RelyingParty(rp_id="example.org", name="Example", origins=["https://example.org"])
# What py_webauthn cannot verify; neither is asked for at a registration.
UNSUPPORTED = {"packed-es384", "packed-ed448"}
# Ceremonies in another site's frame, which the library takes and this server does not.
FRAMED = {"none-es256-crossOrigin", "none-es256-topOrigin"}
WITHOUT_ATTESTATION = {"none-es256", "none-es256-long-credential-id"}
# Vouched for by the new key itself.
SELF_ATTESTED = {"packed-self-es256"}
# Vouched for by a maker's certificate; their signatures are good.
BY_A_MAKER = {"packed-es256", "packed-rs256", "packed-eddsa"}
OTHER_FORMATS = {"tpm-es256", "android-key-es256", "apple-es256", "fido-u2f-es256"}


def b64(text: str | bytes) -> str:
    raw = bytes.fromhex(text) if isinstance(text, str) else text
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def credential(vector: Any, part: str, *fields: str, **changes: bytes) -> dict[str, Any]:
    name = b64(vector["registration"]["credential_id"])
    response = {field: b64(changes.get(field, vector[part][field])) for field in fields}
    return {"id": name, "rawId": name, "type": "public-key", "response": response}


def assertion(vector: Any, **changes: bytes) -> dict[str, Any]:
    return credential(vector, "authentication", "clientDataJSON", "authenticatorData", "signature", **changes)


def verify(vector: Any, **changes: bytes) -> None:
    attested = parse_attestation_object(bytes.fromhex(vector["registration"]["attestationObject"]))
    assert attested.auth_data.attested_credential_data is not None
    PARTY.verify_assertion(
        assertion(vector, **changes),
        expected_challenge=b64(vector["authentication"]["challenge"]),
        public_key=attested.auth_data.attested_credential_data.credential_public_key,
        verify_user=False,
    )


def named(*names: str) -> list[Any]:
    found = [vector for vector in VECTORS if vector["name"] in names]
    assert len(found) == len(names)
    return found


def test_the_file_holds_what_is_expected_of_it() -> None:
    assert len(VECTORS) == 15
    assert {vector["name"] for vector in VECTORS} >= UNSUPPORTED | FRAMED | WITHOUT_ATTESTATION | OTHER_FORMATS


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_assertion_of_a_supported_key_is_good(vector: Any) -> None:
    if vector["name"] in UNSUPPORTED:
        with pytest.raises(InvalidCode):
            verify(vector)
    else:
        verify(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
@pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature"])
def test_no_altered_assertion_is(vector: Any, part: str) -> None:
    raw = bytes.fromhex(vector["authentication"][part])
    for place in range(0, len(raw), max(1, len(raw) // 12)):
        with pytest.raises(InvalidCode):
            verify(vector, **{part: raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]})
    with pytest.raises(InvalidCode):
        verify(vector, **{part: raw[:-1]})


@pytest.mark.parametrize("vector", named(*FRAMED), ids=lambda vector: vector["name"])
def test_a_ceremony_in_another_sites_frame_is_refused(vector: Any) -> None:
    with pytest.raises(InvalidCode):
        parse_response(assertion(vector))


@pytest.mark.parametrize("vector", named(*WITHOUT_ATTESTATION, *SELF_ATTESTED), ids=lambda vector: vector["name"])
def test_a_registration_that_names_no_maker_is_good(vector: Any) -> None:
    made = PARTY.verify_registration(
        credential(vector, "registration", "clientDataJSON", "attestationObject"),
        expected_challenge=b64(vector["registration"]["challenge"]),
    )
    assert made.credential_id.hex() == vector["registration"]["credential_id"]


@pytest.mark.parametrize("vector", named(*OTHER_FORMATS, *BY_A_MAKER), ids=lambda vector: vector["name"])
def test_attestation_that_was_not_asked_for_is_refused(vector: Any) -> None:
    """Section 7.1: what cannot be trusted is to fail the registration, or it would look like a known make."""
    with pytest.raises(InvalidCode):
        PARTY.verify_registration(
            credential(vector, "registration", "clientDataJSON", "attestationObject"),
            expected_challenge=b64(vector["registration"]["challenge"]),
        )
