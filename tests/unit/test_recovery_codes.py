"""Recovery codes: how they are made, read off paper, and kept."""

import math

import hypothesis
import hypothesis.strategies as st
import pytest

from auth.factors.recovery_codes import ALPHABET, CODE_COUNT, GROUP_LENGTH, GROUPS, code_digest, new_codes

CODE = "7Q2MX-0K4TD-V9RNA-1ZC8H-5WJGE"


def test_asvs_6_5_4_there_are_ten_that_nobody_guesses() -> None:
    codes = new_codes()
    assert len(set(codes)) == CODE_COUNT == 10
    assert {len(code.replace("-", "")) for code in codes} == {GROUPS * GROUP_LENGTH}
    assert set("".join(codes)) <= {*ALPHABET, "-"}


def test_asvs_6_5_2_a_plain_hash_will_do_for_they_have_more_than_112_bits() -> None:
    assert len(set(ALPHABET)) == 32
    assert math.log2(32) * GROUPS * GROUP_LENGTH == 125


def test_asvs_6_5_3_no_two_are_alike_and_every_letter_comes_up() -> None:
    made = [code for _ in range(100) for code in new_codes()]
    assert len(set(made)) == 1000
    assert {*"".join(made)} == {*ALPHABET, "-"}


@pytest.mark.parametrize(
    "typed",
    [
        CODE.lower(),
        CODE.replace("-", ""),
        CODE.replace("-", " "),
        f"  {CODE}\n",
        CODE.replace("0", "o").replace("1", "l"),
        CODE.replace("0", "O").replace("1", "I"),
    ],
)
def test_it_may_be_typed_as_it_is_read(typed: str) -> None:
    assert code_digest(typed) == code_digest(CODE)


@pytest.mark.parametrize("typed", ["", "-", CODE[:-1], CODE + "0", "U" * 25, "é" * 25, "\ud800" * 25])
def test_what_is_no_code_has_no_hash(typed: str) -> None:
    assert code_digest(typed) is None


@hypothesis.given(st.text(max_size=64))
def test_nothing_that_is_typed_can_raise(typed: str) -> None:
    code_digest(typed)


def test_what_is_kept_tells_nothing_of_the_code() -> None:
    digest = code_digest(CODE)
    assert digest is not None
    assert len(digest) == 32
    assert CODE.encode() not in digest
