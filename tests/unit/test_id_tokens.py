"""Judging ID tokens: one that is right in everything, and every way to be wrong in one thing."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from auth.login.providers.id_tokens import ALGORITHMS, ExpectedClaims, IdTokenRefused, OutdatedKeys, at_hash, judge

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ISSUER, CLIENT = "https://one.example", "vigil-at-one"
EXPECTED = ExpectedClaims(
    issuer=ISSUER, client_id=CLIENT, nonce="n" * 43, access_token="access token", algorithms=frozenset(ALGORITHMS)
)
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
WEAK_KEY = rsa.generate_private_key(65537, 1024)
PRIVATE: dict[str, Any] = {
    "RS256": RSA_KEY,
    "PS256": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def public_jwk(key: Any, **more: Any) -> dict[str, Any]:
    """A private key's public half, as a provider publishes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        jwk = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**{name: value for name, value in jwk.items() if name != "key_ops"}, **more}


KEYS = [
    public_jwk(RSA_KEY, kid="rsa", use="sig"),
    public_jwk(PRIVATE["ES256"], kid="ec", use="sig", alg="ES256"),
    public_jwk(PRIVATE["EdDSA"], kid="ed", use="sig"),
]
KEY_IDS = {"RS256": "rsa", "PS256": "rsa", "ES256": "ec", "EdDSA": "ed"}


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token; `...` leaves one out."""
    seconds = int(NOW.timestamp())
    good = {
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": CLIENT,
        "exp": seconds + 3600,
        "iat": seconds,
        "nonce": EXPECTED.nonce,
        "email": "ada@example.org",
        "email_verified": True,
        "name": "Ada",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def sign(said: Mapping[str, Any], algorithm: str = "RS256", *, key: Any = None, **header: Any) -> str:
    headers = {"kid": KEY_IDS.get(algorithm, "rsa"), **header}
    headers = {name: value for name, value in headers.items() if value is not ...}
    payload = json.dumps(dict(said)).encode()
    return jwt.PyJWS().encode(payload, key or PRIVATE[algorithm], algorithm=algorithm, headers=headers)


def by_hand(header: Mapping[str, Any], said: Mapping[str, Any], signature: bytes = b"") -> str:
    def part(octets: bytes) -> str:
        return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()

    return ".".join((part(json.dumps(header).encode()), part(json.dumps(said).encode()), part(signature)))


def mac(secret: bytes, said: Mapping[str, Any], **header: Any) -> str:
    unsigned = by_hand({"alg": "HS256", "kid": "rsa", **header}, said).rpartition(".")[0]
    tag = base64.urlsafe_b64encode(hmac.digest(secret, unsigned.encode(), hashlib.sha256)).rstrip(b"=").decode()
    return f"{unsigned}.{tag}"


def refusal(token: str, *, keys: Any = KEYS, expected: ExpectedClaims = EXPECTED, now: datetime = NOW) -> str:
    with pytest.raises(IdTokenRefused) as refused:
        judge(token, keys=keys, expected=expected, now=now)
    assert token not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_that_is_right_in_everything_is_believed(algorithm: str) -> None:
    found = judge(sign(claims(), algorithm), keys=KEYS, expected=EXPECTED, now=NOW)
    assert (found.issuer, found.subject) == (ISSUER, "248289761001")
    assert (found.email, found.email_verified, found.name) == ("ada@example.org", True, "Ada")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_access_token_s_hash_must_fit_where_there_is_one(algorithm: str) -> None:
    good = claims(at_hash=at_hash(EXPECTED.access_token, algorithm))
    assert judge(sign(good, algorithm), keys=KEYS, expected=EXPECTED, now=NOW)
    swapped = replace(EXPECTED, access_token="somebody else's")
    assert refusal(sign(good, algorithm), expected=swapped) == "at_hash"
    for wrong in ("", None, 5, "x", [at_hash(EXPECTED.access_token, algorithm)]):
        assert refusal(sign(claims(at_hash=wrong), algorithm)) == "at_hash"


def test_the_hash_of_the_specification_s_example() -> None:
    """OpenID Connect Core 1.0, appendix A.4."""
    assert at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "RS256") == "77QmUPtjPfzWtF2AnpK9RQ"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://two.example"}, "iss"),
        ({"iss": ISSUER + "/"}, "iss"),
        ({"iss": ISSUER.upper()}, "iss"),
        ({"iss": [ISSUER]}, "iss"),
        ({"iss": ...}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "vigil-at-two"}, "aud"),
        ({"aud": ["vigil-at-two"]}, "aud"),
        ({"aud": ["vigil-at-two", "vigil-at-three"], "azp": CLIENT}, "aud"),
        ({"aud": [CLIENT, "vigil-at-two"]}, "azp"),
        ({"aud": [CLIENT, "vigil-at-two"], "azp": "vigil-at-two"}, "azp"),
        ({"aud": [CLIENT, CLIENT]}, "azp"),
        ({"aud": [[CLIENT]]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": {CLIENT: 1}}, "aud"),
        ({"aud": CLIENT + " "}, "aud"),
        ({"aud": ...}, "aud"),
        ({"azp": "vigil-at-two"}, "azp"),
        ({"azp": [CLIENT]}, "azp"),
        ({"azp": None}, "azp"),
        ({"nonce": "m" * 43}, "nonce"),
        ({"nonce": ""}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": ...}, "nonce"),
        ({"nonce": [EXPECTED.nonce]}, "nonce"),
        ({"sub": ...}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 248289761001}, "sub"),
        ({"sub": "x" * 256}, "sub"),
        ({"sub": "ädä"}, "sub"),
        ({"sub": "a\nb"}, "sub"),
        ({"sub": {"$ne": ""}}, "sub"),
        ({"exp": ...}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "9999999999"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": 1e300}, "exp"),
        ({"exp": [9999999999]}, "exp"),
        ({"exp": int(NOW.timestamp()) - 61}, "exp"),
        ({"exp": 0}, "exp"),
        ({"exp": -1}, "exp"),
        ({"iat": ...}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"iat": True}, "iat"),
        ({"iat": int(NOW.timestamp()) + 62}, "iat"),
        ({"iat": int(NOW.timestamp()) - 662}, "iat"),
        ({"iat": 0}, "iat"),
        ({"nbf": int(NOW.timestamp()) + 62}, "nbf"),
        ({"nbf": "soon"}, "nbf"),
    ],
)
def test_one_wrong_claim_is_enough(changes: dict[str, Any], reason: str) -> None:
    assert refusal(sign(claims(**changes))) == reason


@pytest.mark.parametrize("audience", [[CLIENT, "a project"], ["a project", CLIENT]])
def test_a_token_for_several_audiences_is_believed_if_it_was_issued_to_this_client(audience: list[str]) -> None:
    assert judge(sign(claims(aud=audience, azp=CLIENT)), keys=KEYS, expected=EXPECTED, now=NOW)


def test_asvs_10_5_1_a_token_of_another_visit_is_refused() -> None:
    assert refusal(sign(claims()), expected=replace(EXPECTED, nonce="another visit's")) == "nonce"


def test_asvs_10_5_4_a_token_for_another_client_is_refused() -> None:
    assert refusal(sign(claims()), expected=replace(EXPECTED, client_id="another client")) == "aud"


def test_asvs_6_8_1_a_token_of_another_provider_is_refused() -> None:
    """Rightly signed, by its own key, for its own client: and brought to us as this provider's."""
    theirs = sign(claims(iss="https://two.example", aud="vigil-at-two"), key=OTHER_RSA_KEY)
    assert refusal(theirs) == "signature"
    # Even with its key in the set, as where two providers share one.
    assert refusal(theirs, keys=[public_jwk(OTHER_RSA_KEY, kid="rsa")]) == "iss"


