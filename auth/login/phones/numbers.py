"""Parses phone numbers: E.164, able to receive SMS, in an allowed country. Pure.

A number must start with a plus, or with 00 in its place: without the country code it is ambiguous, and a code
could be sent to a stranger. Google's libphonenumber decides whether a number is valid and of which type it is.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from auth.core import typed_input as typed
from auth.core.errors import FieldError, InvalidRequest

MAX_PHONE_NUMBER = 40
# The number of digits after the country code that identify a range; numbers bought together share them.
PREFIX_DIGITS = 3

# ASCII only, after normalisation (auth/core/typed_input.py). The letters and extensions that libphonenumber also
# accepts are not allowed, so that a number has one spelling.
_WRITTEN = re.compile(r"\(?\+ ?[0-9][0-9 ()./-]*[0-9]", re.ASCII)
_RECEIVES_SMS = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number in E.164 format, and the prefix of its range."""

    e164: str
    prefix: str


class PhoneRules:
    """Parses and checks numbers. `countries`: allowed ISO 3166-1 codes; empty allows all."""

    def __init__(self, countries: Collection[str] = ()) -> None:
        self._countries = frozenset(countries)

    def require(self, text: str) -> PhoneNumber:
        """Parse a number. Raises `InvalidRequest` unless it can receive SMS in an allowed country."""
        written = typed.phone(text[: MAX_PHONE_NUMBER + 1])
        if ";" in written:
            # RFC 3966 parameters: an extension cannot receive SMS, and a context belongs to a local number.
            raise _refused("Enter the number without the semicolon and the text after it: +31 6 12345678.")
        if len(text) > MAX_PHONE_NUMBER or _WRITTEN.fullmatch(written) is None:
            raise _refused("Enter the number with its country code: +31 6 12345678.")
        try:
            number = phonenumbers.parse(written, None)
        except phonenumbers.NumberParseException:
            raise _refused("This is not a phone number.") from None
        if not phonenumbers.is_valid_number(number):
            raise _refused("This is not a phone number.")
        if phonenumbers.number_type(number) not in _RECEIVES_SMS:
            raise _refused("This number cannot receive SMS.")
        if self._countries and phonenumbers.region_code_for_number(number) not in self._countries:
            raise _refused("Numbers from this country are not accepted.")
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        return PhoneNumber(e164, e164[: 1 + len(str(number.country_code)) + PREFIX_DIGITS])


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError("phoneNumber", message)])
