"""Wycheproof's vectors for JSON Web Signatures and Keys (README.md beside this).

Vigil accepts one algorithm, under header bytes of its own, with keys of its own; most vectors are about
what it never does. They are used in two ways:
- the signature file shows that the library that we tell other services to verify with judges signatures as
  they rely on it to: with the algorithm pinned from the key and not from the token;
- the signature file again, and the key file, show that none of it gets past Vigil itself.
"""

import asyncio
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from support.keys import TOKEN_LIFE, HeldKeys, held_ring, sealing_key

from auth.core.clock import utc_now
from auth.core.errors import InvalidToken
from auth.crypto.signing_keys import KeyRing, KeySecretChanged, SigningKey
from auth.crypto.tokens import AccessTokens

HERE = Path(__file__).parent

EQUAL_TO_357 = "character for character the valid vector 357"
DECLARES_ANOTHER = "the key declares another `alg` than the token has: pinned, it does not verify"
STRAY_MARK = "a stray `?` in base64url, which the file calls valid; refusing is stricter"

# Where PyJWT with a pinned algorithm and the file disagree; no other vector may join them unseen.
ODDITIES = {
    346: DECLARES_ANOTHER,
    347: DECLARES_ANOTHER,
    350: DECLARES_ANOTHER,
    351: DECLARES_ANOTHER,
    367: EQUAL_TO_357,
    370: EQUAL_TO_357,
    372: STRAY_MARK,
    373: STRAY_MARK,
}

# What a loader that trusts PyJWK alone would take although the file says no.
TAKEN_BY_A_CARELESS_LOADER = {
    1: "a key set of symmetric and public keys together",
    7: "an RSA key of the ROCA family",
    8: "an RSA key of 1024 bits",
    10: "an HMAC key shorter than its hash",
    11: "an HMAC key shorter than its hash",
    12: "an HMAC key shorter than its hash",
}


def vectors(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each vector of a file with the key or key set it is to be checked with."""
    for group in json.loads((HERE / f"wycheproof_json_web_{name}_test.json").read_text())["testGroups"]:
        for test in group["tests"]:
            yield group.get("public") or group["private"], test


def compact(test: dict[str, Any]) -> str:
    """The JWS as text; the file has some in JSON serialisation, which no header and no handshake carries."""
    jws = test["jws"]
    return jws if isinstance(jws, str) else json.dumps(jws)


def verifies(key: dict[str, Any], jws: str) -> bool:
    """Whether PyJWT takes `jws`, the algorithm pinned from a key that is meant for signatures."""
    if key.get("use", "sig") != "sig" or "verify" not in key.get("key_ops", ["verify"]):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
            pinned = jwt.PyJWK(key)
            jwt.api_jws.decode(jws, pinned, algorithms=[pinned.algorithm_name])
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return True


def test_the_files_are_whole() -> None:
    assert len(list(vectors("signature"))) == 401
    assert len(list(vectors("key"))) == 26


def test_the_library_judges_signatures_as_wycheproof_does() -> None:
    """With the algorithm pinned, as `AccessTokens` has only one; the eight it does not are told one by one."""
    different = {
        test["tcId"]
        for key, test in vectors("signature")
        if verifies(key, compact(test)) != (test["result"] == "valid")
    }
    assert different == ODDITIES.keys()


def test_the_oddities_are_what_they_are_said_to_be() -> None:
    by_id = {test["tcId"]: (key, test) for key, test in vectors("signature")}
    for number, reason in ODDITIES.items():
        key, test = by_id[number]
        if reason == EQUAL_TO_357:
            assert compact(test) == compact(by_id[357][1])
        elif reason == DECLARES_ANOTHER:
            assert jwt.get_unverified_header(compact(test))["alg"] != key["alg"]
        else:
            assert "?" in compact(test)
            assert compact(test).replace("?", "") == compact(by_id[357][1])


async def test_none_of_them_is_an_access_token() -> None:
    """Valid or not: signed by none of our keys, and under none of our headers."""
    tokens = AccessTokens(await held_ring(), issuer="vigil", audience="vigil", lifetime=TOKEN_LIFE)
    for _, test in vectors("signature"):
        with pytest.raises(InvalidToken):
            await tokens.verify(compact(test), now=utc_now())
    for _, test in vectors("key"):
        with pytest.raises(InvalidToken):
            await tokens.verify(compact(test), now=utc_now())


def keys_of(key_or_set: dict[str, Any]) -> list[dict[str, Any]]:
    return list(key_or_set.get("keys", [key_or_set]))


def test_a_loader_of_foreign_keys_would_have_to_do_more_than_pyjwt() -> None:
    """Why Vigil has none: it reads no JWK, and these are what such a reader would be taken in by.

    The token is verified with the key of its `kid`, as `PyJWKClient` chooses it.
    """
    taken = set()
    for key_or_set, test in vectors("key"):
        if test["result"] == "valid":
            continue
        key_id = jwt.get_unverified_header(compact(test)).get("kid")
        # A duplicate id is refused, as is one that no key has.
        chosen = [key for key in keys_of(key_or_set) if key.get("kid") == key_id]
        if len(chosen) == 1 and verifies(chosen[0], compact(test)):
            taken.add(test["tcId"])
    assert taken == TAKEN_BY_A_CARELESS_LOADER.keys()


@pytest.mark.parametrize("part", ["all", "k", "x", "n"])
def test_no_foreign_key_gets_into_the_ring(part: str) -> None:
    """A key enters only as 32 bytes of Ed25519 sealed under the root secret; these are planted in the store."""

    async def plant(material: bytes) -> None:
        store = HeldKeys()
        now = utc_now()
        await store.add(SigningKey("1-planted", 1, material, material, now, now))
        await KeyRing(store, sealing_key(), token_life=TOKEN_LIFE, clock=utc_now).reload()

    planted = 0
    for key_or_set, _ in vectors("key"):
        for key in keys_of(key_or_set):
            if part != "all" and part not in key:
                continue
            material = json.dumps(key) if part == "all" else str(key[part])
            planted += 1
            with pytest.raises(KeySecretChanged):
                asyncio.run(plant(material.encode()))
    assert planted


async def test_our_key_set_has_none_of_the_faults_of_theirs() -> None:
    """One kind of key, every id once, no private or symmetric part, one use and one algorithm."""
    ring = await held_ring()
    jwks = ring.jwks()["keys"]
    assert len({key["kid"] for key in jwks}) == len(jwks)
    for key in jwks:
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
        assert not key.keys() & {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}
    assert [key.key_id for key in jwt.PyJWKSet.from_dict(ring.jwks()).keys] == [key["kid"] for key in jwks]
