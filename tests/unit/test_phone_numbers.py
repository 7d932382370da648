"""Which phone numbers are taken, and how they are spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.errors import InvalidRequest
from auth.phone_numbers import PhoneRules

RULES = PhoneRules()


@pytest.mark.parametrize("typed", ["+31612345678", " +31 6 1234 5678 ", "+31 (0)6-12345678", "+31.6.12.34.56.78"])
def test_a_number_has_one_spelling(typed: str) -> None:
    number = RULES.require(typed)
    assert (number.e164, number.prefix) == ("+31612345678", "+31612")


def test_a_line_that_may_be_a_mobile_is_taken() -> None:
    assert RULES.require("+1 201-555-0123").e164 == "+12015550123"


@pytest.mark.parametrize("number", ["+31201234567", "+18002345678", "+449098790000", "+88213900000"])
def test_fixed_free_premium_and_satellite_lines_are_refused(number: str) -> None:
    with pytest.raises(InvalidRequest):
        RULES.require(number)


def test_only_numbers_of_the_operators_countries_are_taken() -> None:
    dutch = PhoneRules({"NL"})
    assert dutch.require("+31612345678")
    with pytest.raises(InvalidRequest) as refused:
        dutch.require("+12015550123")
    assert [error.field for error in refused.value.errors] == ["phoneNumber"]


@given(st.text(max_size=60))
def test_whatever_is_sent_is_read_or_refused(text: str) -> None:
    try:
        number = RULES.require(text)
    except InvalidRequest:
        return
    assert number.e164.startswith("+")
    assert RULES.require(number.e164) == number
