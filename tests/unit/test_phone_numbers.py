"""Which phone numbers are taken, and how they are spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.core.errors import InvalidRequest
from auth.login.phones.numbers import PhoneRules

RULES = PhoneRules()


PASTED = {
    "typed": "+31612345678",
    "spaced": " +31 6 1234 5678 ",
    "with a trunk zero": "+31 (0)6-12345678",
    "dotted": "+31.6.12.34.56.78",
    "with slashes": "+31 6/12 34 / 5678",
    "its country in brackets": "(+31) 6 12345678",
    "a space after the plus": "+ 31 6 12345678",
    "isolated": "\u2068+31 6 12345678\u2069",
    "embedded": "\u202a+31 6 12345678\u202c",
    "overridden": "\u202d+31 6 12345678\u202c",
    "marked left to right": "\u200e+31612345678\u200e",
    "marked inside": "+31\u200e6\u200f12345678",
    "no-break spaces": "+31\u00a06\u202f12345678",
    "no-break hyphens": "+31\u20116\u201112345678",
    "en dashes": "+31 6\u20131234\u20135678",
    "a minus": "+31 6\u22121234\u22125678",
    "full width": "\uff0b\uff13\uff11\u3000\uff16\uff0d\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
    "zero-width spaces": "\ufeff+31\u200b6\u200b12345678\u2060",
    "a tab and a line": "\t+31 6\t12345678\r\n",
    "Arabic-Indic digits": "+\u0663\u0661 \u0666 \u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668",
    "Persian digits and 00": "\u06f0\u06f0\u06f3\u06f1\u06f6\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7\u06f8",
    "Devanagari digits": "+\u0969\u0967 \u096c\u0967\u0968\u0969\u096a\u096b\u096c\u096d\u096e",
    "a link": "tel:+31-6-12345678",
    "a link in capitals": "TEL: +31.6.12345678",
    "a link with 00": "tel:0031612345678",
    "00": "0031612345678",
    "00 by itself": "00 31 6 12345678",
    "00 and a hyphen": "00-31-6-12345678",
    "00 and a trunk zero": "0031 (0)6 12345678",
}


@pytest.mark.parametrize("typed", PASTED.values(), ids=PASTED)
def test_a_number_has_one_spelling(typed: str) -> None:
    number = RULES.require(typed)
    assert (number.e164, number.prefix) == ("+31612345678", "+31612")


ALONE = "Enter the number without the semicolon and the text after it: +31 6 12345678."
WITH_COUNTRY = "Enter the number with its country code: +31 6 12345678."


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("tel:+31612345678;ext=12", ALONE),
        (
            "tel:0612345678;phone-context=+31",
            ALONE,
        ),
        ("+31612345678;isub=1", ALONE),
        ("tel:0612345678", WITH_COUNTRY),
        ("tel:tel:+31612345678", WITH_COUNTRY),
        ("sms:+31612345678", WITH_COUNTRY),
        ("0612345678", WITH_COUNTRY),
        ("000612345678", WITH_COUNTRY),
        ("+0031612345678", "This is not a phone number."),
    ],
)
def test_what_is_refused_says_how_to_write_it(number: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        RULES.require(number)
    assert [error.message for error in refused.value.errors] == [message]


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
