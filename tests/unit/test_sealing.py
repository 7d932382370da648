"""Secrets at rest open for their owner, under their key, whole, and in no other way."""

import pytest

from auth.sealing import Seal, SealBroken

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
