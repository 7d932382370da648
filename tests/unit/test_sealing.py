"""Secrets at rest open for their owner, under their key, whole, and in no other way."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.keys import TOKEN_LIFE, HeldKeys

from auth.core.clock import utc_now
from auth.crypto.sealing import Seal, SealBroken
from auth.crypto.signing_keys import KeyRing, SigningKey

SECRET = b"JBSWY3DPEHPK3PXP"


def test_what_was_sealed_opens_in_its_context() -> None:
    seal = Seal(b"k" * 32)
    sealed = seal.seal(SECRET, context="totp ada")
    assert SECRET not in sealed
    assert seal.open(sealed, context="totp ada") == SECRET


def test_the_same_secret_never_looks_the_same() -> None:
    seal = Seal(b"k" * 32)
    assert len({seal.seal(SECRET, context="totp ada") for _ in range(50)}) == 50


def test_it_opens_for_nobody_else_and_under_no_other_key() -> None:
    sealed = Seal(b"k" * 32).seal(SECRET, context="totp ada")
    with pytest.raises(SealBroken):
        Seal(b"k" * 32).open(sealed, context="totp bob")
    with pytest.raises(SealBroken):
        Seal(b"l" * 32).open(sealed, context="totp ada")


def test_damage_of_any_byte_and_any_cut_is_noticed() -> None:
    seal = Seal(b"k" * 32)
    sealed = seal.seal(SECRET, context="totp ada")
    damaged = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for broken in (*damaged, *(sealed[:length] for length in range(len(sealed)))):
        with pytest.raises(SealBroken):
            seal.open(broken, context="totp ada")


def test_a_secret_that_an_earlier_version_sealed_opens() -> None:
    stored = bytes.fromhex(
        "6b31000102030405060708090a0b209fa7795de3c22506d303c1579550081de1564d36a70894dd8c9628a762998d"
    )
    assert Seal(b"k" * 32).open(stored, context="totp ada") == SECRET


async def test_a_signing_key_that_an_earlier_version_sealed_signs() -> None:
    stored = bytes.fromhex(
        "000102030405060708090a0b6adcf62d00d580724b92598168c80657e8ffa87788738a92b765f3beec378a37f006b139d7af61a3"
        "bedcdf3d2b7e5ca5"
    )
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, now, kept = private.public_key().public_bytes_raw(), utc_now(), HeldKeys()
    await kept.add(SigningKey("7-abcdefghijkl", 7, public, stored, now, now))
    ring = KeyRing(kept, b"k" * 32, token_life=TOKEN_LIFE, clock=utc_now)
    await ring.reload()
    assert ring.current.public == public
    assert ring.current.private.sign(b"message") == private.sign(b"message")
