"""Normalisation of typed or pasted input, with one function for each kind. Pure.

Copied text contains invisible or unintended characters: direction marks around phone numbers (contacts on
Android and iOS), no-break spaces and hyphens (web pages, word processors), zero-width spaces, ligatures (PDF),
full-width digits and signs (East Asian keyboards). It is normalised to Unicode NFKC (UAX 15) without format
characters. In numbers and codes, decimal digits of every script are converted to ASCII. Not used for passwords:
see auth/crypto/passwords.py.
"""

import re
import unicodedata

# Joiners change adjacent letters in Persian and Indic scripts and are valid in domains (RFC 5892, A.1, A.2).
JOINERS = "\u200c\u200d"
MINUS = "\u2212"
# Prefix of a phone number link (RFC 3966).
_TEL = re.compile(r"tel: *(?=[+0-9])", re.IGNORECASE)
# International call prefix recommended by the ITU, used in most countries in place of a plus (E.164).
_ABROAD = re.compile(r"00(?=[ .-]*[1-9])")


def seen(text: str, *, keep: str = JOINERS) -> str:
    """Remove format characters, except those in `keep`, and surrounding whitespace."""
    if text.isascii():
        return text.strip()
    return "".join(each for each in text if each in keep or unicodedata.category(each) != "Cf").strip()


def address(text: str) -> str:
    """Normalise an e-mail address or a username."""
    return seen(unicodedata.normalize("NFKC", seen(text)))


def phone(text: str) -> str:
    """Normalise a phone number: ASCII hyphens, spaces and digits; a `tel:` prefix is removed and `00` becomes
    `+`.
    """
    number = _in_ascii(text)
    if link := _TEL.match(number):
        number = number[link.end() :]
    if abroad := _ABROAD.match(number):
        number = "+" + number[abroad.end() :].lstrip(" .-")
    return number


def code(text: str) -> str:
    """Normalise a code (authenticator app, SMS or recovery) by removing spaces and dashes."""
    return "".join(each for each in _in_ascii(text) if each not in " -")


def _in_ascii(text: str) -> str:
    """Convert dashes, spaces and decimal digits of any script to ASCII."""
    return "".join(_ascii_of(each) for each in address(seen(text, keep="")))


def _ascii_of(character: str) -> str:
    if character.isascii() and not character.isspace():
        return character
    if _is_dash(character):
        return "-"
    if character.isspace():
        return " "
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


def _is_dash(character: str) -> bool:
    return character == MINUS or unicodedata.category(character) == "Pd"
