"""How a phone number is read: E.164, of a line that can receive SMS, in a country that is allowed. Pure.

The plus is needed: without it a number means different lines in different countries, and somebody's code would go
to a stranger. Whether a number can exist, and of which kind it is, Google's libphonenumber knows.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from auth.errors import FieldError, InvalidRequest

MAX_PHONE_NUMBER = 40
# How many digits after the country's code make a range: numbers that are bought together differ in later ones.
PREFIX_DIGITS = 3

# ASCII alone. What libphonenumber would forgive on top (letters, extensions, `tel:`) is a second spelling at best.
_TYPED = re.compile(r"\+[0-9][0-9 ().-]*[0-9]", re.ASCII)
_RECEIVES_SMS = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number in its one spelling, and the range of numbers that it belongs to."""

    e164: str
    prefix: str


class PhoneRules:
    """Which numbers are taken. `countries` are ISO 3166-1 codes; none: all of them."""

    def __init__(self, countries: Collection[str] = ()) -> None:
        self._countries = frozenset(countries)

    def require(self, text: str) -> PhoneNumber:
        """The number in `text`. Raises `InvalidRequest` when it is none that can be sent an SMS."""
        typed = text.strip()
        if len(text) > MAX_PHONE_NUMBER or _TYPED.fullmatch(typed) is None:
            raise _refused("Write the number with its country: +31 6 12345678.")
        try:
            number = phonenumbers.parse(typed, None)
        except phonenumbers.NumberParseException:
            raise _refused("This is not a phone number.") from None
        if not phonenumbers.is_valid_number(number):
            raise _refused("This is not a phone number.")
        if phonenumbers.number_type(number) not in _RECEIVES_SMS:
            raise _refused("This number cannot receive SMS.")
        if self._countries and phonenumbers.region_code_for_number(number) not in self._countries:
            raise _refused("Numbers of this country are not taken here.")
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        return PhoneNumber(e164, e164[: 1 + len(str(number.country_code)) + PREFIX_DIGITS])


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError("phoneNumber", message)])
