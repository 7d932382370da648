"""Parses a provider's claims about a user, as untrusted input. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth.core.text import MAX_EMAIL, MAX_NAME, printable

# OpenID Connect Core 1.0, section 2: `sub` is at most 255 ASCII characters.
MAX_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class Claims:
    """A user of a provider, identified by `issuer` and `subject` alone (ASVS 5.0, 10.5.2).

    `email_verified`: the provider asserts that the address belongs to the user. `is_complete`: there is an
    address, and the provider has said whether it is verified.
    """

    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool = False
    is_complete: bool = False
    name: str | None = None
    label: str = ""


def claims_of(issuer: str, subject: str, profile: Mapping[str, Any]) -> Claims:
    """Read the claims of an ID token or userinfo response; values of the wrong type are omitted."""
    email = _address(profile.get("email"))
    name = _text(profile.get("name"), MAX_NAME)
    said = profile.get("email_verified")
    return Claims(
        issuer=issuer,
        subject=subject,
        email=email,
        # Some providers send a string; any other value counts as unverified.
        email_verified=email is not None and (said is True or said == "true"),
        is_complete=email is not None and said is not None,
        name=name,
        label=email or _text(profile.get("preferred_username"), MAX_NAME) or name or "",
    )


def is_subject(value: object) -> bool:
    """Whether `value` is a valid `sub`."""
    return isinstance(value, str) and 0 < len(value) <= MAX_SUBJECT and value.isascii() and value.isprintable()


def _address(value: object) -> str | None:
    """Return an address unchanged, or None: a truncated or cleaned one could be someone else's."""
    whole = isinstance(value, str) and len(value) <= MAX_EMAIL and printable(value, MAX_EMAIL) == value
    return value if whole and isinstance(value, str) and value else None


def _text(value: object, limit: int) -> str | None:
    return printable(value, limit) or None if isinstance(value, str) and len(value) <= limit * 4 else None