class TestSignatures:
    """Who signed it, and how (ASVS 5.0, 6.8.2, 9.1.1 and 9.1.2)."""

    @pytest.mark.parametrize("name", ["none", "None", "NONE", "", None, 5, ["RS256"], {"RS256": 1}])
    def test_asvs_6_8_2_an_unsigned_token_is_refused(self, name: Any) -> None:
        for signature in (b"", b"x"):
            assert refusal(by_hand({"alg": name, "kid": "rsa"}, claims(), signature)) in {"algorithm", "not a JWS"}

    def test_asvs_6_8_2_a_mac_under_the_public_key_is_refused(self) -> None:
        public = RSA_KEY.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for secret in (pem, pem.strip(), der, json.dumps(KEYS[0]).encode(), KEYS[0]["n"].encode(), b""):
            assert refusal(mac(secret, claims())) == "algorithm"
            assert refusal(mac(secret, claims(), alg="RS256")) == "signature"

    def test_a_mac_is_refused_also_where_the_set_has_a_secret_for_it(self) -> None:
        secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
        keys = [{"kty": "oct", "k": secret, "kid": "rsa", "alg": "HS256"}]
        assert refusal(mac(b"s" * 32, claims()), keys=keys) == "algorithm"

    @pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS512", "ES384", "ES512", "HS384"])
    def test_an_algorithm_that_is_not_taken_is_refused(self, algorithm: str) -> None:
        assert refusal(by_hand({"alg": algorithm, "kid": "rsa"}, claims(), b"x" * 256)) == "algorithm"

    def test_an_algorithm_that_the_provider_does_not_announce_is_refused(self) -> None:
        only_rs256 = replace(EXPECTED, algorithms=frozenset({"RS256"}))
        assert refusal(sign(claims(), "PS256"), expected=only_rs256) == "algorithm"

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_another_key_of_the_same_kind_is_refused(self, algorithm: str) -> None:
        stranger: Any = {
            "RSA": OTHER_RSA_KEY,
            "EC": ec.generate_private_key(ec.SECP256R1()),
            "OKP": ed25519.Ed25519PrivateKey.generate(),
        }[ALGORITHMS[algorithm][0]]
        assert refusal(sign(claims(), algorithm, key=stranger)) == "signature"

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_changed_token_is_refused(self, algorithm: str) -> None:
        head, _, tail = sign(claims(), algorithm).split(".")
        _, payload, _ = sign(claims(sub="somebody else"), algorithm).split(".")
        assert refusal(f"{head}.{payload}.{tail}") == "signature"

    def test_a_key_that_is_brought_along_is_not_looked_at(self) -> None:
        brought = public_jwk(OTHER_RSA_KEY, kid="rsa")
        header: dict[str, Any] = {
            "jwk": brought,
            "jku": "https://evil.example/keys",
            "x5u": "https://evil.example",
            "x5c": ["x"],
        }
        assert refusal(sign(claims(), key=OTHER_RSA_KEY, **header)) == "signature"

    @pytest.mark.parametrize("name", ["crit", "b64"])
    def test_what_changes_the_meaning_of_a_token_is_refused(self, name: str) -> None:
        value: Any = ["exp"] if name == "crit" else False
        unsigned = by_hand({"alg": "RS256", "kid": "rsa", name: value}, claims(), b"x" * 256)
        assert refusal(unsigned) in {"critical header", "not a JWS"}

    def test_another_key_under_the_same_name_asks_for_a_newer_set(self) -> None:
        with pytest.raises(OutdatedKeys, match="signature"):
            judge(sign(claims(), key=OTHER_RSA_KEY), keys=KEYS, expected=EXPECTED, now=NOW)

    def test_a_key_that_is_not_in_the_set_asks_for_a_newer_set(self) -> None:
        with pytest.raises(OutdatedKeys):
            judge(sign(claims(), kid="rotated"), keys=KEYS, expected=EXPECTED, now=NOW)
        with pytest.raises(OutdatedKeys):
            judge(sign(claims()), keys=[], expected=EXPECTED, now=NOW)

    @pytest.mark.parametrize("kid", [5, None, ["rsa"], {"$ne": 1}])
    def test_a_key_id_is_a_text(self, kid: Any) -> None:
        token = by_hand({"alg": "RS256", "kid": kid}, claims(), b"x" * 256)
        assert refusal(token) in {"kid", "signature", "not a JWS"}

    def test_without_a_key_id_the_only_fitting_key_is_taken(self) -> None:
        assert judge(sign(claims(), kid=...), keys=KEYS, expected=EXPECTED, now=NOW)
        two = [*KEYS, public_jwk(OTHER_RSA_KEY, kid="second")]
        assert refusal(sign(claims(), kid=...), keys=two) == "which key"

    @pytest.mark.parametrize(
        "change",
        [
            {"use": "enc"},
            {"alg": "PS256"},
            {"kty": "EC"},
            {"kty": "oct"},
            {"d": "private"},
            {"kid": "other"},
            {"use": 1},
        ],
    )
    def test_a_key_for_something_else_is_not_taken(self, change: dict[str, Any]) -> None:
        with pytest.raises(OutdatedKeys):
            judge(sign(claims()), keys=[{**KEYS[0], **change}], expected=EXPECTED, now=NOW)

    @pytest.mark.parametrize("change", [{"n": ""}, {"n": "!"}, {"e": 5}, {"n": None}, {"e": ""}])
    def test_a_key_that_is_none_is_refused(self, change: dict[str, Any]) -> None:
        assert refusal(sign(claims()), keys=[{**KEYS[0], **change}]) in {"key", "signature", "weak key"}

    def test_an_rsa_key_of_1024_bits_is_refused(self) -> None:
        keys = [public_jwk(WEAK_KEY, kid="rsa")]
        header = {"alg": "RS256", "kid": "rsa"}
        assert refusal(by_hand(header, claims(), b"x" * 128), keys=keys) in {"weak key", "key"}

    def test_a_key_of_another_curve_is_refused(self) -> None:
        other = public_jwk(ec.generate_private_key(ec.SECP384R1()), kid="ec")
        with pytest.raises(OutdatedKeys):
            judge(sign(claims(), "ES256"), keys=[other], expected=EXPECTED, now=NOW)


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "a.b", "a.b.c", "..", "....", "é.é.é", "\ud800.a.b", "x" * 20_000, "{}", "eyJ.eyJ.x",
        by_hand({}, {}), by_hand([], claims()), by_hand({"alg": "RS256"}, []),  # type: ignore[arg-type]
        sign(claims()) + ".x", sign(claims())[:-1], sign(claims()).replace(".", "", 1),
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refusal(token) if token else True


