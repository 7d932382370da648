"""Parsing and validation of e-mail addresses, names and usernames. Pure.

An address is an ASCII dot-atom, `@`, and a domain with at least one dot (RFC 5321 without quoted local parts
and address literals; no encoded words of RFC 2047). An internationalised domain is converted to its ASCII form
(IDNA 2008, UTS 46), so each domain has one spelling. A non-ASCII local part is rejected: no mailbox requires
one, and it enables look-alike addresses. The address is stored as typed with its domain in lower case; two
addresses belong to the same account if their lower-case keys are equal. Invisible characters pasted with an
address or username are removed (auth/core/typed_input.py).
"""

import re
import unicodedata
from dataclasses import dataclass

import idna

from auth.core import typed_input as typed
from auth.core.errors import FieldError, InvalidRequest

# RFC 5321, section 4.5.3.1: 64 octets of local part; the path of 256 leaves 254 for the address.
MAX_EMAIL = 254
MAX_LOCAL_PART = 64
MAX_NAME = 100
# Stored characters of a User-Agent header.
MAX_USER_AGENT = 512

# Of an application's event or room: `<application>:<name>`. Names of events stand unescaped in the frames of a
# user's log, so quotes must not be in them.
QUALIFIED_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}:[A-Za-z0-9_.:@-]{1,96}", re.ASCII)

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# The start of an encoded word (RFC 2047, section 2) is rejected: RFC 5322 allows it in an atom, but mail software,
# including our composer, decodes it, which could change the recipient or inject a line break.
_LOCAL_PART = re.compile(rf"(?!.*=\?){_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?=[a-z0-9-]*[a-z]){_LABEL}")
_USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{1,30})[A-Za-z0-9]")

# Control characters, lone surrogates and line separators; and bidirectional controls, with which a name can change
# how adjacent text is displayed (Trojan Source, CVE-2021-42574).
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_CONTROLS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
# Categories of what cannot be seen alone; and letters and symbols that are shown as nothing: Hangul fillers and
# the Braille pattern without dots.
_INVISIBLE = _UNPRINTABLE | {"Cf", "Zs", "Mn", "Me"}
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """A deliverable address and the key that identifies its account."""

    address: str
    key: str


def parse_email(text: str) -> EmailAddress | None:
    """Parse `text` as an address; None if it is invalid."""
    local_part, at, domain = typed.address(text).rpartition("@")
    if not at or len(text) > MAX_EMAIL + 16 or len(local_part) > MAX_LOCAL_PART:
        return None
    host = ascii_domain(domain)
    if host is None or _LOCAL_PART.fullmatch(local_part) is None:
        return None
    address = f"{local_part}@{host}"
    return EmailAddress(address, address.casefold()) if len(address) <= MAX_EMAIL else None


def email_key(text: str) -> str | None:
    """The account key of the address in `text`; None if it is invalid."""
    parsed = parse_email(text)
    return parsed.key if parsed else None


def require_email(text: str) -> EmailAddress:
    """Parse `text` as an address. Raises `InvalidRequest` if it is invalid."""
    parsed = parse_email(text)
    if parsed is None:
        raise InvalidRequest(errors=[FieldError("email", "This is not a valid e-mail address.")])
    return parsed


def clean_name(name: str | None) -> str | None:
    """A display name without surrounding whitespace; None if nothing of it is visible. Raises `InvalidRequest`."""
    cleaned = (name or "").strip()
    if len(cleaned) > MAX_NAME:
        raise InvalidRequest(errors=[FieldError("name", f"Use at most {MAX_NAME} characters.")])
    if any(not is_printable(character) for character in cleaned):
        raise InvalidRequest(errors=[FieldError("name", "Control characters are not allowed.")])
    return cleaned if is_visible(cleaned) else None


def clean_username(username: str | None) -> str | None:
    """A normalised username; None if empty. Raises `InvalidRequest`."""
    cleaned = typed.address(username or "")
    if not cleaned:
        return None
    if _USERNAME.fullmatch(cleaned) is None:
        rule = "Use 3 to 32 letters, digits, dots, dashes or underscores; begin and end with a letter or digit."
        raise InvalidRequest(errors=[FieldError("username", rule)])
    return cleaned


def username_taken() -> InvalidRequest:
    """The error for a username that is already taken."""
    return InvalidRequest(errors=[FieldError("username", "This username is taken.")])


def is_printable(character: str) -> bool:
    """Whether the character may appear in text shown to other users."""
    return unicodedata.category(character) not in _UNPRINTABLE and character not in _BIDI_CONTROLS


def is_visible(text: str) -> bool:
    """Whether anything of the text can be seen."""
    return any(unicodedata.category(each) not in _INVISIBLE and each not in _BLANKS for each in text)


def printable(text: str, limit: int) -> str:
    """`text` without unprintable characters and surrounding whitespace, at most `limit` characters; empty if
    nothing of it is visible.
    """
    text = text[: limit * 4]
    if text.isascii() and text.isprintable():  # fast path for nearly every user agent: 0.2 µs instead of 20
        return text.strip()[:limit]
    cleaned = "".join(character for character in text if is_printable(character)).strip()[:limit]
    return cleaned if is_visible(cleaned) else ""


def ascii_domain(domain: str) -> str | None:
    """The ASCII form of a domain (IDNA 2008, UTS 46), in lower case; None if it is none, or a single label."""
    lowered = domain.lower()
    if not domain.isascii():
        try:
            lowered = idna.encode(domain, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            return None
    return lowered if _DOMAIN.fullmatch(lowered) else None
