"""What people paste, read as what it looks like. Numbers and addresses have tests of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from support.authenticator import code_at

from auth.core import typed_input as typed
from auth.core.clock import utc_now
from auth.core.views import parse
from auth.factors.recovery_codes import code_digest, new_codes
from auth.factors.totp import new_secret, steps_of, time_step
from auth.http.schemas.accounts import VerifyCodeRequest

AS_PASTED = {
    "in two groups": "{0} {1}",
    "no-break space": "{0}\u00a0{1}",
    "hyphen": "{0}-{1}",
    "no-break hyphen": "{0}\u2011{1}",
    "en dash": "{0}\u2013{1}",
    "isolated": "\u2068{0}{1}\u2069",
    "marked": "\u200e{0}{1}\u200f",
    "zero-width": "\ufeff{0}\u200b{1}\u2060",
    "a line": "\n{0}{1}\r\n",
}


def full_width(text: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) for each in text)


def in_arabic_digits(text: str) -> str:
    return "".join(chr(0x660 + int(each)) if each.isdecimal() else each for each in text)


def pasted(code: str) -> list[str]:
    middle = len(code) // 2
    spellings = [each.format(code[:middle], code[middle:]) for each in AS_PASTED.values()]
    return [*spellings, full_width(code), in_arabic_digits(code)]


def test_a_code_by_sms_is_six_digits_however_it_is_pasted() -> None:
    for text in pasted("123456"):
        body = parse(VerifyCodeRequest, {"phoneNumber": "+31612345678", "otp": text})
        assert body.otp == "123456", ascii(text)


@pytest.mark.parametrize("otp", ["", "12345", "1234567", "12345a", "12345²³", "00123456", "1" * 70, 123456, None])
def test_what_is_no_six_digits_is_refused(otp: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(VerifyCodeRequest).validate_python({"phoneNumber": "+31612345678", "otp": otp})


def test_a_code_of_an_app_is_right_however_it_is_pasted() -> None:
    secret, now = new_secret(), utc_now()
    code = code_at(secret, time_step(now))
    for text in pasted(code):
        assert time_step(now) in list(steps_of(text, secret=secret, now=now)), ascii(text)


def test_a_recovery_code_is_the_same_however_it_is_pasted() -> None:
    code = new_codes()[0]
    wanted = code_digest(code)
    assert wanted
    for text in [*pasted(code), code.lower(), code.replace("-", "\u2011"), code.replace("-", " \u2013 ")]:
        assert code_digest(text) == wanted, ascii(text)


@given(st.text(max_size=80))
def test_what_was_read_once_reads_the_same_again(text: str) -> None:
    for read in (typed.seen, typed.address, typed.phone, typed.code):
        once = read(text)
        # What is taken in the end is ASCII, or an international domain.
        assert not once.isascii() or read(once) == once