def test_a_nested_payload_is_refused_and_breaks_nothing() -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"rsa"}').rstrip(b"=").decode()
    payload = base64.urlsafe_b64encode(b"[" * 9_000).rstrip(b"=").decode()
    assert refusal(f"{header}.{payload}.AAAA")


@pytest.mark.parametrize("seconds", [-60, -1, 0, 59])
def test_a_minute_of_difference_between_clocks_is_forgiven(seconds: int) -> None:
    token = sign(claims(exp=int(NOW.timestamp()) + 1))
    assert judge(token, keys=KEYS, expected=EXPECTED, now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("said", "verified"),
    [
        (True, True),
        ("true", True),
        (False, False),
        ("false", False),
        (1, False),
        ("True", False),
        (None, False),
        ({}, False),
    ],
)
def test_an_address_is_confirmed_only_when_the_provider_says_so(said: Any, verified: bool) -> None:
    found = judge(sign(claims(email_verified=said)), keys=KEYS, expected=EXPECTED, now=NOW)
    assert found.email_verified is verified


@pytest.mark.parametrize("email", [None, "", 5, ["a@b.example"], "a\u202e@b.example", "a@b.example\n", "x" * 255])
def test_an_address_that_would_have_to_be_cleaned_is_none(email: Any) -> None:
    found = judge(sign(claims(email=email)), keys=KEYS, expected=EXPECTED, now=NOW)
    assert (found.email, found.email_verified) == (None, False)


@pytest.mark.parametrize(
    ("name", "shown"), [("Ada", "Ada"), (" A\u202eda\n", "Ada"), ("x" * 5000, None), (5, None), ("", None)]
)
def test_a_name_is_fit_to_be_shown(name: Any, shown: str | None) -> None:
    found = judge(sign(claims(name=name)), keys=KEYS, expected=EXPECTED, now=NOW)
    assert found.name == shown


def test_what_is_expected_is_in_no_log() -> None:
    assert EXPECTED.nonce not in repr(EXPECTED)
    assert EXPECTED.access_token not in repr(EXPECTED)
